"""FastAPI's own errors in OpenAI's shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from gateway.openai.errors import error_body, retry_headers
from servicekit.errors import Reason, SixfoldError

_BY_STATUS = {
    404: (Reason.NOT_FOUND, "There is nothing at this path."),
    405: (Reason.METHOD_NOT_ALLOWED, "This path does not take that method."),
    413: (Reason.REQUEST_TOO_LARGE, "The request is too large."),
}
_MAX_MESSAGE = 300


def install_error_handlers(app: FastAPI) -> None:
    """Every failure of a route answers with one body."""
    app.add_exception_handler(SixfoldError, _sixfold)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)


def respond(error: SixfoldError) -> Response:
    """The answer to `error`."""
    response = Response(error_body(error), error.status.http, media_type="application/json")
    response.raw_headers.extend([*retry_headers(error), *getattr(error, "headers", ())])
    return response


async def _sixfold(_request: Request, error: Exception) -> Response:
    assert isinstance(error, SixfoldError)
    return respond(error)


async def _http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    reason, message = _BY_STATUS.get(
        error.status_code, (Reason.INVALID_REQUEST, "The request cannot be understood.")
    )
    response = respond(SixfoldError(reason, message))
    if error.headers and "Allow" in error.headers:
        response.headers["allow"] = error.headers["Allow"]
    return response


async def _validation(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first: dict[str, Any] = error.errors()[0]
    place: Sequence[Any] = first.get("loc", ())
    if first["type"] == "json_invalid":
        return respond(SixfoldError(Reason.INVALID_JSON, "The body is not valid JSON."))
    param = _path(place[1:])
    message = f"{param or 'The body'}: {first['msg']}"[
        :_MAX_MESSAGE
    ]  # says what is expected, never what came
    return respond(SixfoldError(Reason.INVALID_REQUEST, message, param=param))


def _path(parts: Sequence[Any]) -> str | None:
    """`("limits", "tokens", 0)` → `limits.tokens[0]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{str(part)[:64]}" for part in parts)
    return text.removeprefix(".") or None
