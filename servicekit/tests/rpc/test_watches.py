"""A stream that never ends by itself does not hold up a service that ends; one with work to do does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest

from sixfold.model.v1 import model_service_pb2, model_service_pb2_grpc

pb: Any = model_service_pb2
Base: Any = model_service_pb2_grpc.ModelServiceServicer


class Watcher(Base):  # type: ignore[misc]
    """Tells once, then waits for something that does not come."""

    def __init__(self, pieces: int = 1) -> None:
        self.pieces = pieces
        self.ended = 0
        self.go_on = asyncio.Event()

    async def Generate(self, request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            for _ in range(self.pieces):
                yield pb.GenerateResponse()
            await self.go_on.wait()
            yield pb.GenerateResponse()
        finally:
            self.ended += 1


async def test_watches_end_well_when_the_service_drains(serve: Any) -> None:
    servicer = Watcher()
    async with serve(servicer, watches=("Generate",)) as running:
        calls = [running.stub.Generate(pb.GenerateRequest(), metadata=running.metadata) for _ in range(3)]
        for call in calls:
            assert await call.read() is not grpc.aio.EOF
        running.lifecycle.begin_drain()
        for call in calls:
            assert await call.read() is grpc.aio.EOF
            assert await call.code() is grpc.StatusCode.OK
        await running.server.stop(3600)
        assert servicer.ended == 3
        assert running.server.in_flight == 0


async def test_a_watcher_that_does_not_read_holds_nothing_up(serve: Any) -> None:
    servicer = Watcher(pieces=1_000_000)
    async with serve(servicer, watches=("Generate",)) as running:
        call = running.stub.Generate(pb.GenerateRequest(), metadata=running.metadata)
        assert await call.read() is not grpc.aio.EOF
        running.lifecycle.begin_drain()
        await running.server.stop(3600)
        assert servicer.ended == 1


async def test_other_streams_end_when_their_work_does(serve: Any) -> None:
    servicer = Watcher()
    async with serve(servicer) as running:
        call = running.stub.Generate(pb.GenerateRequest(), metadata=running.metadata)
        assert await call.read() is not grpc.aio.EOF
        running.lifecycle.begin_drain()
        stopping = asyncio.create_task(running.server.stop(3600))
        done, _ = await asyncio.wait([stopping], timeout=0.2)
        assert not done
        servicer.go_on.set()
        assert await call.read() is not grpc.aio.EOF
        assert await call.read() is grpc.aio.EOF
        await stopping


async def test_what_a_watch_raises_itself_stays_an_error(serve: Any) -> None:
    class Slow(Base):  # type: ignore[misc]
        async def Generate(self, request: Any, context: Any) -> AsyncIterator[Any]:
            yield pb.GenerateResponse()
            raise TimeoutError

    async with serve(Slow(), watches=("Generate",)) as running:
        call = running.stub.Generate(pb.GenerateRequest(), metadata=running.metadata)
        assert await call.read() is not grpc.aio.EOF
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.INTERNAL
