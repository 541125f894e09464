"""The only place that chooses implementations, by URL, and wires the service together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc.aio

from servicekit.bus import Bus, Event, Subscription, open_bus
from servicekit.bus.topics import FEEDBACK, RELEASES, REQUESTS
from servicekit.identity import ServiceIdentity, load_key
from servicekit.jobs import Claim, Jobs, Worker, WorkLimits
from servicekit.jobs.launchers import Launcher, open_launcher
from servicekit.objects import Objects, open_objects
from servicekit.outbox import Relay
from servicekit.rpc import Tls, open_channel
from servicekit.store import Store
from training_service import figures
from training_service.adapters import moves
from training_service.adapters.kept import GROUP, Kept
from training_service.adapters.model_host import ModelHost
from training_service.adapters.records import SqlRecords
from training_service.adapters.registrar import Registrar
from training_service.api.service import TrainingService
from training_service.datasets.shapes import Limits
from training_service.orders.service import Orders
from training_service.orders.types import DATASET, PREFIXES, TRAINING, BaseModel
from training_service.settings import TrainingServiceSettings
from training_service.work.places import Places

MIGRATIONS = "training_service:migrations"
_UNKNOWN_PARAMETERS = 134_515_008
HANDLERS = {DATASET: "training_service.work.dataset:run", TRAINING: "training_service.work.training:run"}


class Service:
    """Everything that runs behind the gRPC server, and the order in which it starts and stops."""

    def __init__(
        self,
        settings: TrainingServiceSettings,
        identity: ServiceIdentity,
        store: Store,
        bus: Bus,
        objects: Objects,
        channel: grpc.aio.Channel,
        launcher: Launcher,
    ) -> None:
        self._store = store
        self._bus = bus
        self._objects = objects
        self._channel = channel
        self._subscriptions: list[Subscription] = []
        self._relay = Relay(store, bus)
        self._jobs = Jobs(
            store,
            source="training-service",
            prefixes=PREFIXES,
            wake=self._relay.wake,
            most_open=settings.open_jobs,
        )
        self._kept = Kept(store, days=settings.keep_days)
        self._host = ModelHost(channel, identity, seconds=settings.add_model_seconds)
        records = SqlRecords(store, self._jobs)
        self._moves = moves.Moves(store, days=settings.keep_days)
        self._registrar = None
        if settings.tracking:
            self._registrar = Registrar(
                self._moves, records, url=settings.tracking, seconds=settings.registry_seconds
            )
        bases = {
            name: BaseModel(url, settings.parameters.get(name, _UNKNOWN_PARAMETERS))
            for name, url in settings.bases.items()
        }
        orders = Orders(
            records, self._jobs, objects, bases, Limits(settings.max_row_chars, settings.max_rows)
        )
        self.servicer = TrainingService(orders, records, self._jobs, max_file_bytes=settings.max_file_bytes)
        self._worker = None
        if settings.workers:
            self._worker = Worker(
                self._jobs,
                bus,
                objects,
                launcher,
                HANDLERS,
                group="training-service-workers",
                limits=WorkLimits(
                    slots=settings.workers,
                    tenant_slots=settings.tenant_jobs,
                    lease_seconds=settings.lease_seconds,
                    seconds=settings.job_seconds,
                    memory_bytes=settings.job_memory_bytes,
                    checkpoint_bytes=settings.checkpoint_bytes,
                ),
                calls={"feedback": self._feedback, "add_model": self._add_model},
                telemetry_url=settings.telemetry_url,
                ended=figures.ended,
            )

    def start(self) -> None:
        """Work begins: events go out and come in, jobs are claimed."""
        self._relay.start()
        self._subscriptions.append(self._bus.subscribe([REQUESTS, FEEDBACK], GROUP, self._kept))
        if self._registrar is not None:
            self._registrar.start()
            self._subscriptions.append(self._bus.subscribe([RELEASES], moves.GROUP, self._released))
        if self._worker is not None:
            self._worker.start()

    async def check(self) -> None:
        """Returns when the records answer: without them the service can do nothing."""
        await self._store.ping()

    async def stop(self) -> None:
        """In the reverse order. Running jobs keep a checkpoint and go on elsewhere, or here next time."""
        if self._worker is not None:
            await self._worker.close()
        for subscription in self._subscriptions:
            await subscription.close()
        if self._registrar is not None:
            await self._registrar.close()
        await self._relay.close()
        await self._channel.close()
        await self._objects.close()
        await self._bus.close()
        await self._store.close()

    async def _released(self, event: Event) -> None:
        await self._moves(event)
        if self._registrar is not None:
            self._registrar.wake()

    async def _feedback(self, claim: Claim, arguments: Mapping[str, Any]) -> Any:
        return await self._kept.rows(
            claim.tenant,
            kinds=[str(kind) for kind in arguments["kinds"]],
            since=float(arguments["since"]),
            until=float(arguments["until"]),
            model=str(arguments["model"]),
            after=list(arguments["after"]),
        )

    async def _add_model(self, claim: Claim, arguments: Mapping[str, Any]) -> Any:
        return await self._host.add(claim.tenant, claim.id, arguments)


async def make_service(settings: TrainingServiceSettings, identity: ServiceIdentity) -> Service:
    """Everything wired, nothing begun.

    Raises SixfoldError(SERVICE_UNAVAILABLE) while the records do not answer; SystemExit with one line for a
    setting that means nothing.
    """
    settings.work_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    places = Places(
        bases=settings.bases,
        cache="" if settings.in_pods else str(settings.work_folder / "bases"),
        tracking=settings.tracking,
        artifacts=settings.tracked_artifacts,
        checkpoint_steps=settings.checkpoint_steps,
        merged=settings.write_merged,
    )
    if settings.in_pods and settings.tracking.startswith("sqlite:"):
        raise SystemExit(
            "training-service: jobs in pods need a tracking server: set SIXFOLD_MLFLOW_URL to one, or to off"
        )
    try:
        key = load_key(settings.objects_key_file) if settings.objects_key_file else None
        bus = open_bus(settings.bus, client=GROUP)
        objects = open_objects(settings.objects, key=key)
        launcher = open_launcher(
            settings.launcher, folder=settings.work_folder / "jobs", environment=places.environment()
        )
        store = await Store.open(
            settings.records,
            migrations=MIGRATIONS,
            pool_size=settings.store_pool,
            timeout=settings.store_seconds,
        )
    except ValueError as error:
        raise SystemExit(f"training-service: {error}") from None
    channel = open_channel(
        settings.model_service, tls=make_tls(settings), max_message_bytes=settings.max_message_bytes
    )
    return Service(settings, identity, store, bus, objects, channel, launcher)


def make_tls(settings: TrainingServiceSettings) -> Tls | None:
    """Mutual TLS, where the settings name certificates."""
    return Tls.from_settings(settings)
