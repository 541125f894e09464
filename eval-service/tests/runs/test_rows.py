"""Rows are read line by line; what is wrong is named by its line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from eval_service.criteria.base import Unjudgeable
from eval_service.runs.rows import BadRows, digest, of, read
from eval_service.runs.source import Completions, ask_of, parse_config, parse_source
from servicekit.errors import Reason, SixfoldError


def lines(*rows: Any) -> list[bytes]:
    return [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]


def test_rows_of_openai_and_bare_ones_are_read() -> None:
    rows = read(lines({"item": {"a": 1}}, {"a": 2}, b"  ", {"a": 1}), most=10)
    assert [dict(row.item) for row in rows] == [{"a": 1}, {"a": 2}, {"a": 1}]
    # The same row twice is two items; each has its own key, the same in every file.
    assert rows[0].key != rows[2].key
    assert rows[0].key.split(".")[0] == rows[2].key.split(".")[0]
    again = read(lines(b"\xef\xbb\xbf" + b'{"a": 1}', {"a": 2}, {"item": {"a": 1}}), most=10)
    assert [row.key for row in again] == [row.key for row in rows]
    assert digest(rows) == digest(again)
    assert digest(rows) != digest(rows[:2])


def test_an_answer_does_not_change_a_rows_key() -> None:
    one = of([{"item": {"a": 1}, "sample": {"output_text": "x"}}], None, answered=True)
    two = of([{"item": {"a": 1}, "sample": {"output_text": "y"}}], None, answered=True)
    assert one[0].key == two[0].key


@pytest.mark.parametrize(
    ("given", "reason", "words"),
    [
        (lines(), "EMPTY_DATA", "no row"),
        (lines(b"", b"\n"), "EMPTY_DATA", "no row"),
        (lines({"a": 1}, b"", b"{"), "INVALID_ROW", "line 3: it is no JSON"),
        (lines([1]), "INVALID_ROW", "line 1: it is no object"),
        (lines({"a": 1}, {"item": 3}), "INVALID_ROW", "line 2"),
        (lines(b"[" * 100_000), "INVALID_ROW", "no JSON"),
        (lines({"a": "x" * 1_000_001}), "INVALID_ROW", "more than"),
        (lines(*[b"no"] * 9), "INVALID_ROW", "line 5: it is no JSON and more"),
        (lines(*[{"a": n} for n in range(11)]), "TOO_MANY_ROWS", "more than 10"),
    ],
)
def test_what_cannot_be_used_is_named(given: list[bytes], reason: str, words: str) -> None:
    with pytest.raises(BadRows) as caught:
        read(given, most=10)
    assert caught.value.reason == reason
    assert words in caught.value.message


def test_rows_follow_the_schema_and_hold_answers_where_they_must() -> None:
    schema = {"type": "object", "required": ["a"]}
    with pytest.raises(BadRows, match="line 2: the item does not follow"):
        read(lines({"a": 1}, {"b": 1}), most=10, schema=schema)
    with pytest.raises(BadRows, match="line 1: it holds no answer"):
        read(lines({"item": {"a": 1}}), most=10, answered=True)


ASKED = {
    "type": "completions",
    "model": "m",
    "source": {"type": "file_id", "id": "file-1"},
    "input_messages": {
        "type": "template",
        "template": [
            {"role": "system", "content": "Classify."},
            {"role": "user", "content": "{{item.text}}"},
        ],
    },
}


def test_prompts_are_filled_from_rows() -> None:
    source = parse_source({**ASKED, "sampling_params": {"temperature": 0, "max_completion_tokens": 9}})
    assert isinstance(source, Completions)
    ask = ask_of(source, {"text": "Ignore that. {{item.label}}"}, seed=4)
    assert ask.turns == (("system", "Classify."), ("user", "Ignore that. {{item.label}}"))
    assert (ask.temperature, ask.max_tokens, ask.seed) == (0, 9, 4)
    with pytest.raises(Unjudgeable):
        ask_of(source, {}, seed=0)


def test_turns_may_lie_in_the_row() -> None:
    source = parse_source(
        {**ASKED, "input_messages": {"type": "item_reference", "item_reference": "item.turns"}}
    )
    assert isinstance(source, Completions)
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]
    assert ask_of(source, {"turns": turns}, seed=0).turns == (("user", "Hi"), ("assistant", "Yes?"))
    assert ask_of(source, {"turns": "Hi"}, seed=0).turns == (("user", "Hi"),)
    for bad in ([], 3, [{"role": "tool", "content": "x"}], [{"role": "user"}]):
        with pytest.raises(Unjudgeable):
            ask_of(source, {"turns": bad}, seed=0)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": ""}, "data_source.model"),
        ({"source": {"type": "file_id"}}, "data_source.source.id"),
        ({"input_messages": {"type": "template", "template": []}}, "data_source.input_messages.template"),
        ({"sampling_params": {"temperature": 9}}, "data_source.sampling_params.temperature"),
        (
            {"sampling_params": {"response_format": {"type": "choice"}}},
            "data_source.sampling_params.response_format",
        ),
    ],
)
def test_a_source_that_means_nothing_is_refused(change: dict[str, Any], param: str) -> None:
    with pytest.raises(SixfoldError) as caught:
        parse_source({**ASKED, **change})
    assert caught.value.reason is Reason.INVALID_REQUEST
    assert caught.value.param == param


def test_what_is_not_offered_says_so() -> None:
    for given in ({"type": "responses"}, {**ASKED, "source": {"type": "stored_completions"}}):
        with pytest.raises(SixfoldError) as caught:
            parse_source(given)
        assert caught.value.reason is Reason.UNSUPPORTED_PARAMETER
    with pytest.raises(SixfoldError):
        parse_config({"type": "logs"})
    with pytest.raises(SixfoldError):
        parse_config({"type": "custom", "item_schema": {"type": 3}})
    assert parse_config({"type": "custom", "item_schema": {}, "include_sample_schema": True})
