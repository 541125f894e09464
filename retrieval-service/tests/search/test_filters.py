"""Filters against a naive oracle, and what they refuse."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval_service.documents.attributes import Comparison, Compound, Filter, Operator, Value
from retrieval_service.search.filters import MAX_COMPARISONS, MAX_DEPTH, MAX_VALUES, allowed, check, evaluate
from servicekit.errors import Reason, SixfoldError

KEYS = st.sampled_from(["a", "b", "c"])
VALUES = st.one_of(
    st.sampled_from(["", "1", "x", "true"]), st.sampled_from([0.0, 1.0, 2.5, -1.0]), st.booleans()
)
ATTRIBUTES = st.dictionaries(KEYS, VALUES, max_size=3)
COMPARISONS = st.builds(
    Comparison, KEYS, st.sampled_from(list(Operator)), st.lists(VALUES, max_size=3).map(tuple)
)
FILTERS: st.SearchStrategy[Filter] = st.recursive(
    COMPARISONS,
    lambda inner: st.builds(Compound, st.booleans(), st.lists(inner, max_size=3).map(tuple)),
    max_leaves=8,
)


def kind(value: Value) -> str:
    return type(value).__name__ if not isinstance(value, int) or isinstance(value, bool) else "float"


ORDER: dict[Operator, Callable[[float, float], bool]] = {
    Operator.GT: lambda a, b: a > b,
    Operator.GTE: lambda a, b: a >= b,
    Operator.LT: lambda a, b: a < b,
    Operator.LTE: lambda a, b: a <= b,
}


def oracle(wanted: Filter, attributes: dict[str, Value]) -> bool:
    """The rules, one by one, in as many words."""
    if isinstance(wanted, Compound):
        results = [oracle(part, attributes) for part in wanted.filters]
        if not results:
            return False
        return any(results) if wanted.any else all(results)
    if wanted.key not in attributes or not wanted.values:
        return False
    value = attributes[wanted.key]
    for other in wanted.values:
        if kind(other) != kind(value):
            return False
    if wanted.operator is Operator.IN:
        return any(value == other for other in wanted.values)
    if wanted.operator is Operator.NIN:
        return all(value != other for other in wanted.values)
    if len(wanted.values) > 1:
        return False
    other = wanted.values[0]
    if wanted.operator is Operator.EQ:
        return value == other
    if wanted.operator is Operator.NE:
        return value != other
    if isinstance(value, float) and isinstance(other, float):
        return ORDER[wanted.operator](value, other)
    return False


@given(FILTERS, ATTRIBUTES)
def test_evaluates_as_the_rules_say(wanted: Filter, attributes: dict[str, Value]) -> None:
    assert evaluate(wanted, attributes) is oracle(wanted, attributes)


@given(FILTERS, st.dictionaries(st.sampled_from("pqrstuvw"), ATTRIBUTES))
def test_a_table_is_allowed_the_shorter_way(wanted: Filter, table: dict[str, dict[str, Value]]) -> None:
    found = allowed(wanted, table)
    assert found is not None
    passing = {name for name in table if (name in found.attachments) != found.complement}
    assert passing == {name for name, attributes in table.items() if oracle(wanted, attributes)}
    assert len(found.attachments) * 2 <= len(table)


def test_no_filter_allows_all_and_one_that_matches_nothing_allows_nothing() -> None:
    assert allowed(None, {"p": {}}) is None
    nothing = allowed(Comparison("a", Operator.EQ, ("x",)), {"p": {}, "q": {"a": "y"}})
    assert nothing is not None
    assert not nothing.attachments
    assert not nothing.complement
    assert allowed(Comparison("a", Operator.EQ, ("x",)), {}) == nothing


@pytest.mark.parametrize("operator", list(Operator))
def test_a_missing_attribute_and_one_of_another_kind_match_nothing(operator: Operator) -> None:
    for value, other in (("1", 1.0), (1.0, True), (True, "true"), (1, True), (0.0, False)):
        assert not evaluate(Comparison("a", operator, (value,)), {"a": other})
        assert not evaluate(Comparison("a", operator, (other,)), {"a": value})
        assert not evaluate(Comparison("a", operator, (value,)), {})


def test_whole_numbers_are_numbers() -> None:
    assert evaluate(Comparison("year", Operator.GTE, (2020,)), {"year": 2020.0})
    assert evaluate(Comparison("year", Operator.IN, (2019, 2020.0)), {"year": 2020})


def test_no_number_matches_nan() -> None:
    for operator in Operator:
        assert not evaluate(Comparison("a", operator, (math.nan,)), {"a": 1.0})
        assert not evaluate(Comparison("a", operator, (1.0,)), {"a": math.nan})


@given(FILTERS)
def test_what_is_let_through_is_well_formed(wanted: Filter) -> None:
    """Whatever `check` accepts matches something for some attributes, or excludes something."""
    try:
        check(wanted)
    except SixfoldError as error:
        assert error.reason is Reason.INVALID_REQUEST
        assert (error.param or "").startswith("filter")
        return
    for one in leaves(wanted):
        assert 1 <= len({kind(value) for value in one.values}) <= 1


def leaves(wanted: Filter) -> list[Comparison]:
    if isinstance(wanted, Comparison):
        return [wanted]
    assert wanted.filters
    return [leaf for part in wanted.filters for leaf in leaves(part)]


def nested(depth: int) -> Filter:
    made: Filter = Comparison("a", Operator.EQ, ("x",))
    for _ in range(depth - 1):
        made = Compound(False, (made,))
    return made


EQ = Comparison("a", Operator.EQ, ("x",))


@pytest.mark.parametrize(
    ("wanted", "place"),
    [
        (Compound(True, ()), "filter"),
        (Compound(False, (EQ, Compound(True, ()))), "filter.filters[1]"),
        (Comparison("", Operator.EQ, ("x",)), "filter.key"),
        (Comparison("a", Operator.EQ, ()), "filter.value"),
        (Comparison("a", Operator.EQ, ("x", "y")), "filter.value"),
        (Comparison("a", Operator.IN, ()), "filter.value"),
        (Comparison("a", Operator.IN, ("x",) * (MAX_VALUES + 1)), "filter.value"),
        (Comparison("a", Operator.IN, ("x", 1.0)), "filter.value"),
        (Comparison("a", Operator.NIN, (1.0, True)), "filter.value"),
        (Comparison("a", Operator.GT, ("x",)), "filter.value"),
        (Comparison("a", Operator.LTE, (True,)), "filter.value"),
        (Comparison("a", Operator.LT, (math.inf,)), "filter.value"),
        (Comparison("a", Operator.EQ, (None,)), "filter.value"),  # type: ignore[arg-type]
        (nested(MAX_DEPTH + 1), "filter" + ".filters[0]" * MAX_DEPTH),
        (nested(900), "filter" + ".filters[0]" * MAX_DEPTH),
        (Compound(True, (EQ,) * (MAX_COMPARISONS + 1)), "filter"),
    ],
)
def test_refuses_what_makes_no_sense_and_says_where(wanted: Filter, place: str) -> None:
    with pytest.raises(SixfoldError) as raised:
        check(wanted)
    assert raised.value.reason is Reason.INVALID_REQUEST
    assert raised.value.param == place


def test_accepts_what_is_at_its_bounds() -> None:
    check(nested(MAX_DEPTH))
    check(Compound(True, (EQ,) * MAX_COMPARISONS))
    check(Comparison("a", Operator.IN, ("x",) * MAX_VALUES))
