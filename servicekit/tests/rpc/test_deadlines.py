"""Every call ends at its deadline or when its caller leaves, and the handler with it."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest

from servicekit.errors import Reason
from servicekit.rpc import RpcLimits, from_rpc_error, remaining
from sixfold.model.v1 import generation_pb2, model_service_pb2_grpc
from sixfold.model.v1 import model_service_pb2 as pb

Servicer: Any = model_service_pb2_grpc.ModelServiceServicer  # its stub makes every method abstract


class Waiting(Servicer):  # type: ignore[misc]
    """Unary and streamed calls that never end by themselves."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()
        self.how: list[type[BaseException]] = []
        self.left: list[float] = []

    async def GetModel(self, request: Any, context: Any) -> Any:
        if request.model == "own timeout":
            async with asyncio.timeout(0):
                await asyncio.sleep(10)
        await self._wait()

    async def Generate(self, request: Any, context: Any) -> Any:
        yield pb.GenerateResponse(delta=generation_pb2.Delta(text="a"))
        await self._wait()
        yield pb.GenerateResponse()

    async def _wait(self) -> None:
        self.left.append(remaining())
        self.begun.set()
        try:
            await asyncio.sleep(60)
        except BaseException as error:
            self.how.append(type(error))
            raise
        finally:
            self.ended.set()


async def drain(call: Any) -> list[Any]:
    return [message async for message in call]


LIMITS = RpcLimits(default_deadline=0.3, max_deadline=0.6)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("asked", "given"), [(None, 0.3), (3600.0, 0.6)])
async def test_calls_without_or_beyond_the_longest_deadline_end(
    serve: Any, streamed: bool, asked: float | None, given: float
) -> None:
    servicer = Waiting()
    async with serve(servicer, limits=LIMITS) as running:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            if streamed:
                await drain(
                    running.stub.Generate(pb.GenerateRequest(), metadata=running.metadata, timeout=asked)
                )
            else:
                await running.stub.GetModel(pb.GetModelRequest(), metadata=running.metadata, timeout=asked)
        error = from_rpc_error(caught.value)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert error.reason is Reason.DEADLINE_EXCEEDED
        assert servicer.how == [asyncio.CancelledError]
        assert running.server.in_flight == 0
    assert servicer.left[0] <= given


async def test_the_callers_own_deadline_is_what_remains(serve: Any) -> None:
    servicer = Waiting()
    async with serve(servicer) as running:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await running.stub.GetModel(pb.GetModelRequest(), metadata=running.metadata, timeout=0.4)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await servicer.ended.wait()
        assert servicer.how == [asyncio.CancelledError]
    assert 0 < servicer.left[0] <= 0.41


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_caller_that_leaves_cancels_the_handler(serve: Any, streamed: bool) -> None:
    servicer = Waiting()
    async with serve(servicer) as running:
        if streamed:
            call = running.stub.Generate(pb.GenerateRequest(), metadata=running.metadata, timeout=30)
            await call.read()
        else:
            call = running.stub.GetModel(pb.GetModelRequest(), metadata=running.metadata, timeout=30)
        await servicer.begun.wait()
        assert running.server.in_flight == 1
        call.cancel()
        await servicer.ended.wait()
        await asyncio.sleep(0)
        assert servicer.how == [asyncio.CancelledError]
        assert running.server.in_flight == 0


async def test_a_connection_that_breaks_cancels_the_handler(serve: Any) -> None:
    servicer = Waiting()
    async with serve(servicer) as running:
        call = running.stub.Generate(pb.GenerateRequest(), metadata=running.metadata, timeout=30)
        await call.read()
        await servicer.begun.wait()
        await running.channel.close()
        await servicer.ended.wait()
        assert servicer.how == [asyncio.CancelledError]


async def test_a_timeout_of_the_handlers_own_is_not_the_callers_deadline(serve: Any) -> None:
    async with serve(Waiting()) as running:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await running.stub.GetModel(
                pb.GetModelRequest(model="own timeout"), metadata=running.metadata, timeout=30
            )
        assert from_rpc_error(caught.value).reason is Reason.INTERNAL


def test_outside_a_call_there_is_no_deadline() -> None:
    with pytest.raises(RuntimeError):
        remaining()
