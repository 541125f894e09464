"""The process: `python -m training_service` serves until it is told to stop."""

from __future__ import annotations

import sys

from servicekit.settings import load_settings
from training_service.settings import TrainingServiceSettings

SERVICE = "training-service"


def main() -> int:
    """Returns the exit code."""
    if len(sys.argv) > 1:
        print("usage: python -m training_service", file=sys.stderr)  # noqa: T201
        return 2
    settings = load_settings(TrainingServiceSettings)
    from servicekit.lifecycle import run

    return run(lambda: serve(settings))


async def serve(settings: TrainingServiceSettings) -> int:
    """Listen, work, answer until a signal comes, drain."""
    from servicekit.identity import ServiceIdentity
    from servicekit.lifecycle import Lifecycle
    from servicekit.logs import configure_logs
    from servicekit.ops import OpsServer
    from servicekit.rpc import RpcLimits, RpcServer
    from servicekit.telemetry import configure_tracing
    from sixfold.training.v1 import training_service_pb2, training_service_pb2_grpc
    from training_service.bootstrap import make_service, make_tls

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
        training_service_pb2_grpc.add_TrainingServiceServicer_to_server,
        service.servicer,
        training_service_pb2.DESCRIPTOR.services_by_name["TrainingService"].full_name,
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
