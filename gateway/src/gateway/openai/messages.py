"""The turns of a conversation."""

from __future__ import annotations

from typing import Any

from gateway.openai import fields, verbatim
from gateway.openai.request import Message, Part, ToolCall

ROLES = ("system", "developer", "user", "assistant", "tool")
MAX_MESSAGES = 4096
MAX_PARTS = 1024
MAX_TOOL_CALLS = 128
_ROLES = frozenset(ROLES)
_PLAIN = frozenset({"role", "content"})
_KNOWN = frozenset({"role", "content", "name", "tool_calls", "tool_call_id"})
_DETAILS = ("auto", "low", "high")


def read_messages(body: dict[str, Any], raw: bytes) -> list[Message]:
    """The turns, oldest first, at least one."""
    given = fields.array(body, "messages", longest=MAX_MESSAGES)
    if given is None:
        raise fields.missing("messages")
    if not given:
        raise fields.invalid("messages", "at least one message is needed.")
    turns: list[Message] = []
    for index, entry in enumerate(given):
        # The common turn first: a role and a string.
        if (
            type(entry) is dict
            and entry.keys() == _PLAIN
            and type(content := entry["content"]) is str
            and type(role := entry["role"]) is str
            and role in _ROLES
            and role != "tool"
        ):
            turns.append(Message(role, [content]))
        else:
            turns.append(_read_turn(entry, index, raw))
    return turns


def _read_turn(entry: Any, index: int, raw: bytes) -> Message:
    at = f"messages[{index}]"
    if not isinstance(entry, dict):
        raise fields.wrong_type(at, "an object", entry)
    role = fields.required_text(entry, "role", f"{at}.role")
    fields.one_of(role, f"{at}.role", ROLES)
    turn = Message(role, _read_content(entry, at, index, raw))
    turn.name = fields.text(entry, "name", f"{at}.name", longest=256) or ""
    turn.tool_calls = _read_tool_calls(entry, at)
    turn.tool_call_id = fields.text(entry, "tool_call_id", f"{at}.tool_call_id", longest=256) or ""
    if role == "tool" and not turn.tool_call_id:
        raise fields.missing(f"{at}.tool_call_id")
    if not entry.keys() <= _KNOWN:
        turn.extra = verbatim.without(verbatim.members(_source(raw, index)), _KNOWN)
    if entry.get("content") is None and role != "assistant":
        raise fields.missing(f"{at}.content")
    return turn


def _read_content(entry: dict[str, Any], at: str, index: int, raw: bytes) -> list[Part]:
    content = entry.get("content")
    if content is None:
        return []
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        raise fields.wrong_type(f"{at}.content", "a string or an array of parts", content)
    if len(content) > MAX_PARTS:
        raise fields.invalid(f"{at}.content", f"more than {MAX_PARTS} parts.")
    parts: list[Part] = []
    for number, part in enumerate(content):
        path = f"{at}.content[{number}]"
        if not isinstance(part, dict):
            raise fields.wrong_type(path, "an object", part)
        kind = fields.required_text(part, "type", f"{path}.type")
        known = _known_part(part, kind, path)
        if known is None:
            source = verbatim.members(_source(raw, index))["content"]
            known = verbatim.items(source)[number].encode()
        parts.append(known)
    return parts


def _known_part(part: dict[str, Any], kind: str, path: str) -> Part | None:
    """A part that the contract names whole; None sends it on as it came."""
    if kind == "text":
        text = fields.text(part, "text", f"{path}.text")
        if text is None:
            raise fields.missing(f"{path}.text")
        return text if len(part) == 2 else None
    if kind == "image_url":
        image = fields.obj(part, "image_url", f"{path}.image_url")
        if image is None:
            raise fields.missing(f"{path}.image_url")
        url = fields.required_text(image, "url", f"{path}.image_url.url", longest=2**24)
        detail = fields.text(image, "detail", f"{path}.image_url.detail") or ""
        if detail:
            fields.one_of(detail, f"{path}.image_url.detail", _DETAILS)
        plain = len(part) == 2 and image.keys() <= {"url", "detail"}
        return (url, detail) if plain else None
    return None


def _read_tool_calls(entry: dict[str, Any], at: str) -> list[ToolCall] | None:
    given = fields.array(entry, "tool_calls", f"{at}.tool_calls", longest=MAX_TOOL_CALLS)
    if not given:
        return None
    calls = []
    for number, call in enumerate(given):
        path = f"{at}.tool_calls[{number}]"
        if not isinstance(call, dict):
            raise fields.wrong_type(path, "an object", call)
        if (call.get("type") or "function") != "function":
            raise fields.unsupported(f"{path}.type", "Only calls of type 'function' are supported.")
        function = fields.obj(call, "function", f"{path}.function")
        if function is None:
            raise fields.missing(f"{path}.function")
        calls.append(
            ToolCall(
                fields.required_text(call, "id", f"{path}.id"),
                fields.required_text(function, "name", f"{path}.function.name"),
                fields.text(function, "arguments", f"{path}.function.arguments") or "",
            )
        )
    return calls


def _source(raw: bytes, index: int) -> str:
    """The text of one turn, as the caller wrote it."""
    return verbatim.items(verbatim.members(raw.decode())["messages"])[index]
