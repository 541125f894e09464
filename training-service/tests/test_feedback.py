"""Feedback to rows, and the gateway's record of an answer."""

from __future__ import annotations

import json

import pytest

from training_service.adapters.kept import content_of
from training_service.datasets.faults import Cause, RowFault
from training_service.datasets.feedback import to_feedback_row
from training_service.datasets.rows import Kind, Place, Row
from training_service.datasets.shapes import Limits

PLACE = Place("feedback", 1)
MESSAGES = [
    {"role": "user", "content": "first"},
    {"role": "assistant", "content": "not judged"},
    {"role": "user", "content": "second"},
]


def test_a_correction_teaches_the_better_answer_alone() -> None:
    row = to_feedback_row(
        {"messages": MESSAGES, "answer": "bad", "correction": "good"}, None, PLACE, Limits()
    )
    assert isinstance(row, Row)
    assert row.answer == "good"
    assert [turn.trained for turn in row.messages if turn.role == "assistant"] == [False, True]


def test_a_correction_is_a_preference_too() -> None:
    item = {"messages": MESSAGES, "answer": "bad", "correction": "good"}
    row = to_feedback_row(item, Kind.PREFERENCE, PLACE, Limits())
    assert isinstance(row, Row)
    assert (row.chosen, row.rejected) == ("good", "bad")


@pytest.mark.parametrize(
    ("item", "kind", "cause"),
    [
        ({"correction": "good"}, None, Cause.BAD_SHAPE),
        ({"messages": MESSAGES, "answer": "", "correction": ""}, None, Cause.EMPTY_ANSWER),
        ({"messages": MESSAGES, "answer": "liked", "correction": ""}, Kind.PREFERENCE, Cause.WRONG_KIND),
        ({"messages": MESSAGES, "answer": "", "correction": "x"}, Kind.PREFERENCE, Cause.EMPTY_ANSWER),
    ],
)
def test_what_teaches_nothing_is_a_fault(item: dict[str, object], kind: Kind | None, cause: Cause) -> None:
    fault = to_feedback_row(item, kind, PLACE, Limits())
    assert isinstance(fault, RowFault)
    assert fault.cause is cause


def test_the_first_choice_of_a_kept_answer_counts() -> None:
    kept = {"messages": MESSAGES, "answer": [{"text": "one"}, {"text": "two"}]}
    assert content_of(json.dumps(kept).encode()) == {"messages": MESSAGES, "answer": "one"}
    assert content_of(b"{") == {}
    assert content_of(b"[]") == {}
    assert content_of(b"") == {}
