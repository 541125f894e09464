"""The only place that chooses implementations, by URL, and wires the service together."""

from __future__ import annotations

import grpc.aio

from eval_service import figures
from eval_service.adapters.finished import FinishedRuns
from eval_service.adapters.host import host_calls
from eval_service.adapters.model_client import GrpcModels, Patience
from eval_service.adapters.page_process import PageProcess
from eval_service.adapters.records import Audit, EvalRecords, ReleaseRecords
from eval_service.api.events import GROUP, CanaryEvents
from eval_service.api.service import EvalService, Rules
from eval_service.api.watch import Bell
from eval_service.release.conductor import Conductor
from eval_service.release.states import Release
from eval_service.settings import EvalServiceSettings
from servicekit.bus import Bus, Subscription, open_bus
from servicekit.bus.topics import FEEDBACK, REQUESTS
from servicekit.identity import ServiceIdentity, load_key
from servicekit.jobs import Jobs, Worker, WorkLimits
from servicekit.jobs.launchers import Launcher, open_launcher
from servicekit.objects import Objects, open_objects
from servicekit.outbox import Relay
from servicekit.rpc import Tls, open_channel
from servicekit.store import Store

MIGRATIONS = "eval_service:migrations"
NAME = "eval-service"
PREFIXES = {"evaluation": "evalrun_", "batch": "batch_"}
HANDLERS = {"evaluation": "eval_service.jobs.evaluation:run", "batch": "eval_service.jobs.batch:run"}


class Service:
    """Everything that runs behind the gRPC server, and the order in which it starts and stops."""

    def __init__(
        self,
        settings: EvalServiceSettings,
        identity: ServiceIdentity,
        store: Store,
        bus: Bus,
        objects: Objects,
        channel: grpc.aio.Channel,
        launcher: Launcher,
    ) -> None:
        self._settings = settings
        self._store = store
        self._bus = bus
        self._objects = objects
        self._channel = channel
        self._subscription: Subscription | None = None
        self._relay = Relay(store, bus)
        self._bell = Bell()
        jobs = Jobs(store, source=NAME, prefixes=PREFIXES, wake=self._relay.wake)
        records = EvalRecords(store, jobs)
        self._releases = ReleaseRecords(store, announced=self._relay.wake, stepped=figures.stepped)
        self._counting = figures.Counting(self._releases)
        finished = FinishedRuns(records, objects)
        patience = Patience(seconds=settings.ask_seconds, tries=settings.ask_tries)
        models = GrpcModels(channel, identity, patience)
        self._worker = Worker(
            jobs,
            bus,
            objects,
            launcher,
            HANDLERS,
            group=f"{NAME}.jobs",
            limits=WorkLimits(
                slots=settings.slots,
                lease_seconds=settings.job_lease_seconds,
                memory_bytes=settings.job_memory_bytes,
                seconds=settings.job_seconds,
                tenant_slots=settings.tenant_slots,
                checkpoint_bytes=max(settings.max_file_bytes * 4, 1 << 30),
            ),
            calls=host_calls(models, records),
            telemetry_url=settings.telemetry_url,
            ended=figures.ended,
        )
        self._conductor = Conductor(self._releases, finished, moved=self._moved)
        self.servicer = EvalService(
            records,
            self._releases,
            Audit(store),
            jobs,
            finished,
            objects,
            PageProcess(seconds=settings.report_seconds),
            self._bell,
            Rules(
                policies=settings.policies,
                embedding_model=settings.embedding_model,
                seed=settings.seed,
                parallel=settings.job_parallel,
                checkpoint_seconds=settings.checkpoint_seconds,
                max_rows=settings.max_rows,
                max_requests=settings.max_requests,
                max_file_bytes=settings.max_file_bytes,
                max_window_seconds=settings.max_window_seconds,
                max_report_bytes=settings.max_report_bytes,
                max_watchers=settings.max_watchers,
                watch_seconds=settings.watch_seconds,
            ),
        )

    def start(self) -> None:
        """Work begins: events go out and come in, jobs run, releases move."""
        self._relay.start()
        self._worker.start()
        self._conductor.start()
        self._counting.start()
        self._subscription = self._bus.subscribe(
            [REQUESTS, FEEDBACK],
            GROUP,
            CanaryEvents(
                self._releases, noted=self._conductor.wake, best_score=self._settings.feedback_score
            ),
        )

    async def check(self) -> None:
        """Returns when the records answer: without them the service can do nothing."""
        await self._store.ping()

    async def stop(self) -> None:
        """In the reverse order. What was begun goes on at the next start, from its checkpoint."""
        if self._subscription is not None:
            await self._subscription.close()
        await self._conductor.close()
        await self._counting.close()
        await self._worker.close()
        await self._relay.close()
        await self._channel.close()
        await self._objects.close()
        await self._bus.close()
        await self._store.close()

    def _moved(self, release: Release) -> None:
        self._bell.ring()


async def make_service(settings: EvalServiceSettings, identity: ServiceIdentity) -> Service:
    """Everything wired, nothing begun.

    Raises SixfoldError(SERVICE_UNAVAILABLE) while the records do not answer; SystemExit with one line for a
    setting that means nothing.
    """
    settings.work.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        key = load_key(settings.objects_key_file) if settings.objects_key_file else None
        launcher = open_launcher(settings.launcher, folder=settings.work)
        bus = open_bus(settings.bus, client=NAME)
        objects = open_objects(settings.objects, key=key)
        store = await Store.open(
            settings.records,
            migrations=MIGRATIONS,
            pool_size=settings.store_pool,
            timeout=settings.store_seconds,
        )
    except ValueError as error:
        raise SystemExit(f"{NAME}: {error}") from None
    channel = open_channel(
        settings.model_service, tls=make_tls(settings), max_message_bytes=settings.max_message_bytes
    )
    return Service(settings, identity, store, bus, objects, channel, launcher)


def make_tls(settings: EvalServiceSettings) -> Tls | None:
    """Mutual TLS, where the settings name certificates."""
    return Tls.from_settings(settings)
