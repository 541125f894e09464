"""grpc.health.v1, told from the lifecycle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from typing import Any

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from servicekit.errors import Reason, SixfoldError
from servicekit.lifecycle import Lifecycle

_POLL = 1.0
"""Seconds between two looks for a watcher."""

_Status = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """SERVING while the service is started, not draining, and what it depends on answers."""

    def __init__(self, lifecycle: Lifecycle, services: Collection[str]) -> None:
        self._lifecycle = lifecycle
        self._services = services

    async def Check(self, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:  # noqa: N802
        """The status now; NOT_FOUND for a service that this server does not have."""
        if not self._knows(request.service):
            raise SixfoldError(Reason.NOT_FOUND, "This server has no such service.")
        return _Status(status=await self._status())

    async def Watch(self, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:  # noqa: N802
        """The status now and after each change; ends when the service drains, having said so."""
        told = None
        while True:
            status = await self._status() if self._knows(request.service) else _Status.SERVICE_UNKNOWN
            if status != told:
                yield _Status(status=status)
                told = status
            if self._lifecycle.draining:
                return
            await asyncio.sleep(_POLL)

    def _knows(self, service: str) -> bool:
        return not service or service in self._services

    async def _status(self) -> Any:
        ready = (await self._lifecycle.readiness()).ready
        return _Status.SERVING if ready else _Status.NOT_SERVING
