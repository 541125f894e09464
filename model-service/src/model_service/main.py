"""The process: `python -m model_service` serves, `python -m model_service prepare` brings models in."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

from model_service.settings import ModelServiceSettings
from servicekit.settings import load_settings

if TYPE_CHECKING:
    from model_service.models.catalog import Catalog

SERVICE = "model-service"


def main() -> int:
    """Returns the exit code."""
    arguments = sys.argv[1:]
    if arguments and arguments[0] != "prepare":
        print("usage: python -m model_service [prepare [--from DIR --name NAME]]", file=sys.stderr)  # noqa: T201
        return 2
    settings = load_settings(ModelServiceSettings)
    if arguments:
        # Each half imports only what it needs: preparing needs no server, serving no converter.
        from model_service.prepare.command import prepare

        return prepare(settings.home, settings.models_file, arguments[1:])
    from servicekit.lifecycle import run

    return run(lambda: serve(settings))


async def serve(settings: ModelServiceSettings) -> int:
    """Listen, load, answer until a signal comes, drain."""
    # Engine processes are forked and at once replaced: gRPC need not prepare for that, nor warn of it.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    from model_service.api.service import ModelService
    from model_service.bootstrap import make_additions, make_catalog, make_objects, make_tls
    from model_service.models.config import ConfigError
    from servicekit.identity import ServiceIdentity
    from servicekit.lifecycle import Lifecycle
    from servicekit.logs import configure_logs
    from servicekit.ops import OpsServer
    from servicekit.rpc import RpcLimits, RpcServer
    from servicekit.telemetry import configure_tracing
    from sixfold.model.v1 import model_service_pb2, model_service_pb2_grpc

    configure_logs(SERVICE, settings.log_level, settings.log_format)
    end_tracing = configure_tracing(SERVICE, settings.telemetry_url, sample=settings.telemetry_sample)
    try:
        catalog = make_catalog(settings)
    except ConfigError as error:
        print(f"model-service: {error}", file=sys.stderr)  # noqa: T201
        return 2
    objects = make_objects(settings)
    additions = make_additions(settings, catalog, objects)
    lifecycle = Lifecycle(SERVICE, drain_seconds=settings.drain_seconds)
    lifecycle.depend("models", catalog.check)
    server = RpcServer(
        settings.listen,
        service=SERVICE,
        identity=ServiceIdentity.from_settings(SERVICE, settings),
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
        model_service_pb2_grpc.add_ModelServiceServicer_to_server,
        ModelService(catalog, additions),
        model_service_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name,
    )
    host, _, port = settings.ops_listen.rpartition(":")
    ops = OpsServer(host.strip("[]"), int(port), lifecycle)
    # Listening comes first: a taken port is known at once, and callers learn that models are loading.
    await additions.remember()
    await server.start()
    await ops.start()
    loading = asyncio.create_task(catalog.load_all())
    loading.add_done_callback(lambda _: lifecycle.started())
    trained = asyncio.create_task(_load_trained(loading, catalog))
    await lifecycle.wait_for_stop()
    lifecycle.begin_drain()
    await server.stop(settings.drain_seconds)
    loading.cancel()
    trained.cancel()
    await asyncio.gather(loading, trained, return_exceptions=True)
    await additions.close()
    await catalog.close()
    await objects.close()
    await ops.stop()
    end_tracing()
    return 0


async def _load_trained(loading: asyncio.Task[None], catalog: Catalog) -> None:
    """Tenants' own models come after those that everybody waits for."""
    await asyncio.wait((loading,))
    await catalog.load_trained()


if __name__ == "__main__":
    sys.exit(main())
