"""Requests of the Responses API in a batch: text in, text out, told to models as chat.

Nothing is kept behind a batch: no tools, no earlier response, no file search, and no stored response.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FIELDS = frozenset(
    {"model", "input", "instructions", "max_output_tokens", "temperature", "top_p", "text", "user"}
    | {"metadata", "store", "stream", "service_tier", "safety_identifier"}
)
_ROLES = ("system", "developer", "user", "assistant")
_TEXTS = ("input_text", "output_text", "text")
_OURS = {"messages": "input", "max_completion_tokens": "max_output_tokens", "response_format": "text.format"}


def fault(body: Mapping[str, Any]) -> tuple[str, str] | None:
    """The field at fault and what is wrong with it, of what chat has no such field for."""
    if body.get("store"):
        return "store", "Responses of a batch are not stored; they are in its output."
    if not isinstance(body.get("instructions", ""), str | None):
        return "instructions", "Instructions are a text."
    given = body.get("input")
    if isinstance(given, str):
        if not given:
            return "input", "The input is not empty."
    elif not isinstance(given, list) or not given or not all(map(_is_message, given)):
        return "input", "The input is a text, or messages of text with a role."
    text = body.get("text")
    if text is not None and not (
        isinstance(text, dict) and not text.keys() - {"format"} and isinstance(text.get("format", {}), dict)
    ):
        return "text", "Of 'text', only the format can be chosen."
    return None


def to_chat(body: Mapping[str, Any]) -> dict[str, Any]:
    """The same as a chat request. `body` has passed `fault`."""
    given = body["input"]
    turns = (
        [{"role": "user", "content": given}] if isinstance(given, str) else [_turn(each) for each in given]
    )
    if body.get("instructions"):
        turns.insert(0, {"role": "system", "content": body["instructions"]})
    chat: dict[str, Any] = {"model": body.get("model"), "messages": turns}
    for theirs, ours in (
        ("max_output_tokens", "max_completion_tokens"),
        ("temperature",) * 2,
        ("top_p",) * 2,
        ("stream",) * 2,
    ):
        if body.get(theirs) is not None:
            chat[ours] = body[theirs]
    form = (body.get("text") or {}).get("format")
    if form is not None:
        named = {key: value for key, value in form.items() if key != "type"}
        chat["response_format"] = {"type": form.get("type"), **({"json_schema": named} if named else {})}
    return chat


def field_of(name: str) -> str:
    """A field of chat, as the Responses API calls it."""
    return _OURS.get(name, name)


def _is_message(given: Any) -> bool:
    if not isinstance(given, dict) or given.get("type", "message") != "message":
        return False
    content = given.get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    return given.get("role") in _ROLES and all(
        isinstance(part, dict) and part.get("type") in _TEXTS and isinstance(part.get("text"), str)
        for part in parts
    )


def _turn(given: Mapping[str, Any]) -> dict[str, Any]:
    content = given["content"]
    if isinstance(content, list):
        content = [{"type": "text", "text": part["text"]} for part in content]
    return {"role": given["role"], "content": content}
