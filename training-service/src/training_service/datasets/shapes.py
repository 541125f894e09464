"""From what a line holds to a row: every form that is understood, and a fault for all others.

Understood: `messages`; `input`, `preferred_output`, `non_preferred_output`; `prompt`, `chosen`,
`rejected`; `prompt`, `completion`; `text`, `label`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from training_service.datasets.faults import Cause, RowFault
from training_service.datasets.rows import Message, Place, Row

_ROLES = {"system", "developer", "user", "assistant"}
MAX_MESSAGES = 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one row and one source may hold."""

    row_chars: int = 262_144
    rows: int = 1_000_000


def to_row(found: object, place: Place, limits: Limits) -> Row:
    """Raises RowFault."""
    if not isinstance(found, Mapping):
        raise RowFault(Cause.BAD_SHAPE, "a row is an object", place)
    row = _row(found, place)
    if sum(len(message.content) for message in row.messages) + len(row.chosen + row.rejected) > (
        limits.row_chars
    ):
        raise RowFault(Cause.TOO_LONG, f"the row has more than {limits.row_chars} characters", place)
    if not any(message.content.strip() for message in row.prompt):
        raise RowFault(Cause.EMPTY_PROMPT, "there is nothing before the answer", place)
    if not row.answer.strip():
        raise RowFault(Cause.EMPTY_ANSWER, "the answer is empty", place)
    return row


def _row(found: Mapping[str, Any], place: Place) -> Row:
    if "messages" in found:
        return _conversation(found, place)
    if "preferred_output" in found or "non_preferred_output" in found:
        return _preference(found, place)
    if "chosen" in found or "rejected" in found:
        prompt = found.get("prompt")
        messages = _messages(prompt, place) if _is_list(prompt) else (_user(prompt, "prompt", place),)
        return _pair(messages, found.get("chosen"), found.get("rejected"), place)
    if "completion" in found:
        prompt = found.get("prompt")
        messages = _messages(prompt, place) if _is_list(prompt) else (_user(prompt, "prompt", place),)
        answer = _text(found["completion"], "completion", place)
        return Row((*messages, Message("assistant", answer)), place)
    if "label" in found:
        label = found["label"]
        if isinstance(label, int) and not isinstance(label, bool):
            label = str(label)
        name = _text(label, "label", place).strip()
        return Row((_user(found.get("text"), "text", place), Message("assistant", name)), place, label=name)
    raise RowFault(
        Cause.BAD_SHAPE,
        "expected 'messages', 'prompt' and 'completion', 'text' and 'label', or two answers to one 'input'",
        place,
    )


def _conversation(found: Mapping[str, Any], place: Place) -> Row:
    if found.get("tools") or found.get("functions"):
        raise RowFault(Cause.BAD_SHAPE, "calls of tools are not trained", place)
    messages = _messages(found["messages"], place)
    if messages[-1].role != "assistant":
        raise RowFault(Cause.EMPTY_ANSWER, "the last message is not the assistant's", place)
    if not any(message.trained for message in messages if message.role == "assistant"):
        raise RowFault(Cause.EMPTY_ANSWER, "every answer has weight 0", place)
    label = found.get("label", "")
    return Row(messages, place, label=label if isinstance(label, str) else "")


def _preference(found: Mapping[str, Any], place: Place) -> Row:
    asked = found.get("input")
    if not isinstance(asked, Mapping):
        raise RowFault(Cause.BAD_SHAPE, "'input' with 'messages' is missing", place)
    return _pair(
        _messages(asked.get("messages"), place),
        found.get("preferred_output"),
        found.get("non_preferred_output"),
        place,
    )


def _pair(prompt: tuple[Message, ...], chosen: object, rejected: object, place: Place) -> Row:
    better, worse = _answer(chosen, "better", place), _answer(rejected, "worse", place)
    if not better.strip() or not worse.strip():
        raise RowFault(Cause.EMPTY_ANSWER, "one of the two answers is empty", place)
    if better.strip() == worse.strip():
        raise RowFault(Cause.SAME_ANSWERS, "both answers are the same", place)
    return Row(prompt, place, chosen=better, rejected=worse)


def _answer(found: object, name: str, place: Place) -> str:
    if isinstance(found, str):
        return found
    if isinstance(found, Mapping):
        found = [found]
    messages = _messages(found, place)
    if len(messages) != 1 or messages[0].role != "assistant":
        raise RowFault(Cause.BAD_ROLE, f"the {name} answer is one message of the assistant", place)
    return messages[0].content


def _messages(found: object, place: Place) -> tuple[Message, ...]:
    if isinstance(found, str):  # a column of a table holds them as JSON
        try:
            found = orjson.loads(found)
        except orjson.JSONDecodeError:
            raise RowFault(Cause.BAD_JSON, "'messages' is not valid JSON", place) from None
    if not isinstance(found, list) or not 1 <= len(found) <= MAX_MESSAGES:
        raise RowFault(Cause.BAD_SHAPE, f"'messages' is a list of 1 to {MAX_MESSAGES}", place)
    return tuple(_turn(each, place) for each in found)


def _turn(found: object, place: Place) -> Message:
    if not isinstance(found, Mapping):
        raise RowFault(Cause.BAD_SHAPE, "a message is an object", place)
    role = found.get("role")
    if role is None:
        raise RowFault(Cause.BAD_ROLE, "a message has no role", place)
    if role not in _ROLES:
        raise RowFault(Cause.BAD_ROLE, "a role is 'system', 'developer', 'user' or 'assistant'", place)
    if found.get("tool_calls") or found.get("function_call"):
        raise RowFault(Cause.BAD_SHAPE, "calls of tools are not trained", place)
    weight = found.get("weight")
    if weight not in (None, 0, 1):
        raise RowFault(Cause.BAD_SHAPE, "a weight is 0 or 1", place)
    content = _content(found.get("content"), place)
    if role == "assistant" and not content.strip():
        raise RowFault(Cause.EMPTY_ANSWER, "an answer is empty", place)
    return Message("system" if role == "developer" else str(role), content, trained=weight != 0)


def _content(found: object, place: Place) -> str:
    if isinstance(found, list):
        texts = [
            part.get("text") for part in found if isinstance(part, Mapping) and part.get("type") == "text"
        ]
        if len(texts) != len(found) or not all(isinstance(text, str) for text in texts):
            raise RowFault(Cause.BAD_SHAPE, "only text can be trained on", place)
        return "".join(str(text) for text in texts)
    return _text(found if found is not None else "", "content", place)


def _user(found: object, name: str, place: Place) -> Message:
    return Message("user", _text(found, name, place))


def _text(found: object, name: str, place: Place) -> str:
    if not isinstance(found, str):
        raise RowFault(Cause.BAD_SHAPE, f"'{name}' is not a text", place)
    try:
        found.encode()
    except UnicodeEncodeError:
        raise RowFault(Cause.BAD_SHAPE, f"'{name}' has characters that no text has", place) from None
    return found


def _is_list(found: object) -> bool:
    return isinstance(found, list) or (isinstance(found, str) and found.lstrip().startswith('[{"role"'))
