"""Criteria as clients write them: what is taken, and what is refused with the place at fault."""

from __future__ import annotations

from typing import Any

import pytest

from eval_service.criteria import templates
from eval_service.criteria.base import Sample, Unjudgeable
from eval_service.criteria.specs import parse
from servicekit.errors import Reason, SixfoldError

CHECK = {
    "type": "string_check",
    "name": "right",
    "input": "{{ sample.output_text }}",
    "reference": "{{item.label}}",
    "operation": "eq",
}
JUDGE = {
    "type": "label_model",
    "name": "tone",
    "model": "default",
    "input": [{"role": "user", "content": {"type": "input_text", "text": "Polite? {{sample.output_text}}"}}],
    "labels": ["yes", "no"],
    "passing_labels": ["yes"],
}


def test_kinds_of_openai_and_our_own_are_taken() -> None:
    own = [
        {"type": "exact_match", "name": "exact", "reference": "{{item.label}}"},
        {"type": "labels", "name": "intent", "reference": "{{item.label}}", "labels": ["a", "b"]},
        {"type": "json_schema", "name": "valid", "schema": {"type": "object"}},
        {"type": "latency", "name": "seconds", "max_seconds": 2},
        {"type": "cost", "name": "money", "prompt_price": 1, "completion_price": 2},
        {"type": "tokens", "name": "short", "max_tokens": 20},
        {"type": "refusal", "name": "declines"},
        {
            "type": "pairwise_model",
            "name": "against",
            "model": "default",
            "input": [{"role": "user", "content": "{{first}} or {{second}}?"}],
            "reference": "{{item.answer}}",
        },
    ]
    theirs: list[dict[str, Any]] = [
        CHECK,
        JUDGE,
        {
            **CHECK,
            "type": "text_similarity",
            "name": "s",
            "evaluation_metric": "rouge_l",
            "pass_threshold": 0.5,
        },
        {"type": "score_model", "name": "g", "model": "m", "input": JUDGE["input"], "range": [1, 7]},
    ]
    theirs[2].pop("operation")
    assert [spec.name for spec in parse([*theirs, *own])] == [each["name"] for each in [*theirs, *own]]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"operation": "near"}, "testing_criteria[0].operation"),
        ({"name": ""}, "testing_criteria[0].name"),
        ({"more": 1}, "testing_criteria[0].more"),
        ({"input": "{{env.HOME}}"}, "testing_criteria[0].input"),
        ({"input": "{{ item.__class__() }}"}, "testing_criteria[0].input"),
        ({"type": "none_of_these"}, "testing_criteria[0]"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], param: str) -> None:
    with pytest.raises(SixfoldError) as caught:
        parse([{**CHECK, **change}])
    assert caught.value.reason is Reason.INVALID_REQUEST
    assert caught.value.param == param


@pytest.mark.parametrize("given", [[], {}, None, "string_check", [CHECK, CHECK], [CHECK] * 40, [3]])
def test_no_list_of_different_criteria_is_refused(given: Any) -> None:
    with pytest.raises(SixfoldError):
        parse(given)


def test_code_is_not_run() -> None:
    with pytest.raises(SixfoldError) as caught:
        parse([{"type": "python", "name": "p", "source": "print(1)"}])
    assert caught.value.reason is Reason.UNSUPPORTED_PARAMETER


@pytest.mark.parametrize(
    "change",
    [{"passing_labels": ["maybe"]}, {"labels": ["yes", "yes"]}, {"labels": ["yes"]}, {"input": []}],
)
def test_labels_make_sense(change: dict[str, Any]) -> None:
    with pytest.raises(SixfoldError):
        parse([{**JUDGE, **change}])


def test_a_schema_reaches_nothing_outside() -> None:
    for schema in ({"$ref": "http://169.254.169.254/x"}, {"type": 7}):
        with pytest.raises(SixfoldError):
            parse([{"type": "json_schema", "name": "x", "schema": schema}])
    inner = {"$defs": {"n": {"type": "number"}}, "properties": {"a": {"$ref": "#/$defs/n"}}}
    assert parse([{"type": "json_schema", "name": "x", "schema": inner}])


def test_templates_fill_paths_and_nothing_else() -> None:
    values = templates.values_of(
        {"a": {"b": [1, {"c": "deep"}]}, "evil": "{{sample.output_text}}", "n": None},
        Sample('{"city": "Rome"}'),
    )
    assert templates.fill("{{item.a.b[1].c}} {{ item.a.b[0] }}", values) == "deep 1"
    assert templates.fill("{{sample.output_json.city}}", values) == "Rome"
    assert templates.fill("{{item.evil}}", values) == "{{sample.output_text}}"  # a row is no template
    for missing in ("{{item.z}}", "{{item.a.b[9]}}", "{{item.n.x}}", "{{sample.output_json.land}}"):
        with pytest.raises(Unjudgeable) as caught:
            templates.fill(missing, values)
        assert caught.value.reason == "FIELD_MISSING"
