"""gRPC's own objects to SixfoldError and back."""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio

from servicekit.errors import SixfoldError
from servicekit.rpc.details import DETAILS, from_status, status_details

_CODES = {code.value[0]: code for code in grpc.StatusCode}


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: SixfoldError) -> None:
    """Ends the call with the error's status. Always raises."""
    await context.abort(_CODES[error.status.grpc], error.message, ((DETAILS, status_details(error)),))


def from_rpc_error(error: grpc.aio.AioRpcError) -> SixfoldError:
    """The error that the other service raised, or what its bare status code says."""
    details = None
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS and isinstance(value, bytes):
            details = value
    return from_status(error.code().value[0], error.details() or "", details)
