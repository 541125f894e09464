"""The process: `python -m eval_service` serves until it is told to stop."""

from __future__ import annotations

import os
import sys

from eval_service.settings import EvalServiceSettings
from servicekit.settings import load_settings

SERVICE = "eval-service"


def main() -> int:
    """Returns the exit code."""
    if len(sys.argv) > 1:
        print("usage: python -m eval_service", file=sys.stderr)  # noqa: T201
        return 2
    settings = load_settings(EvalServiceSettings)
    from servicekit.lifecycle import run

    return run(lambda: serve(settings))


async def serve(settings: EvalServiceSettings) -> int:
    """Listen, work, answer until a signal comes, drain."""
    # Job processes are forked and at once replaced: gRPC need not prepare for that, nor warn of it.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    from eval_service.bootstrap import make_service, make_tls
    from servicekit.identity import ServiceIdentity
    from servicekit.lifecycle import Lifecycle
    from servicekit.logs import configure_logs
    from servicekit.ops import OpsServer
    from servicekit.rpc import RpcLimits, RpcServer
    from servicekit.telemetry import configure_tracing
    from sixfold.eval.v1 import eval_service_pb2, eval_service_pb2_grpc

    configure_logs(SERVICE, settings.log_level, settings.log_format)
    end_tracing = configure_tracing(SERVICE, settings.telemetry_url, sample=settings.telemetry_sample)
    lifecycle = Lifecycle(SERVICE, drain_seconds=settings.drain_seconds)
    identity = ServiceIdentity.from_settings(SERVICE, settings)
    host, _, port = settings.ops_listen.rpartition(":")
    ops = OpsServer(host.strip("[]"), int(port), lifecycle)
    await ops.start()
    service = await make_service(settings, identity)
    lifecycle.depend("records", service.check)
    server = RpcServer(
        settings.listen,
        service=SERVICE,
        identity=identity,
        lifecycle=lifecycle,
        limits=RpcLimits(
            max_concurrent=settings.max_concurrent,
            default_deadline=settings.default_deadline,
            max_deadline=settings.max_deadline,
            max_message_bytes=settings.max_message_bytes,
        ),
        tls=make_tls(settings),
    )
    server.add(
        eval_service_pb2_grpc.add_EvalServiceServicer_to_server,
        service.servicer,
        eval_service_pb2.DESCRIPTOR.services_by_name["EvalService"].full_name,
        watches=("WatchRoutes",),
    )
    await server.start()
    service.start()
    lifecycle.started()
    await lifecycle.wait_for_stop()
    lifecycle.begin_drain()
    await server.stop(settings.drain_seconds)
    await service.stop()
    await ops.stop()
    end_tracing()
    return 0


if __name__ == "__main__":
    sys.exit(main())
