"""SixfoldError to the bytes of a gRPC status and back (AIP-193), and to the error message inside streams.

Nothing here loads gRPC itself.
"""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from servicekit.errors import Code, Reason, SixfoldError
from sixfold.common.v1.error_pb2 import Error

DOMAIN = "sixfold"
DETAILS = "grpc-status-details-bin"
_PARAM = "param"

_C = Code
_FALLBACK: dict[int, tuple[Reason, str]] = {
    _C.CANCELLED: (Reason.CANCELLED, "The call was cancelled."),
    _C.INVALID_ARGUMENT: (Reason.INVALID_REQUEST, "The service found the request invalid."),
    _C.DEADLINE_EXCEEDED: (Reason.DEADLINE_EXCEEDED, "The deadline passed before the answer was complete."),
    _C.NOT_FOUND: (Reason.NOT_FOUND, "What was asked for does not exist."),
    _C.ALREADY_EXISTS: (Reason.ALREADY_EXISTS, "It exists already."),
    _C.PERMISSION_DENIED: (Reason.PERMISSION_DENIED, "The caller may not do this."),
    _C.RESOURCE_EXHAUSTED: (Reason.QUEUE_FULL, "The service has no room for the call."),
    _C.ABORTED: (Reason.CONFLICT, "The call met another one that changed the same thing."),
    _C.UNIMPLEMENTED: (Reason.UNIMPLEMENTED, "The service does not know this method."),
    _C.UNAVAILABLE: (Reason.SERVICE_UNAVAILABLE, "The service cannot be reached."),
    _C.UNAUTHENTICATED: (Reason.INVALID_TOKEN, "The service did not accept the caller's token."),
}


def status_details(error: SixfoldError) -> bytes:
    """The `google.rpc.Status` that travels in `grpc-status-details-bin`."""
    info = ErrorInfo(reason=error.reason.value, domain=DOMAIN, metadata=error.metadata)
    if error.param is not None:
        info.metadata[_PARAM] = error.param
    status = Status(code=error.status.grpc, message=error.message)
    status.details.add().Pack(info)
    if error.retry_after is not None:
        status.details.add().Pack(RetryInfo(retry_delay=_duration(error.retry_after)))
    return bytes(status.SerializeToString())


def from_status(code: int, words: str = "", details: bytes | None = None) -> SixfoldError:
    """The error that the other service raised, or what its bare status says.

    `words` is the status message, `details` the value of `grpc-status-details-bin`. Words are taken over
    only from Sixfold's own details; those of the transport name addresses.
    """
    told = _from_details(details) if details else None
    if told is not None:
        return told
    if code == Code.RESOURCE_EXHAUSTED and "message larger than max" in words:
        return SixfoldError(Reason.REQUEST_TOO_LARGE, "A message is larger than the service takes.")
    if code == Code.RESOURCE_EXHAUSTED and "metadata size" in words:
        return SixfoldError(Reason.REQUEST_TOO_LARGE, "The call's metadata is larger than the service takes.")
    reason, message = _FALLBACK.get(code, (Reason.INTERNAL, "The service failed."))
    return SixfoldError(reason, message)


def _from_details(value: bytes) -> SixfoldError | None:
    try:
        status = Status.FromString(value)
        info, retry = ErrorInfo(), RetryInfo()
        retry_after: float | None = None
        for detail in status.details:
            if detail.Is(ErrorInfo.DESCRIPTOR):
                detail.Unpack(info)
            elif detail.Is(RetryInfo.DESCRIPTOR):
                detail.Unpack(retry)
                retry_after = _seconds(retry.retry_delay)
    except Exception:  # protobuf raises DecodeError; whatever it is, these details say nothing
        return None
    if info.domain != DOMAIN:
        return None
    metadata = dict(info.metadata)
    return SixfoldError(
        _reason(info.reason),
        status.message,
        param=metadata.pop(_PARAM, None),
        retry_after=retry_after,
        metadata=metadata,
    )


def to_proto_error(error: SixfoldError) -> Error:
    """The error as an event inside a stream."""
    told = Error(
        reason=error.reason.value, message=error.message, param=error.param or "", metadata=error.metadata
    )
    if error.retry_after is not None:
        told.retry_after.CopyFrom(_duration(error.retry_after))
    return told


def from_proto_error(error: Error) -> SixfoldError:
    """The error that an event inside a stream tells of."""
    return SixfoldError(
        _reason(error.reason),
        error.message,
        param=error.param or None,
        retry_after=_seconds(error.retry_after) if error.HasField("retry_after") else None,
        metadata=dict(error.metadata),
    )


def _reason(name: str) -> Reason:
    try:
        return Reason(name)
    except ValueError:  # a newer service's reason
        return Reason.INTERNAL


def _duration(seconds: float) -> Duration:
    nanos = max(0, round(seconds * 1e9))
    return Duration(seconds=nanos // 10**9, nanos=nanos % 10**9)


def _seconds(duration: Duration) -> float:
    return float(duration.seconds) + duration.nanos / 1e9
