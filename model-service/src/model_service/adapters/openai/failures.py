"""What a compatible server answers when it fails, in the words of the service. Its own text stays here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from servicekit.errors import Reason, SixfoldError

_TOO_LONG = re.compile(
    r"context_length_exceeded|exceed_context_size|maximum context length|context size|context window"
    r"|prompt is too long|exceeds? the (model's )?max",
    re.IGNORECASE,
)
_FIELD = re.compile(r"[\w.\[\]-]{1,100}")
_LONGEST_WAIT = 3600.0


def unreachable() -> SixfoldError:
    return SixfoldError(Reason.ENGINE_UNAVAILABLE, "The model's server cannot be reached.", retry_after=1.0)


def cut(*, begun: bool) -> SixfoldError:
    if begun:
        return SixfoldError(Reason.STREAM_INTERRUPTED, "The model's server broke off its answer.")
    return SixfoldError(Reason.ENGINE_FAILED, "The model's server closed the connection without an answer.")


def malformed() -> SixfoldError:
    return SixfoldError(Reason.ENGINE_FAILED, "The model's server sent something that is not an answer.")


def too_large() -> SixfoldError:
    return SixfoldError(Reason.ENGINE_FAILED, "The model's server sent more than it may.")


def too_late() -> SixfoldError:
    return SixfoldError(Reason.DEADLINE_EXCEEDED, "The deadline passed before the answer was whole.")


def silent(*, begun: bool) -> SixfoldError:
    """Nothing came for as long as the options allow."""
    if begun:
        return SixfoldError(
            Reason.STREAM_INTERRUPTED, "The model's server stopped in the middle of its answer."
        )
    return SixfoldError(Reason.ENGINE_FAILED, "The model's server did not begin to answer in time.")


def from_answer(status: int, headers: Mapping[str, str], body: bytes) -> SixfoldError:
    """The error behind an answer whose status is not 200."""
    error = _error_of(body)
    words = " ".join(str(error.get(key) or "") for key in ("code", "type", "message"))
    if status in (400, 413, 422) and _TOO_LONG.search(words):
        return SixfoldError(
            Reason.CONTEXT_LENGTH_EXCEEDED, "The prompt is longer than the model's context.", param="messages"
        )
    wait = _retry_after(headers)
    match status:
        case 400 | 422:
            param = error.get("param")
            known = param if isinstance(param, str) and _FIELD.fullmatch(param) else None
            return SixfoldError(
                Reason.INVALID_REQUEST, "The model's server refused the request.", param=known
            )
        case 401 | 402 | 403:
            return SixfoldError(Reason.ENGINE_UNAVAILABLE, "The model's server does not let this service in.")
        case 404:
            return SixfoldError(Reason.MODEL_NOT_FOUND, "The model's server does not have this model.")
        case 413:
            return SixfoldError(Reason.REQUEST_TOO_LARGE, "The request is too large for the model's server.")
        case 429 if error.get("code") == "insufficient_quota":
            return SixfoldError(
                Reason.ENGINE_UNAVAILABLE, "This service has used up its share of the model's server."
            )
        case 429:
            return SixfoldError(
                Reason.QUEUE_FULL, "The model's server takes no more requests now.", retry_after=wait or 1.0
            )
        case 503:
            return SixfoldError(
                Reason.ENGINE_UNAVAILABLE, "The model's server is not ready.", retry_after=wait or 1.0
            )
        case _ if 300 <= status < 400:
            return SixfoldError(
                Reason.ENGINE_UNAVAILABLE, "The model's server points elsewhere; redirects are not followed."
            )
        case _:
            return SixfoldError(Reason.ENGINE_FAILED, "The model's server failed.", retry_after=wait)


def from_event(error: Any, *, begun: bool) -> SixfoldError:
    """The error behind an error object inside a stream."""
    code = error.get("code") if isinstance(error, dict) else None
    if begun:
        return cut(begun=True)
    return from_answer(
        code if isinstance(code, int) and 400 <= code < 600 else 500, {}, orjson.dumps({"error": error})
    )


def _error_of(body: bytes) -> dict[str, Any]:
    try:
        raw = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    error = raw.get("error", raw) if isinstance(raw, dict) else {}
    return error if isinstance(error, dict) else {"message": error}


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from retry-after-ms or from retry-after as seconds or a date."""
    try:
        if (milliseconds := headers.get("retry-after-ms")) is not None:
            seconds = float(milliseconds) / 1000
        elif (value := headers.get("retry-after")) is None:
            return None
        elif value.strip()[:1].isdigit():
            seconds = float(value)
        else:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(seconds, 0.0), _LONGEST_WAIT)
