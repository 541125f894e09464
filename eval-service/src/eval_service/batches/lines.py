"""The lines of a batch's file, checked one by one before anything is asked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from eval_service.batches import responses

CHAT, TEXT, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
RESPONSES = "/v1/responses"
ENDPOINTS = (CHAT, TEXT, EMBEDDINGS, RESPONSES)
MAX_LINE = 4_000_000
MAX_ERRORS = 100
"""Bad lines that a batch's errors name."""

_COMMON = frozenset(
    {"model", "max_tokens", "temperature", "top_p", "n", "stop", "seed", "user", "stream", "presence_penalty"}
    | {"frequency_penalty", "metadata", "store", "service_tier", "safety_identifier"}
)
_FIELDS: Mapping[str, frozenset[str]] = {
    CHAT: _COMMON | {"messages", "max_completion_tokens", "response_format", "guided_choice"},
    TEXT: _COMMON | {"prompt"},
    EMBEDDINGS: frozenset({"model", "input", "dimensions", "encoding_format", "user"}),
    RESPONSES: responses.FIELDS,
}
_ROLES = ("system", "developer", "user", "assistant")
_CUSTOM = re.compile(r"[^\x00-\x1f]{1,512}")


@dataclass(frozen=True, slots=True)
class Request:
    """One line."""

    index: int
    custom_id: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LineError:
    """Why a line cannot be taken."""

    line: int
    code: str
    message: str
    param: str | None = None

    def told(self) -> dict[str, Any]:
        """As OpenAI's batches name it."""
        return {"code": self.code, "line": self.line, "message": self.message, "param": self.param}


def read(lines: Iterable[bytes], endpoint: str, *, most: int) -> tuple[list[Request], list[LineError]]:
    """All requests, or what is wrong with the file: with one error there is nothing to begin."""
    found: list[Request] = []
    errors: list[LineError] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        error, request = _line(number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line, endpoint)
        if request is not None and request.custom_id in seen:
            words = f"The custom_id is that of line {seen[request.custom_id]}."
            error = LineError(number, "duplicate_custom_id", words, "custom_id")
        if error is not None:
            errors.append(error)
            if len(errors) >= MAX_ERRORS:
                break
        elif request is not None:
            seen[request.custom_id] = number
            found.append(Request(len(found), request.custom_id, request.body))
            if len(found) > most:
                errors.append(
                    LineError(number, "too_many_requests", f"A batch has at most {most:,} requests.")
                )
                break
    if not found and not errors:
        errors.append(LineError(1, "empty_file", "The file has no requests."))
    return found, errors


def _line(number: int, line: bytes, endpoint: str) -> tuple[LineError | None, Request | None]:
    def bad(code: str, message: str, param: str | None = None) -> tuple[LineError, None]:
        return LineError(number, code, message, param), None

    if len(line) > MAX_LINE:
        return bad("line_too_large", f"A line has at most {MAX_LINE:,} bytes.")
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return bad("invalid_json_line", "This line is not parseable as valid JSON.")
    if not isinstance(told, dict):
        return bad("invalid_request", "A line is an object.")
    custom, body = told.get("custom_id"), told.get("body")
    if not isinstance(custom, str) or not _CUSTOM.fullmatch(custom):
        return bad(
            "missing_required_parameter", "A line has a custom_id of 1 to 512 characters.", "custom_id"
        )
    if told.get("method") != "POST":
        return bad("invalid_method", "The method is POST.", "method")
    if told.get("url") != endpoint:
        return bad("invalid_url", f"The url is the batch's endpoint, {endpoint}.", "url")
    if not isinstance(body, dict):
        return bad("missing_required_parameter", "A line has a body.", "body")
    if (why := _body(body, endpoint)) is not None:
        return bad("invalid_request", why[1], f"body.{why[0]}")
    return None, Request(0, custom, body)


def _body(body: Mapping[str, Any], endpoint: str) -> tuple[str, str] | None:
    """The field at fault and what is wrong with it."""
    model = body.get("model")
    if not isinstance(model, str) or not 0 < len(model) <= 200:
        return "model", "A model is required."
    if unknown := sorted(body.keys() - _FIELDS[endpoint]):
        return unknown[0][:100], "Batches do not take this field."
    if body.get("stream"):
        return "stream", "A batch does not stream."
    if endpoint == EMBEDDINGS:
        texts = body.get("input")
        texts = [texts] if isinstance(texts, str) else texts
        if not isinstance(texts, list) or not 0 < len(texts) <= 2048:
            return "input", "The input is a text, or up to 2048 of them."
        if not all(isinstance(text, str) and text for text in texts):
            return "input", "Every input is a text that is not empty."
        if body.get("encoding_format", "float") not in ("float", "base64"):
            return "encoding_format", "The encoding is float or base64."
        return _number(body, "dimensions", 1, 65_536, whole=True)
    if endpoint == RESPONSES:
        wrong = responses.fault(body) or _body(responses.to_chat(body), CHAT)
        return wrong and (responses.field_of(wrong[0]), wrong[1])
    if endpoint == TEXT and not (isinstance(body.get("prompt"), str) and body["prompt"]):
        return "prompt", "A prompt that is a text is required."
    if endpoint == CHAT and (why := _messages(body.get("messages"))) is not None:
        return "messages", why
    for name, low, high, whole in (
        ("temperature", 0, 2, False),
        ("top_p", 0, 1, False),
        ("presence_penalty", -2, 2, False),
        ("frequency_penalty", -2, 2, False),
        ("n", 1, 16, True),
        ("max_tokens", 1, 1_000_000, True),
        ("max_completion_tokens", 1, 1_000_000, True),
        ("seed", -(2**63), 2**63 - 1, True),
    ):
        if (wrong := _number(body, name, low, high, whole=whole)) is not None:
            return wrong
    return _shape(body)


def _messages(given: Any) -> str | None:
    if not isinstance(given, list) or not given:
        return "Messages are required."
    for each in given:
        if not isinstance(each, dict) or each.get("role") not in _ROLES:
            return "A message has a role: system, developer, user or assistant."
        content = each.get("content")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not isinstance(parts, list) or not parts:
            return "A message has content."
        for part in parts:
            if (
                not isinstance(part, dict)
                or part.get("type") != "text"
                or not isinstance(part.get("text"), str)
            ):
                return "Content is text."
    return None


def _shape(body: Mapping[str, Any]) -> tuple[str, str] | None:
    stop = body.get("stop")
    stops = [stop] if isinstance(stop, str) else stop
    if stops is not None and not (
        isinstance(stops, list) and len(stops) <= 4 and all(isinstance(each, str) and each for each in stops)
    ):
        return "stop", "Stop is a text, or up to four."
    choices = body.get("guided_choice")
    if choices is not None and not (
        isinstance(choices, list)
        and 0 < len(choices) <= 1024
        and all(isinstance(each, str) and each for each in choices)
    ):
        return "guided_choice", "Choices are texts, at least one."
    form = body.get("response_format")
    if form is None:
        return None
    kind = form.get("type") if isinstance(form, dict) else None
    if kind not in ("text", "json_object", "json_schema"):
        return "response_format", "The format is text, json_object or json_schema."
    if kind == "json_schema":
        given = form.get("json_schema")
        if not isinstance(given, dict) or not isinstance(given.get("schema"), dict):
            return "response_format", "A json_schema has a schema."
    return None


def _number(
    body: Mapping[str, Any], name: str, low: float, high: float, *, whole: bool
) -> tuple[str, str] | None:
    value = body.get(name)
    if value is None:
        return None
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        return name, f"This is a{' whole' if whole else ''} number from {low:g} to {high:g}."
    return None
