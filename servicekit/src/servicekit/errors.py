"""One error type for every service, and the one table from reasons to HTTP and gRPC status.

Code raises `SixfoldError` with a reason; edges translate it with `TABLE`. The text of any other
exception never leaves a process: edges answer `Reason.INTERNAL` and log the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import NamedTuple


class Reason(StrEnum):
    """Why a call failed. Stable: programs branch on these."""

    INVALID_JSON = "INVALID_JSON"
    INVALID_REQUEST = "INVALID_REQUEST"
    UNSUPPORTED_PARAMETER = "UNSUPPORTED_PARAMETER"
    CONTEXT_LENGTH_EXCEEDED = "CONTEXT_LENGTH_EXCEEDED"
    REQUEST_TOO_LARGE = "REQUEST_TOO_LARGE"
    MISSING_CREDENTIALS = "MISSING_CREDENTIALS"
    INVALID_TOKEN = "INVALID_TOKEN"  # noqa: S105
    TOKEN_EXPIRED = "TOKEN_EXPIRED"  # noqa: S105
    INVALID_API_KEY = "INVALID_API_KEY"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    MODEL_NOT_FOUND = "MODEL_NOT_FOUND"
    NOT_FOUND = "NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    CONFLICT = "CONFLICT"
    RATE_LIMIT_REQUESTS = "RATE_LIMIT_REQUESTS"
    RATE_LIMIT_TOKENS = "RATE_LIMIT_TOKENS"
    CONCURRENCY_LIMIT = "CONCURRENCY_LIMIT"
    QUEUE_FULL = "QUEUE_FULL"
    CANCELLED = "CANCELLED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    SLOW_READER = "SLOW_READER"
    ENGINE_FAILED = "ENGINE_FAILED"
    ENGINE_UNAVAILABLE = "ENGINE_UNAVAILABLE"
    STREAM_INTERRUPTED = "STREAM_INTERRUPTED"
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"
    DRAINING = "DRAINING"
    DATA_LOSS = "DATA_LOSS"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    INTERNAL = "INTERNAL"


class Code(IntEnum):
    """gRPC's status codes by their numbers, for those who do not otherwise need gRPC's 15 MB."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class Status(NamedTuple):
    """What one reason looks like at each edge."""

    http: int
    grpc: Code
    openai_type: str
    """The `type` of OpenAI's error body."""
    retryable: bool
    """Whether the same request may succeed later, or elsewhere, without any change."""


_C = Code

TABLE: Mapping[Reason, Status] = {
    Reason.INVALID_JSON: Status(400, _C.INVALID_ARGUMENT, "invalid_request_error", False),
    Reason.INVALID_REQUEST: Status(400, _C.INVALID_ARGUMENT, "invalid_request_error", False),
    Reason.UNSUPPORTED_PARAMETER: Status(400, _C.INVALID_ARGUMENT, "invalid_request_error", False),
    Reason.CONTEXT_LENGTH_EXCEEDED: Status(400, _C.INVALID_ARGUMENT, "invalid_request_error", False),
    Reason.REQUEST_TOO_LARGE: Status(413, _C.INVALID_ARGUMENT, "invalid_request_error", False),
    Reason.MISSING_CREDENTIALS: Status(401, _C.UNAUTHENTICATED, "authentication_error", False),
    Reason.INVALID_TOKEN: Status(401, _C.UNAUTHENTICATED, "authentication_error", False),
    Reason.TOKEN_EXPIRED: Status(401, _C.UNAUTHENTICATED, "authentication_error", False),
    Reason.INVALID_API_KEY: Status(401, _C.UNAUTHENTICATED, "authentication_error", False),
    Reason.PERMISSION_DENIED: Status(403, _C.PERMISSION_DENIED, "permission_error", False),
    Reason.MODEL_NOT_FOUND: Status(404, _C.NOT_FOUND, "invalid_request_error", False),
    Reason.NOT_FOUND: Status(404, _C.NOT_FOUND, "invalid_request_error", False),
    Reason.METHOD_NOT_ALLOWED: Status(405, _C.UNIMPLEMENTED, "invalid_request_error", False),
    Reason.ALREADY_EXISTS: Status(409, _C.ALREADY_EXISTS, "invalid_request_error", False),
    Reason.CONFLICT: Status(409, _C.ABORTED, "invalid_request_error", True),
    Reason.RATE_LIMIT_REQUESTS: Status(429, _C.RESOURCE_EXHAUSTED, "requests", True),
    Reason.RATE_LIMIT_TOKENS: Status(429, _C.RESOURCE_EXHAUSTED, "tokens", True),
    Reason.CONCURRENCY_LIMIT: Status(429, _C.RESOURCE_EXHAUSTED, "requests", True),
    Reason.QUEUE_FULL: Status(503, _C.RESOURCE_EXHAUSTED, "server_error", True),
    Reason.CANCELLED: Status(499, _C.CANCELLED, "server_error", False),
    Reason.DEADLINE_EXCEEDED: Status(504, _C.DEADLINE_EXCEEDED, "server_error", True),
    Reason.SLOW_READER: Status(408, _C.ABORTED, "server_error", False),
    Reason.ENGINE_FAILED: Status(502, _C.INTERNAL, "server_error", True),
    Reason.ENGINE_UNAVAILABLE: Status(503, _C.UNAVAILABLE, "server_error", True),
    Reason.STREAM_INTERRUPTED: Status(502, _C.UNAVAILABLE, "server_error", True),
    Reason.SERVICE_UNAVAILABLE: Status(503, _C.UNAVAILABLE, "server_error", True),
    Reason.DRAINING: Status(503, _C.UNAVAILABLE, "server_error", True),
    Reason.DATA_LOSS: Status(500, _C.DATA_LOSS, "server_error", False),
    Reason.UNIMPLEMENTED: Status(501, _C.UNIMPLEMENTED, "server_error", False),
    Reason.INTERNAL: Status(500, _C.INTERNAL, "server_error", True),
}


class SixfoldError(Exception):
    """A failure whose words may be shown to the caller.

    `message` is one English sentence without request content, secrets or exception text.
    `param` is the path of the field at fault. `retry_after` is in seconds. `metadata` holds facts
    for programs under lower_snake_case keys.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        param: str | None = None,
        retry_after: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.param = param
        self.retry_after = retry_after
        self.metadata = dict(metadata or {})

    @property
    def status(self) -> Status:
        """This error's row of the table."""
        return TABLE[self.reason]

    def __repr__(self) -> str:
        return f"SixfoldError({self.reason.value}, {self.message!r}, param={self.param!r})"


def internal() -> SixfoldError:
    """What a caller sees of an exception that nobody foresaw."""
    return SixfoldError(Reason.INTERNAL, "Something went wrong inside. The request id finds it in the logs.")
