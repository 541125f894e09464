"""Health follows the lifecycle and what the service depends on; reflection tells the contract."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from servicekit.lifecycle import Lifecycle
from servicekit.rpc import RpcServer
from sixfold.model.v1 import model_service_pb2_grpc

Servicer: Any = model_service_pb2_grpc.ModelServiceServicer  # its stub makes every method abstract

NAME = "sixfold.model.v1.ModelService"
SERVING, NOT_SERVING = 1, 2


async def status(channel: grpc.aio.Channel, service: str = "") -> int:
    answer = await health_pb2_grpc.HealthStub(channel).Check(
        health_pb2.HealthCheckRequest(service=service), timeout=5
    )
    return int(answer.status)


async def test_health_follows_the_life_of_the_service(caller: Any) -> None:
    from servicekit.identity import ServiceIdentity

    lifecycle = Lifecycle("model-service")
    identity = ServiceIdentity("model-service", bytes(32))
    server = RpcServer("127.0.0.1:0", service="model-service", identity=identity, lifecycle=lifecycle)
    server.add(
        model_service_pb2_grpc.add_ModelServiceServicer_to_server,
        Servicer(),
        NAME,
    )
    port = await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        assert await status(channel) == NOT_SERVING
        lifecycle.started()
        assert await status(channel) == SERVING
        assert await status(channel, NAME) == SERVING
        lifecycle.begin_drain()
        assert await status(channel, NAME) == NOT_SERVING  # told, not refused
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await status(channel, "no.such.Service")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    await server.stop(0)


async def test_health_needs_the_dependencies(serve: Any) -> None:
    lifecycle = Lifecycle("model-service")

    async def away() -> None:
        raise ConnectionError("postgres://user:secret@db")

    lifecycle.depend("store", away)
    async with serve(Servicer(), lifecycle=lifecycle) as running:
        assert await status(running.channel) == NOT_SERVING


async def test_a_watcher_is_told_of_changes(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("servicekit.rpc.health._POLL", 0.01)
    async with serve(Servicer()) as running:
        watch = health_pb2_grpc.HealthStub(running.channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == SERVING
        running.lifecycle.begin_drain()
        assert (await watch.read()).status == NOT_SERVING
        assert await watch.read() is grpc.aio.EOF
        await running.server.stop(3600)  # no watcher holds it up


async def test_reflection_lists_the_services_without_a_token(serve: Any) -> None:
    async with serve(Servicer()) as running:
        call = reflection_pb2_grpc.ServerReflectionStub(running.channel).ServerReflectionInfo(timeout=5)
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        answer = await call.read()
        await call.done_writing()
        names = {service.name for service in answer.list_services_response.service}
        assert {NAME, "grpc.health.v1.Health"} <= names
        await asyncio.sleep(0)
