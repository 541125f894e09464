"""The gRPC server of a service."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import grpc
import grpc.aio

from servicekit.identity import ServiceIdentity
from servicekit.lifecycle import Lifecycle
from servicekit.logs import get_logger
from servicekit.rpc import steps
from servicekit.rpc.handlers import guard
from servicekit.rpc.limits import TRANSPORT, RpcLimits
from servicekit.rpc.tls import Tls
from servicekit.rpc.watches import Watches

_HEALTH = "grpc.health.v1.Health"
_REFLECTION = "grpc.reflection.v1alpha.ServerReflection"
_OWN_CALLS = 128
"""Health and reflection calls at once, watchers among them."""
_CLEAN_UP = 5.0
"""Seconds that cancelled handlers may take to give back what they hold."""


_log = get_logger("servicekit.rpc")


class RpcServer:
    """Serves servicers on `host:port`, every call behind errors, telemetry, identity, deadline and limits.

    Health and reflection need no token.
    """

    def __init__(
        self,
        listen: str,
        *,
        service: str,
        identity: ServiceIdentity,
        lifecycle: Lifecycle,
        limits: RpcLimits = RpcLimits(),  # noqa: B008  frozen
        tls: Tls | None = None,
    ) -> None:
        if identity.service != service:
            raise ValueError("the identity is another service's")
        self._listen = listen
        self._lifecycle = lifecycle
        self._limits = limits
        self._tls = tls
        self._handlers: dict[str, Any] = {}
        self._services: list[str] = []
        self._server: grpc.aio.Server | None = None
        self._watches = Watches(lifecycle)
        self._counted = steps.Limits(limits.max_concurrent, lambda: lifecycle.draining)
        own = steps.Limits(_OWN_CALLS, lambda: False)  # probes are answered while draining
        self._guarded = steps.compose(
            (
                steps.errors,
                steps.telemetry_step,
                steps.identify(identity),
                steps.deadline(limits),
                self._counted.step,
            )
        )
        self._open = steps.compose((steps.errors, own.step))
        self._open_bounded = steps.compose((steps.errors, steps.deadline(limits), own.step))

    @property
    def in_flight(self) -> int:
        """Calls that are being served, health and reflection aside."""
        return self._counted.in_flight

    def add(
        self,
        register: Callable[[Any, grpc.aio.Server], None],
        servicer: Any,
        service_name: str,
        *,
        watches: Collection[str] = (),
    ) -> None:
        """Adds a servicer through its generated `add_…Servicer_to_server`. Before `start`.

        `watches` names its streams that never end by themselves: they end when the service begins to drain.
        """
        recorder = _Recorder(self._handlers, self._guarded, self._watches, watches)
        register(servicer, recorder)  # type: ignore[arg-type]
        self._services.append(service_name)

    async def start(self) -> int:
        """Listens; returns the port (a free one where 0 was asked for). Exits with one line if it is taken.

        Health says NOT_SERVING until `lifecycle.started()`.
        """
        self._add_own()
        server = self._server = grpc.aio.server(options=self._options())
        server.add_generic_rpc_handlers((_Routes(self._handlers),))
        try:
            if self._tls is not None:
                port = server.add_secure_port(self._listen, self._tls.server_credentials())
            else:
                port = server.add_insecure_port(self._listen)
        except RuntimeError:
            raise SystemExit(f"cannot listen on {self._listen}: the port is taken or not ours.") from None
        await server.start()
        return port

    async def stop(self, grace: float) -> None:
        """Takes no new call, waits up to `grace` seconds for the running ones, then cancels them.

        Returns when their handlers have cleaned up, so that what they use may be closed.
        """
        if self._server is None:
            return
        await self._server.stop(grace)
        if not await self._counted.idle(_CLEAN_UP):
            _log.warning("calls still clean up", in_flight=self._counted.in_flight)

    def _add_own(self) -> None:
        from grpc_health.v1 import health_pb2_grpc
        from grpc_reflection.v1alpha import _async as reflection
        from grpc_reflection.v1alpha import reflection_pb2_grpc

        from servicekit.rpc.health import Health

        names = [*self._services, _HEALTH, _REFLECTION]
        health_pb2_grpc.add_HealthServicer_to_server(
            Health(self._lifecycle, self._services), _Recorder(self._handlers, self._open)
        )
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(
            reflection.ReflectionServicer(names), _Recorder(self._handlers, self._open_bounded)
        )

    def _options(self) -> list[tuple[str, Any]]:
        size = self._limits.max_message_bytes
        return [
            *TRANSPORT,
            ("grpc.max_receive_message_length", size),
            ("grpc.max_send_message_length", size),
            # Otherwise two servers may share a port and split its calls at random.
            ("grpc.so_reuseport", 0),
            # The channels' own keepalive pings are welcome.
            ("grpc.keepalive_time_ms", 20_000),
            ("grpc.keepalive_timeout_ms", 5_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
            ("grpc.http2.max_ping_strikes", 0),
            # A backstop a connection; the refusal that callers see comes from RpcLimits.
            ("grpc.max_concurrent_streams", 4 * self._limits.max_concurrent + 16),
        ]


class _Recorder:
    """Stands in for a server while generated code registers its methods."""

    def __init__(
        self,
        handlers: dict[str, Any],
        proceed: steps.Proceed,
        watches: Watches | None = None,
        watching: Collection[str] = (),
    ) -> None:
        self._handlers = handlers
        self._proceed = proceed
        self._watches = watches
        self._watching = watching

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """The same methods come again, named, through the next function."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        """Keeps each method behind the steps."""
        for name, handler in handlers.items():
            path = f"/{service}/{name}"
            watches = self._watches if name in self._watching else None
            self._handlers[path] = guard(path, handler, self._proceed, watches)


class _Routes(grpc.GenericRpcHandler):
    def __init__(self, handlers: dict[str, Any]) -> None:
        self._handlers = handlers

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The handler of a method, or None for UNIMPLEMENTED."""
        return self._handlers.get(handler_call_details.method)
