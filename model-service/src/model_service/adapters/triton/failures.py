"""What Triton says when it fails, in the words of the service. The server's own text goes no further."""

from __future__ import annotations

import re

import grpc

from servicekit.errors import Reason, SixfoldError

_TOO_LONG = re.compile(
    r"exceeds? (the )?max(imum)?[ _](input|sequence|model|context)|max_model_len|maximum context length"
    r"|max_input_len|longer than the maximum|max_num_tokens",
    re.IGNORECASE,
)
_QUEUE_FULL = re.compile(r"exceeds? maximum queue size|queue is full", re.IGNORECASE)
_GONE = re.compile(
    r"unknown model|not found|is not ready|no available versions|unavailable|unloaded|not healthy|unhealthy",
    re.IGNORECASE,
)
_REFUSED = re.compile(r"invalid|unexpected|must be|expected|not supported|refused", re.IGNORECASE)
_CODE = grpc.StatusCode


def not_there() -> SixfoldError:
    return SixfoldError(Reason.ENGINE_UNAVAILABLE, "The model's server cannot be reached.", retry_after=1.0)


def not_loaded() -> SixfoldError:
    return SixfoldError(Reason.ENGINE_UNAVAILABLE, "The model is not loaded on its server.", retry_after=2.0)


def interrupted() -> SixfoldError:
    return SixfoldError(Reason.STREAM_INTERRUPTED, "The model's server broke off its answer.")


def too_late() -> SixfoldError:
    return SixfoldError(Reason.DEADLINE_EXCEEDED, "The deadline passed before the answer was whole.")


def from_status(code: grpc.StatusCode, text: str, *, begun: bool) -> SixfoldError:
    """The error behind a gRPC status; `begun` when part of the answer has been passed on."""
    if code is _CODE.DEADLINE_EXCEEDED:
        return too_late()
    if _TOO_LONG.search(text):
        return SixfoldError(
            Reason.CONTEXT_LENGTH_EXCEEDED, "The prompt is longer than the model's context.", param="messages"
        )
    if _QUEUE_FULL.search(text) or code is _CODE.RESOURCE_EXHAUSTED:
        return SixfoldError(Reason.QUEUE_FULL, "The model's server is full.", retry_after=1.0)
    if code in (_CODE.UNAVAILABLE, _CODE.CANCELLED):
        if begun:
            return interrupted()
        return not_loaded() if _GONE.search(text) and "model" in text.lower() else not_there()
    if code is _CODE.NOT_FOUND or (not begun and code is not _CODE.INVALID_ARGUMENT and _GONE.search(text)):
        return not_loaded()
    if code is _CODE.INVALID_ARGUMENT:
        return SixfoldError(Reason.INVALID_REQUEST, "The model's server refused the request's parameters.")
    if code in (_CODE.UNAUTHENTICATED, _CODE.PERMISSION_DENIED):
        return SixfoldError(Reason.ENGINE_UNAVAILABLE, "The model's server does not let this service in.")
    if begun:
        return interrupted()
    return SixfoldError(Reason.ENGINE_FAILED, "The model's server failed.")


def from_message(text: str, *, begun: bool) -> SixfoldError:
    """The error behind a message inside a stream, which carries no code: older servers, some back ends."""
    if _REFUSED.search(text) and not _GONE.search(text) and not _TOO_LONG.search(text):
        return from_status(_CODE.INVALID_ARGUMENT, text, begun=begun)
    return from_status(_CODE.UNKNOWN, text, begun=begun)
