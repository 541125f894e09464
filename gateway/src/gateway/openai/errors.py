"""Errors as OpenAI's clients read them."""

from __future__ import annotations

import math

import orjson

from servicekit.errors import Reason, SixfoldError

_CODES = {
    Reason.RATE_LIMIT_REQUESTS: "rate_limit_exceeded",
    Reason.RATE_LIMIT_TOKENS: "rate_limit_exceeded",
    Reason.CONCURRENCY_LIMIT: "rate_limit_exceeded",
}


def code_of(error: SixfoldError) -> str:
    """OpenAI's own code where it has one, otherwise the reason in lower case."""
    return _CODES.get(error.reason) or error.reason.value.lower()


def error_body(error: SixfoldError) -> bytes:
    """`{"error": {message, type, param, code}}`, all four always there."""
    return orjson.dumps(
        {
            "error": {
                "message": error.message,
                "type": error.status.openai_type,
                "param": error.param,
                "code": code_of(error),
            }
        }
    )


def retry_headers(error: SixfoldError) -> list[tuple[bytes, bytes]]:
    """Whether and when to try again: `x-should-retry`, `retry-after` (seconds), `retry-after-ms`."""
    retry = error.status.retryable
    if error.status.http == 429 and (error.retry_after is None or math.isinf(error.retry_after)):
        retry = False  # larger than the limit itself: it never fits
    headers = [(b"x-should-retry", b"true" if retry else b"false")]
    if error.status.http == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if error.retry_after is not None and math.isfinite(error.retry_after):
        wait = max(0.0, error.retry_after)
        headers.append((b"retry-after", b"%d" % math.ceil(wait)))
        headers.append((b"retry-after-ms", b"%d" % math.ceil(wait * 1000)))
    return headers
