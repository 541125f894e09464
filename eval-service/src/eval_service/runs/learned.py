"""Rows that models are trained on, as items that they are measured by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class NoItem(Exception):
    """The row cannot be one; says why."""


def to_item(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a data set's row asks, apart from the answer that is right. Raises NoItem.

    `messages`: the turns up to the answer, for an `item_reference` to "item.messages";
    `question`: the text of the last of them that a user said, for templates of one's own;
    `answer`: what is right, for criteria such as `"reference": "{{item.answer}}"`;
    `label` where the row has one, and `rejected`, the worse answer, in rows of preferences.
    """
    if "messages" in row:
        turns = _turns(row["messages"])
        answer = turns.pop() if turns and turns[-1]["role"] == "assistant" else None
        if answer is None:
            raise NoItem("its last message is no assistant's")
        item: dict[str, Any] = {"messages": turns, "answer": answer["content"]}
    else:
        given = row.get("input")
        item = {
            "messages": _turns(given.get("messages") if isinstance(given, Mapping) else None),
            "answer": _said(row.get("preferred_output")),
            "rejected": _said(row.get("non_preferred_output")),
        }
    if not item["messages"]:
        raise NoItem("nothing is asked in it")
    asked = [turn["content"] for turn in item["messages"] if turn["role"] == "user"]
    item["question"] = asked[-1] if asked else item["messages"][-1]["content"]
    if "label" in row:
        item["label"] = row["label"]
    return item


def _turns(given: Any) -> list[dict[str, str]]:
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise NoItem("it has no messages")
    turns = []
    for each in given:
        if not isinstance(each, Mapping) or not all(
            isinstance(each.get(key), str) for key in ("role", "content")
        ):
            raise NoItem("a message has no role and text")
        turns.append({"role": each["role"], "content": each["content"]})
    return turns


def _said(given: Any) -> str:
    turns = _turns(given)
    if not turns:
        raise NoItem("an answer is missing")
    return turns[-1]["content"]
