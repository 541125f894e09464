"""Errors as OpenAI's clients read them: one body, one set of headers, on every route."""

from __future__ import annotations

import math

import orjson

from servicekit.errors import Reason, SixfoldError

Headers = list[tuple[bytes, bytes]]


def error_body(error: SixfoldError) -> bytes:
    """`{"error": {"message", "type", "param", "code"}}`, all four keys always; `code` is the reason."""
    return orjson.dumps(
        {
            "error": {
                "message": error.message,
                "type": error.status.openai_type,
                "param": error.param,
                "code": error.reason.value.lower(),
            }
        }
    )


def error_headers(error: SixfoldError) -> Headers:
    """What goes with the body: when to come back, whether it is worth it, and a refusal's x-ratelimit-*."""
    status = error.status
    retry = status.retryable and not (status.http == 429 and error.retry_after is None)
    headers: Headers = [(b"x-should-retry", b"true" if retry else b"false")]
    if error.retry_after is not None and retry:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))))
        headers.append((b"retry-after-ms", b"%d" % max(1, math.ceil(error.retry_after * 1000))))
    if status.http == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if error.reason is Reason.REQUEST_TOO_LARGE:
        headers.append((b"connection", b"close"))
    headers.extend(getattr(error, "headers", ()))
    return headers
