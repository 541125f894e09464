"""Items, the units that the Responses API counts in, and the turns that a model reads."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from gateway.openai import fields
from gateway.openai.messages import MAX_PARTS, MAX_TOOL_CALLS
from gateway.openai.request import Message, Part, ToolCall

MAX_ITEMS = 4096
_ROLES = ("user", "assistant", "system", "developer")
_DETAILS = ("auto", "low", "high")
_SILENT = frozenset({"reasoning", "file_search_call"})
"""Items of earlier answers that the model is not told again."""
_TEXTS = frozenset({"input_text", "output_text", "text"})


def read_items(body: dict[str, Any]) -> list[dict[str, Any]]:
    """`input` as checked items, each with an id. Raises SixfoldError with the path of what is wrong."""
    given = body.get("input")
    if given is None:
        raise fields.missing("input")
    if isinstance(given, str):
        if not given:
            raise fields.invalid("input", "must not be empty.")
        given = [{"role": "user", "content": given}]
    if not isinstance(given, list):
        raise fields.wrong_type("input", "a string or an array of items", given)
    if not given:
        raise fields.invalid("input", "at least one item is needed.")
    if len(given) > MAX_ITEMS:
        raise fields.invalid("input", f"more than {MAX_ITEMS} items.")
    return [_read_item(entry, f"input[{index}]") for index, entry in enumerate(given)]


def _read_item(entry: Any, at: str) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise fields.wrong_type(at, "an object", entry)
    kind = fields.text(entry, "type", f"{at}.type") or "message"
    identifier = fields.text(entry, "id", f"{at}.id", longest=128)
    if kind == "message":
        return {"id": identifier or new_id("msg"), "type": "message", **_read_message(entry, at)}
    if kind == "function_call":
        return {
            "id": identifier or new_id("fc"),
            "type": kind,
            "call_id": fields.required_text(entry, "call_id", f"{at}.call_id"),
            "name": fields.required_text(entry, "name", f"{at}.name"),
            "arguments": fields.text(entry, "arguments", f"{at}.arguments") or "",
            "status": "completed",
        }
    if kind == "function_call_output":
        return {
            "id": identifier or new_id("fco"),
            "type": kind,
            "call_id": fields.required_text(entry, "call_id", f"{at}.call_id"),
            "output": _read_output(entry, at),
            "status": "completed",
        }
    if kind in _SILENT:
        return {**entry, "id": identifier or new_id("rs" if kind == "reasoning" else "fs")}
    raise fields.unsupported(f"{at}.type", "Items of this type are not supported here.")


def _read_message(entry: dict[str, Any], at: str) -> dict[str, Any]:
    role = fields.one_of(fields.required_text(entry, "role", f"{at}.role"), f"{at}.role", _ROLES)
    content = entry.get("content")
    plain = "output_text" if role == "assistant" else "input_text"
    if isinstance(content, str):
        parts = [_text(plain, content)]
    elif isinstance(content, list):
        if len(content) > MAX_PARTS:
            raise fields.invalid(f"{at}.content", f"more than {MAX_PARTS} parts.")
        parts = [_read_part(part, f"{at}.content[{index}]", plain) for index, part in enumerate(content)]
    elif content is None:
        raise fields.missing(f"{at}.content")
    else:
        raise fields.wrong_type(f"{at}.content", "a string or an array of parts", content)
    return {"role": role, "content": parts, "status": "completed"}


def _read_part(part: Any, at: str, plain: str) -> dict[str, Any]:
    if not isinstance(part, dict):
        raise fields.wrong_type(at, "an object", part)
    kind = fields.required_text(part, "type", f"{at}.type")
    if kind in _TEXTS:
        text = fields.text(part, "text", f"{at}.text")
        if text is None:
            raise fields.missing(f"{at}.text")
        shaped = _text(plain, text)
        if plain == "output_text" and isinstance(part.get("annotations"), list):
            shaped["annotations"] = part["annotations"]
        return shaped
    if kind == "refusal":
        return {"type": kind, "refusal": fields.text(part, "refusal", f"{at}.refusal") or ""}
    if kind == "input_image":
        url = fields.text(part, "image_url", f"{at}.image_url", longest=2**24)
        if not url:
            raise fields.unsupported(f"{at}.image_url", "Images are taken by 'image_url' only.")
        detail = fields.text(part, "detail", f"{at}.detail") or "auto"
        return {
            "type": kind,
            "image_url": url,
            "detail": fields.one_of(detail, f"{at}.detail", _DETAILS),
        }
    if kind == "input_file":
        raise fields.unsupported(
            f"{at}.type",
            "Files are not read into a prompt whole: put them into a vector store and use file_search.",
        )
    raise fields.unsupported(f"{at}.type", "Parts of this type are not supported here.")


def _read_output(entry: dict[str, Any], at: str) -> str | list[dict[str, Any]]:
    output = entry.get("output")
    if isinstance(output, str):
        return output
    if isinstance(output, list) and len(output) <= MAX_PARTS:
        return [_read_part(part, f"{at}.output[{index}]", "input_text") for index, part in enumerate(output)]
    if output is None:
        raise fields.missing(f"{at}.output")
    raise fields.wrong_type(f"{at}.output", "a string or an array of parts", output)


def _text(kind: str, text: str) -> dict[str, Any]:
    return {"type": kind, "text": text, **({"annotations": []} if kind == "output_text" else {})}


def to_turns(items: Sequence[dict[str, Any]]) -> list[Message]:
    """The turns of a conversation, out of items of input and of earlier output.

    Calls of one turn are one assistant turn, with the text that was said before them.
    """
    turns: list[Message] = []
    for item in items:
        kind = item["type"]
        if kind == "message":
            turns.append(Message(item["role"], _content(item["content"])))
        elif kind == "function_call":
            call = ToolCall(item["call_id"], item["name"], item["arguments"])
            last = turns[-1] if turns else None
            if last is None or last.role != "assistant" or len(last.tool_calls or ()) >= MAX_TOOL_CALLS:
                last = Message("assistant", [])
                turns.append(last)
            last.tool_calls = [*(last.tool_calls or ()), call]
        elif kind == "function_call_output":
            output = item["output"]
            content: list[Part] = [output] if isinstance(output, str) else _content(output)
            turns.append(Message("tool", content, tool_call_id=item["call_id"]))
    return turns


def _content(parts: Sequence[dict[str, Any]]) -> list[Part]:
    found: list[Part] = []
    for part in parts:
        if part["type"] == "input_image":
            found.append((part["image_url"], part["detail"]))
        elif part["type"] == "refusal":
            found.append(part["refusal"])
        else:
            found.append(part["text"])
    return found


def new_id(prefix: str) -> str:
    """An id that nobody guesses."""
    return f"{prefix}_{secrets.token_hex(16)}"
