"""What people said about answers, as rows: corrections teach the better answer, praise the given one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training_service.datasets.faults import Cause, RowFault
from training_service.datasets.rows import Kind, Message, Place, Row
from training_service.datasets.shapes import Limits, to_row

GOOD_SCORE = 0.8
"""A score from here on is praise; scores run from 0 to 1."""


def to_feedback_row(
    item: Mapping[str, Any], kind: Kind | None, place: Place, limits: Limits
) -> Row | RowFault:
    """From a feedback joined with its request's content: `messages`, `answer`, `correction`.

    Corrections can be preferences too: the corrected answer over the given one.
    """
    messages, answer = item.get("messages"), item.get("answer")
    correction = str(item.get("correction") or "")
    if not isinstance(messages, list) or not messages:
        return RowFault(Cause.BAD_SHAPE, "the request's messages were not kept", place)
    better = correction or (answer if isinstance(answer, str) else "")
    try:
        if kind is Kind.PREFERENCE:
            if not correction:
                return RowFault(Cause.WRONG_KIND, "praise alone is no preference", place)
            return to_row({"prompt": messages, "chosen": correction, "rejected": answer}, place, limits)
        said = [*messages, {"role": "assistant", "content": better}]
        row = to_row({"messages": said}, place, limits)
    except RowFault as fault:
        return fault
    # Earlier answers of the conversation were not judged: they are read, and not learned.
    turns = tuple(Message(each.role, each.content, trained=False) for each in row.messages[:-1])
    earlier = tuple(turn if turn.role == "assistant" else Message(turn.role, turn.content) for turn in turns)
    return Row((*earlier, row.messages[-1]), place, label=row.label)
