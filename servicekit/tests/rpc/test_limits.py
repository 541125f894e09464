"""What a server refuses, and says so at once."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest

from servicekit.errors import Reason
from servicekit.rpc import RpcLimits, from_rpc_error, open_channel
from sixfold.model.v1 import generation_pb2, model_service_pb2_grpc
from sixfold.model.v1 import model_service_pb2 as pb

Servicer: Any = model_service_pb2_grpc.ModelServiceServicer  # its stub makes every method abstract


class Held(Servicer):  # type: ignore[misc]
    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.begun = asyncio.Semaphore(0)
        self.cleaned = False

    async def GetModel(self, request: Any, context: Any) -> Any:
        self.begun.release()
        await self.release.wait()
        return pb.GetModelResponse()

    async def Generate(self, request: Any, context: Any) -> Any:
        self.begun.release()
        yield pb.GenerateResponse()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0.05)  # an engine takes a moment to give a place back
            self.cleaned = True
            raise
        yield pb.GenerateResponse(sequence=1, delta=generation_pb2.Delta(text="end"))


async def failure(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_one_call_too_many_is_refused_and_the_place_comes_back(serve: Any) -> None:
    servicer = Held()
    async with serve(servicer, limits=RpcLimits(max_concurrent=2)) as running:
        held = [
            asyncio.ensure_future(
                running.stub.GetModel(pb.GetModelRequest(), metadata=running.metadata, timeout=30)
            )
            for _ in range(2)
        ]
        for _ in held:
            await servicer.begun.acquire()
        error = from_rpc_error(
            await failure(running.stub.GetModel(pb.GetModelRequest(), metadata=running.metadata, timeout=30))
        )
        assert error.reason is Reason.QUEUE_FULL
        assert error.retry_after is not None
        assert 0 < error.retry_after <= 5
        assert error.metadata == {"limit": "2"}
        servicer.release.set()
        await asyncio.gather(*held)
        await running.stub.GetModel(pb.GetModelRequest(), metadata=running.metadata, timeout=30)
        assert running.server.in_flight == 0


async def test_draining_refuses_new_calls_and_lets_running_ones_end(serve: Any) -> None:
    servicer = Held()
    async with serve(servicer) as running:
        stream = running.stub.Generate(pb.GenerateRequest(), metadata=running.metadata, timeout=30)
        await stream.read()
        running.lifecycle.begin_drain()
        raised = await failure(
            running.stub.GetModel(pb.GetModelRequest(), metadata=running.metadata, timeout=30)
        )
        assert raised.code() is grpc.StatusCode.UNAVAILABLE
        assert from_rpc_error(raised).reason is Reason.DRAINING
        stopping = asyncio.create_task(running.server.stop(30))
        await asyncio.sleep(0)
        servicer.release.set()
        assert (await stream.read()).delta.text == "end"
        assert await stream.read() is grpc.aio.EOF
        await stopping


async def test_a_drain_ends_at_its_limit(serve: Any) -> None:
    servicer = Held()
    async with serve(servicer) as running:
        stream = running.stub.Generate(pb.GenerateRequest(), metadata=running.metadata, timeout=30)
        await stream.read()
        await running.server.stop(0.1)
        assert servicer.cleaned
        raised = await failure(stream.read())
        assert raised.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        assert running.server.in_flight == 0


async def test_a_message_over_the_limit_is_refused_on_both_sides(serve: Any) -> None:
    async with serve(Held(), limits=RpcLimits(max_message_bytes=10_000)) as running:
        big = pb.GetModelRequest(model="x" * 20_000)
        by_server = await failure(running.stub.GetModel(big, metadata=running.metadata, timeout=5))
        async with open_channel(f"127.0.0.1:{running.port}", max_message_bytes=10_000) as small:
            stub = model_service_pb2_grpc.ModelServiceStub(small)
            by_channel = await failure(stub.GetModel(big, metadata=running.metadata, timeout=5))
        for raised in (by_server, by_channel):
            assert from_rpc_error(raised).reason is Reason.REQUEST_TOO_LARGE


@pytest.mark.parametrize("size", [12_000, 15_000])
async def test_metadata_below_the_limit_always_passes(serve: Any, size: int) -> None:
    servicer = Held()
    servicer.release.set()
    async with serve(servicer) as running:
        for _ in range(5):
            metadata = (*running.metadata, ("x-filler", "x" * size))
            await running.stub.GetModel(pb.GetModelRequest(), metadata=metadata, timeout=5)


async def test_metadata_over_the_limit_is_refused(serve: Any) -> None:
    servicer = Held()
    servicer.release.set()
    async with serve(servicer) as running:
        metadata = (*running.metadata, ("x-filler", "x" * 40_000))
        raised = await failure(running.stub.GetModel(pb.GetModelRequest(), metadata=metadata, timeout=5))
        assert raised.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await running.stub.GetModel(pb.GetModelRequest(), metadata=running.metadata, timeout=5)


async def test_a_taken_port_is_one_clear_line(serve: Any) -> None:
    async with serve(Held()) as running:
        with pytest.raises(SystemExit, match=f"127.0.0.1:{running.port}"):
            async with serve(Held(), port=running.port):
                pass
