"""Which files may answer: a filter over attributes, evaluated strictly and failing closed.

Values are compared only within their kind: the number 1, the text "1" and `true` are three different things.
A file without the attribute, or with one of another kind, passes no comparison of it, NE and NIN included.
A filter that is malformed is refused (`check`); one that slips through matches nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from retrieval_service.documents.attributes import Attributes, Comparison, Compound, Filter, Operator, Value
from retrieval_service.search.ports import Allowed
from servicekit.errors import Reason, SixfoldError

MAX_DEPTH = 8
MAX_COMPARISONS = 256
MAX_VALUES = 1_024
"""Values of one IN or NIN."""

_ORDER = {Operator.GT, Operator.GTE, Operator.LT, Operator.LTE}
_LIST = {Operator.IN, Operator.NIN}


def check(wanted: Filter) -> None:
    """Raises SixfoldError INVALID_REQUEST, the place at fault in `param`, unless the filter makes sense."""
    _check(wanted, "filter", 1, [0])


def evaluate(wanted: Filter, attributes: Attributes) -> bool:
    """Whether a file with these attributes may answer. Never raises: what makes no sense matches nothing."""
    if isinstance(wanted, Comparison):
        return wanted.key in attributes and _compares(attributes[wanted.key], wanted)
    if not wanted.filters:
        return False
    return (any if wanted.any else all)(evaluate(part, attributes) for part in wanted.filters)


def allowed(wanted: Filter | None, table: Mapping[str, Attributes]) -> Allowed | None:
    """Which attachments of the table may answer, said the shorter way. `None` without a filter: all may.

    "All but these" speaks of the table alone: the caller still checks what the index answers against it.
    """
    if wanted is None:
        return None
    passing = frozenset(name for name, attributes in table.items() if evaluate(wanted, attributes))
    if len(passing) * 2 <= len(table):
        return Allowed(passing)
    return Allowed(frozenset(table.keys() - passing), complement=True)


def _compares(value: Value, wanted: Comparison) -> bool:
    operator, kind = wanted.operator, _kind(value)
    if not kind or not wanted.values or any(_kind(one) != kind for one in wanted.values):
        # For NIN too: values of another kind say that the caller means another attribute.
        return False
    if operator in _LIST:
        return (value in wanted.values) == (operator is Operator.IN)
    if len(wanted.values) != 1:
        return False
    other = wanted.values[0]
    if operator is Operator.EQ:
        return value == other
    if operator is Operator.NE:
        return value != other
    if isinstance(value, str) or isinstance(other, str) or kind != "number":
        return False
    return {
        Operator.GT: value > other,
        Operator.GTE: value >= other,
        Operator.LT: value < other,
        Operator.LTE: value <= other,
    }.get(operator, False)


def _kind(value: object) -> str:
    """What a value is; empty for what no attribute can be."""
    if isinstance(value, bool):  # first, for Python takes it for a number
        return "flag"
    if isinstance(value, str):
        return "text"
    if isinstance(value, int | float) and math.isfinite(value):
        return "number"
    return ""


def _check(wanted: Filter, place: str, depth: int, seen: list[int]) -> None:
    if depth > MAX_DEPTH:
        raise _invalid(place, f"A filter may be nested at most {MAX_DEPTH} deep.")
    if isinstance(wanted, Compound):
        if not wanted.filters:
            raise _invalid(place, "A compound filter needs at least one filter.")
        for number, part in enumerate(wanted.filters):
            _check(part, f"{place}.filters[{number}]", depth + 1, seen)
        return
    seen[0] += 1
    if seen[0] > MAX_COMPARISONS:
        raise _invalid("filter", f"A filter may have at most {MAX_COMPARISONS} comparisons.")
    if not wanted.key:
        raise _invalid(f"{place}.key", "A comparison needs the name of an attribute.")
    kinds = {_kind(value) for value in wanted.values}
    if wanted.operator in _LIST:
        if not 1 <= len(wanted.values) <= MAX_VALUES:
            raise _invalid(f"{place}.value", f"A list of values has 1 to {MAX_VALUES} of them.")
    elif len(wanted.values) != 1:
        raise _invalid(f"{place}.value", "This operator takes one value.")
    if "" in kinds:
        raise _invalid(f"{place}.value", "A value is a text, a finite number, true or false.")
    if len(kinds) > 1:
        raise _invalid(f"{place}.value", "Values of one comparison must be of one kind.")
    if wanted.operator in _ORDER and kinds != {"number"}:
        raise _invalid(f"{place}.value", "Only numbers are greater or less.")


def _invalid(place: str, message: str) -> SixfoldError:
    return SixfoldError(Reason.INVALID_REQUEST, message, param=place)
