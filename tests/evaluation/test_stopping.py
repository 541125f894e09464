"""An eval service that ends lets go of the gateways that listen to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
from parts.evaluation import EvalProcess, Evaluation


async def test_a_gateway_that_listens_is_sent_away_well(own_eval: Callable[..., EvalProcess]) -> None:
    service = own_eval()
    async with Evaluation(service, "acme") as client:
        stream: Any = client.watch(everybody=True)
        assert await stream.read() is not grpc.aio.EOF
        stopping = asyncio.create_task(asyncio.to_thread(service.stop))
        assert await stream.read() is grpc.aio.EOF
        assert await stream.code() is grpc.StatusCode.OK  # not cancelled after the whole of its patience
        await stopping
