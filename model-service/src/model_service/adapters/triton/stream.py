"""One request, one stream: responses out, and cancellation in."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import grpc.aio

from model_service.adapters.triton import failures
from model_service.adapters.triton.profiles import Profile
from model_service.adapters.triton.request import build_cancel
from model_service.adapters.triton.server import Served
from servicekit.telemetry import traceparent

# With it, errors end the stream with a true gRPC status instead of a message without a code.
_METADATA = (("triton_grpc_error", "true"),)


async def stream_responses(stub: Any, message: Any, seconds: float) -> AsyncGenerator[Any, None]:
    """Responses that carry outputs, until the final one. Closing it early cancels the request.

    Raises SixfoldError. Responses are read as they are asked for: a slow reader holds the stream, whose
    length `max_tokens` bounds, in the server.
    """
    if seconds <= 0:
        raise failures.too_late()
    trace = traceparent()
    metadata = (*_METADATA, ("traceparent", trace)) if trace else _METADATA
    call = stub.ModelStreamInfer(timeout=seconds, metadata=metadata)
    begun = ended = False
    try:
        await call.write(message)
        await call.done_writing()
        async for reply in call:
            if reply.error_message:
                raise failures.from_message(reply.error_message, begun=begun)
            response = reply.infer_response
            if response.outputs:
                begun = True
                yield response
            if response.parameters["triton_final_response"].bool_param:
                ended = True
                break
        if not ended:
            raise failures.interrupted() if begun else failures.not_there()
    except grpc.aio.AioRpcError as error:
        raise failures.from_status(error.code(), error.details() or "", begun=begun) from error
    except asyncio.InvalidStateError as error:  # a write to a call that has ended; its status says why
        code, details = await call.code(), await call.details() or ""
        raise failures.from_status(code, details, begun=begun) from error
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise failures.not_there() from None  # not this task was cancelled: the channel was closed
    finally:
        if not ended:
            call.cancel()


class Cancels:
    """Cancellations on their way: LLM-API back ends may not see a cancelled call, only a second request."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, stub: Any, message: Any, profile: Profile, served: Served) -> None:
        """End the request of this message where the profile has a way; does not wait."""
        if not profile.cancel or not message.id or profile.cancel not in served.inputs:
            return
        cancel = build_cancel(
            message.id, profile, served, model=message.model_name, version=message.model_version
        )
        task = asyncio.create_task(self._send(stub, cancel))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up on those not sent yet."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _send(self, stub: Any, message: Any) -> None:
        call = stub.ModelStreamInfer(timeout=self._seconds)
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await call.write(message)
            await call.done_writing()
            async for _ in call:  # one reply: that the request was cancelled
                break
        call.cancel()
