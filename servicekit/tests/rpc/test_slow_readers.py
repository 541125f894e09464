"""A reader that stands still holds little, and not for longer than its deadline."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio
from structlog.testing import capture_logs

from servicekit.rpc import RpcLimits
from servicekit.rpc.limits import WINDOW_BYTES
from sixfold.model.v1 import generation_pb2, model_service_pb2_grpc
from sixfold.model.v1 import model_service_pb2 as pb

Servicer: Any = model_service_pb2_grpc.ModelServiceServicer  # its stub makes every method abstract

PIECE = 1000


class Endless(Servicer):  # type: ignore[misc]
    def __init__(self) -> None:
        self.made = 0
        self.closed = asyncio.Event()

    async def Generate(self, request: Any, context: Any) -> Any:
        try:
            while True:
                self.made += 1
                yield pb.GenerateResponse(delta=generation_pb2.Delta(text="x" * PIECE))
        finally:
            self.closed.set()

    async def stands_still(self) -> int:
        """Bytes made until no more is made."""
        before = -1
        while before != self.made:
            before = self.made
            await asyncio.sleep(0.2)
        return self.made * PIECE


async def test_what_nobody_reads_is_not_made(serve: Any) -> None:
    servicer = Endless()
    async with serve(servicer) as running:
        call = running.stub.Generate(pb.GenerateRequest(), metadata=running.metadata, timeout=30)
        await call.read()
        assert await servicer.stands_still() < 4 * WINDOW_BYTES
        for _ in range(2000):  # reading on makes it flow again
            await call.read()
        assert servicer.made > 2000
        call.cancel()
        await servicer.closed.wait()


async def test_the_deadline_frees_a_stream_that_nobody_reads(serve: Any) -> None:
    servicer = Endless()
    async with serve(servicer, limits=RpcLimits(default_deadline=0.5)) as running:
        call = running.stub.Generate(pb.GenerateRequest(), metadata=running.metadata)
        await call.read()
        await servicer.closed.wait()
        await asyncio.sleep(0)
        assert running.server.in_flight == 0
        call.cancel()


async def test_a_caller_that_leaves_closes_a_generator_that_waits_to_be_read(serve: Any) -> None:
    servicer = Endless()
    async with serve(servicer) as running:
        call = running.stub.Generate(pb.GenerateRequest(), metadata=running.metadata, timeout=30)
        assert await call.read() is not grpc.aio.EOF
        await servicer.stands_still()
        assert not servicer.closed.is_set()
        call.cancel()
        await servicer.closed.wait()


async def test_a_caller_that_leaves_a_full_stream_is_no_failure(serve: Any) -> None:
    """gRPC says ExecuteBatchError, not cancelled, when a message was waiting for room."""
    servicer = Endless()
    with capture_logs() as lines:
        async with serve(servicer) as running:
            for _ in range(5):
                servicer.closed.clear()
                call = running.stub.Generate(pb.GenerateRequest(), metadata=running.metadata, timeout=30)
                await call.read()
                await servicer.stands_still()
                call.cancel()
                await servicer.closed.wait()
    assert not [line for line in lines if line["event"] == "call failed"]
