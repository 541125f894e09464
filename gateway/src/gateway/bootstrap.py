"""The only place that chooses implementations and wires them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple
from urllib.parse import urlsplit

from gateway.adapters.batches_client import GrpcBatchesClient
from gateway.adapters.datasets_client import GrpcDatasetsClient
from gateway.adapters.documents import RetrievalDocuments
from gateway.adapters.eval_client import GrpcEvalClient
from gateway.adapters.feedback_store import SqlFeedback
from gateway.adapters.files_store import FilesStore
from gateway.adapters.h2.channel import Channel
from gateway.adapters.h2.peer import EVAL_SERVICE, RETRIEVAL_SERVICE, TRAINING_SERVICE
from gateway.adapters.jwks import Jwks, JwksLimits, file_fetch, https_fetch
from gateway.adapters.keys_store import KeysStore
from gateway.adapters.lineage_clients import GrpcJudgements, GrpcOrigins
from gateway.adapters.model_client import GrpcModelClient
from gateway.adapters.releases_client import GrpcReleasesClient
from gateway.adapters.requests_store import SqlRequests
from gateway.adapters.responses_store import ResponsesStore
from gateway.adapters.retrieval_client import GrpcRetrievalClient
from gateway.adapters.routes_client import RoutesClient
from gateway.adapters.spool.folders import Folders
from gateway.adapters.spool.journal import SpoolJournal
from gateway.adapters.spool.recorder import Recorder
from gateway.adapters.spool.relay import Relay, Spool
from gateway.adapters.spool.writer import Writer
from gateway.adapters.training_client import GrpcTrainingClient
from gateway.adapters.uploads_store import UploadsStore
from gateway.api.asgi import Handler, RootApp
from gateway.api.hot.chat import chat_endpoint
from gateway.api.hot.completions import completions_endpoint
from gateway.api.hot.datasets import DatasetDeps, DatasetsEndpoint
from gateway.api.hot.deps import HotDeps, HotLimits
from gateway.api.hot.embeddings import EmbeddingEndpoint
from gateway.api.hot.files import FileDeps, FilesEndpoint
from gateway.api.hot.models import ModelsEndpoint
from gateway.api.hot.responses import ResponsesEndpoint
from gateway.api.incoming import Pace
from gateway.api.observe import Observer
from gateway.api.raw import RawRoutes
from gateway.api.rest.app import create_app
from gateway.api.rest.deps import RestDeps
from gateway.background import Background, watch_loop
from gateway.caching.exact import ExactCache
from gateway.config.file import DEFAULT_SERVICE, ConfigError, GatewayConfig
from gateway.config.live import LiveConfig
from gateway.feedback.service import FeedbackRules, FeedbackService
from gateway.files.service import FilesService
from gateway.files.sweep import Sweep
from gateway.files.types import FileRules
from gateway.files.uploads import UploadsService
from gateway.grounding.ground import Grounder
from gateway.identity.authenticator import Authenticator
from gateway.identity.keyring import KeySource, StaticKeys, VerifyKey
from gateway.identity.keys_service import KeysService
from gateway.identity.seal import Seal
from gateway.identity.snapshot import KeySnapshot, SnapshotLimits
from gateway.identity.tokens import TokenVerifier
from gateway.jobs.audit import AuditService
from gateway.jobs.batches import BatchesService
from gateway.jobs.datasets import DatasetsService
from gateway.jobs.evals import EvalsService
from gateway.jobs.releases import ReleasesService
from gateway.jobs.tuning import TuningService
from gateway.limits.admission import Admission
from gateway.lineage.service import LineageService
from gateway.lineage.sweep import Sweep as RequestsSweep
from gateway.releases.routes import Releases
from gateway.responses.service import ResponseRules, Responses
from gateway.retrieval.presence import Presence
from gateway.retrieval.service import StoresService
from gateway.routing.catalogue import Catalogue
from gateway.routing.removal import Removal
from gateway.routing.router import Router
from gateway.settings import GatewaySettings
from servicekit.bus import Bus, open_bus
from servicekit.bus.topics import REQUESTS
from servicekit.cache import open_cache
from servicekit.errors import Reason, SixfoldError
from servicekit.identity import ServiceIdentity, load_key
from servicekit.lifecycle import Lifecycle
from servicekit.limits import open_limiter
from servicekit.objects import Objects, open_objects
from servicekit.outbox import Relay as OutboxRelay
from servicekit.rpc import Tls
from servicekit.store import Store

SERVICE = "gateway"
Closer = Callable[[], Awaitable[None]]


class Gateway:
    """A wired gateway. `close` ends in reverse order what was begun."""

    def __init__(self, app: RootApp, lifecycle: Lifecycle, closers: list[Closer]) -> None:
        self.app = app
        self.lifecycle = lifecycle
        self._closers = closers

    async def close(self) -> None:
        """Ends background work and connections."""
        for closer in reversed(self._closers):
            await closer()


async def bootstrap(settings: GatewaySettings, lifecycle: Lifecycle) -> Gateway:
    """Makes every part and starts what runs in the background.

    Raises SixfoldError or SystemExit with one line when something that must be there is not.
    """
    closers: list[Closer] = []
    try:
        return await _wire(settings, lifecycle, closers)
    except BaseException:
        for closer in reversed(closers):
            await closer()
        raise


async def _wire(settings: GatewaySettings, lifecycle: Lifecycle, closers: list[Closer]) -> Gateway:
    live = _live_config(settings)
    service_key = load_key(settings.key_file)
    identity = ServiceIdentity.from_settings(SERVICE, settings)
    background = Background()
    observer = Observer(log=settings.access_log, text=settings.log_format == "text")

    async def flush() -> None:
        observer.flush()

    closers.append(flush)
    store = await Store.open(settings.store, migrations="gateway:migrations", pool_size=settings.store_pool)
    closers.append(store.close)
    authenticator, keys = await _identity(settings, service_key, store, lifecycle, closers)

    limiter = open_limiter(
        settings.limits, timeout=settings.limits_timeout_seconds, processes=settings.workers
    )
    closers.append(limiter.close)
    admission = Admission(limiter, live.current.limits)

    cache = ExactCache(
        open_cache(settings.cache_url, max_bytes=settings.cache_bytes, timeout=settings.cache_timeout_seconds)
    )
    closers.append(cache.close)

    catalogue = Catalogue(settings.catalogue_seconds)
    releases = Releases()
    router = Router(live.current, catalogue, time.monotonic, releases)
    watching = _released_names(settings, identity, releases, closers)
    services = _Services(settings, identity, catalogue, background)
    services.use(live.current)
    closers.append(services.close)
    for listener in (router.use, lambda config: admission.update(config.limits), services.use):
        live.on_change(listener)
    lifecycle.depend("model-service", catalogue.check)
    await catalogue.look()

    retrieval = GrpcRetrievalClient(
        Channel(settings.retrieval_service, tls=Tls.from_settings(settings), peer=RETRIEVAL_SERVICE), identity
    )
    closers.append(retrieval.close)
    presence = Presence("retrieval-service", retrieval.check)
    bus = _bus(settings, closers)
    requests = SqlRequests(store)
    recorder, spool = _spool(settings, bus, requests, closers)
    feedback = _feedback(settings, store, bus, closers)

    grounder = Grounder(retrieval, live.current.grounding)
    live.on_change(lambda config: grounder.use(config.grounding))

    responses = Responses(
        ResponsesStore(store),
        ResponseRules(
            ttl=settings.responses_ttl_seconds,
            max_bytes=settings.response_bytes,
            max_turns=settings.response_turns,
        ),
        key=service_key,
    )
    closers.append(responses.close)

    files = await _files(settings, store, retrieval, closers)
    jobs = _jobs(settings, identity, files, closers)
    raw = FilesEndpoint(
        FileDeps(
            authenticator,
            admission,
            files.files,
            files.uploads,
            Pace(settings.body_seconds, settings.upload_bytes_per_second, settings.upload_seconds),
            slow_reader=settings.slow_reader_seconds,
            max_receiving=settings.max_receiving,
        )
    )

    parts = DatasetsEndpoint(
        DatasetDeps(
            authenticator,
            admission,
            jobs.datasets,
            idle=settings.body_seconds,
            slow_reader=settings.slow_reader_seconds,
        )
    )

    hot = HotDeps(authenticator, admission, router, catalogue, cache, grounder, _hot_limits(settings))
    rest = create_app(
        RestDeps(
            authenticator,
            keys,
            admission,
            lifecycle,
            stores=StoresService(retrieval, files.files, deadline=settings.retrieval_seconds),
            removal=Removal(router, deadline=settings.jobs_seconds),
            responses=responses,
            files=files.files,
            uploads=files.uploads,
            feedback=feedback,
            tuning=jobs.tuning,
            datasets=jobs.datasets,
            evals=jobs.evals,
            batches=jobs.batches,
            releases=jobs.releases,
            audit=jobs.audit,
            lineage=LineageService(
                requests,
                SqlFeedback(store, announced=lambda: None),
                catalogue,
                jobs.origins,
                jobs.judgements,
                fresh=recorder.catch_up,
                deadline=settings.jobs_seconds,
            ),
            notes=lambda: (
                live.notes()
                | presence.notes()
                | files.presence.notes()
                | spool.relay.notes()
                | recorder.notes()
                | {name: word for part in jobs.presences for name, word in part.notes().items()}
            ),
            metrics_token=_metrics_token(settings),
        )
    )
    app = RootApp(
        _hot_routes(hot, responses),
        rest,
        lifecycle,
        observer,
        max_in_flight=settings.max_in_flight,
        max_body=settings.max_body_bytes,
        body_seconds=settings.body_seconds,
        journal=SpoolJournal(spool.writer),
        raw=RawRoutes([*raw.routes(), *parts.routes()]),
    )
    closers.append(background.close)
    background.run("catalogue", catalogue.run())
    if watching is not None:
        background.run("releases", watching.run())
    background.run("config", live.watch())
    background.run("retrieval", presence.run())
    for part in jobs.presences:
        background.run("jobs", part.run())
    background.run("spool", spool.relay.run())
    background.run("requests", recorder.run(2 * settings.spool_relay_seconds, lambda: spool.relay.rounds))
    background.run("requests", _requests_sweep(settings, requests).run())
    background.run("responses", responses.sweep())
    background.run("feedback", feedback.sweep())
    background.run("objects", files.presence.run())
    background.run("files", files.sweep.run())
    background.run("gauges", watch_loop(router, live, app))
    return Gateway(app, lifecycle, closers)


def _bus(settings: GatewaySettings, closers: list[Closer]) -> Bus:
    try:
        bus = open_bus(settings.bus, client=SERVICE)
    except ValueError as error:
        raise SystemExit(f"SIXFOLD_BUS_URL: {error}.") from None
    closers.append(bus.close)
    return bus


def _feedback(settings: GatewaySettings, store: Store, bus: Bus, closers: list[Closer]) -> FeedbackService:
    """Feedback: rows and events in the gateway's store; one worker's relay carries the events to the bus."""
    relay = OutboxRelay(store, bus)
    relay.start()
    closers.append(relay.close)
    rules = FeedbackRules(max_correction=settings.max_correction, keep_seconds=settings.feedback_seconds)
    return FeedbackService(SqlFeedback(store, announced=relay.wake), rules)


def _requests_sweep(settings: GatewaySettings, requests: SqlRequests) -> RequestsSweep:
    return RequestsSweep(requests, keep_seconds=settings.requests_days * 86400, most=settings.max_requests)


def _spool(
    settings: GatewaySettings, bus: Bus, requests: SqlRequests, closers: list[Closer]
) -> tuple[Recorder, Spool]:
    """This worker's spool, before the bus and the records. Those may be away; the disk may not."""
    folders = Folders(settings.home.resolve() / "spool")
    try:
        folder = folders.make()
    except OSError as error:
        raise SystemExit(f"{settings.home / 'spool'}: cannot be written ({error.strerror}).") from None
    writer = Writer(
        folder,
        segment_bytes=settings.spool_segment_bytes,
        max_bytes=settings.spool_max_bytes,
        fsync=settings.spool_fsync,
    )
    recorder = Recorder(requests, writer)
    relay = Relay(folders, writer, bus, REQUESTS, period=settings.spool_relay_seconds, recorder=recorder)
    spool = Spool(folder, writer, relay)
    closers.append(spool.close)
    return recorder, spool


class _Files(NamedTuple):
    """What files stand on."""

    files: FilesService
    uploads: UploadsService
    objects: Objects
    sweep: Sweep
    presence: Presence


def _released_names(
    settings: GatewaySettings, identity: ServiceIdentity, releases: Releases, closers: list[Closer]
) -> RoutesClient | None:
    """What fills `releases`; None where no eval service is configured."""
    if settings.eval_service is None:
        return None
    channel = Channel(settings.eval_service, tls=Tls.from_settings(settings), peer=EVAL_SERVICE)
    watching = RoutesClient(channel, identity, releases)
    closers.append(watching.close)
    return watching


async def _files(
    settings: GatewaySettings, store: Store, retrieval: GrpcRetrievalClient, closers: list[Closer]
) -> _Files:
    """Files: records in the gateway's store, bytes in the object store, which retrieval reads too."""
    key = load_key(settings.objects_key_file) if settings.objects_key_file else None
    try:
        objects = open_objects(settings.objects, key=key, timeout=settings.objects_seconds)
    except ValueError as error:
        raise SystemExit(f"SIXFOLD_OBJECTS_URL: {error}.") from None
    closers.append(objects.close)
    records, parts = FilesStore(store), UploadsStore(store)
    rules = FileRules(
        max_file=settings.max_file_bytes,
        max_part=settings.max_part_bytes,
        max_total=settings.max_tenant_bytes,
        max_files=settings.max_tenant_files,
        pending=2 * settings.upload_seconds + 600,
    )
    documents = RetrievalDocuments(retrieval, deadline=settings.retrieval_seconds)
    files = FilesService(records, objects, documents, rules)
    sweep = Sweep(files, records, parts, objects, period=settings.files_sweep_seconds)
    presence = Presence("objects", objects.check)
    return _Files(files, UploadsService(parts, files, objects), objects, sweep, presence)


class _Jobs(NamedTuple):
    """What jobs stand on; None where no service is configured."""

    tuning: TuningService | None
    datasets: DatasetsService | None
    evals: EvalsService | None
    batches: BatchesService | None
    releases: ReleasesService | None
    audit: AuditService | None
    origins: GrpcOrigins | None
    judgements: GrpcJudgements | None
    presences: tuple[Presence, ...]


def _jobs(settings: GatewaySettings, identity: ServiceIdentity, kept: _Files, closers: list[Closer]) -> _Jobs:
    """The training and the eval service, where there are such. Nothing else hangs on them."""
    tls, deadline = Tls.from_settings(settings), settings.jobs_seconds
    files = kept.files
    tuning, datasets, evals, batches, releases = None, None, None, None, None
    audit, origins, judgements = None, None, None
    presences = []
    if settings.training_service is not None:
        channel = Channel(settings.training_service, tls=tls, peer=TRAINING_SERVICE)
        training = GrpcTrainingClient(channel, identity)
        closers.append(training.close)
        tuning = TuningService(training, files, deadline=deadline)
        curating = GrpcDatasetsClient(training)
        origins = GrpcOrigins(training)
        datasets = DatasetsService(curating, files, kept.objects, deadline=deadline)
        presences.append(Presence("training-service", training.check))
    if settings.eval_service is not None:
        evaluation = GrpcEvalClient(Channel(settings.eval_service, tls=tls, peer=EVAL_SERVICE), identity)
        closers.append(evaluation.close)
        evals = EvalsService(evaluation, files, datasets, deadline=deadline)
        batches = BatchesService(GrpcBatchesClient(evaluation), files, deadline=deadline)
        releases = ReleasesService(GrpcReleasesClient(evaluation), deadline=deadline)
        judgements = GrpcJudgements(evaluation)
        audit = AuditService(judgements, deadline=deadline)
        presences.append(Presence("eval-service", evaluation.check))
    return _Jobs(tuning, datasets, evals, batches, releases, audit, origins, judgements, tuple(presences))


def _live_config(settings: GatewaySettings) -> LiveConfig:
    try:
        return LiveConfig(settings.config_file)
    except ConfigError as error:
        raise SystemExit(f"{settings.config_file}: {error}") from None


def _metrics_token(settings: GatewaySettings) -> bytes | None:
    if settings.metrics_token_file is None:
        return None
    try:
        token = settings.metrics_token_file.read_bytes().strip()
    except OSError as error:
        raise SystemExit(f"{settings.metrics_token_file}: cannot be read ({error.strerror}).") from None
    if len(token) < 16:
        raise SystemExit(f"{settings.metrics_token_file}: a scraper's token has at least 16 characters.")
    return token


def _hot_limits(settings: GatewaySettings) -> HotLimits:
    return HotLimits(
        max_body=settings.max_body_bytes,
        body_seconds=settings.body_seconds,
        max_deadline=settings.max_deadline_seconds,
        max_answer=settings.max_answer_bytes,
        heartbeat=settings.heartbeat_seconds,
        slow_reader=settings.slow_reader_seconds,
    )


def _hot_routes(deps: HotDeps, responses: Responses) -> dict[str, tuple[str, Handler]]:
    models = ModelsEndpoint(deps)
    return {
        "/v1/chat/completions": ("POST", chat_endpoint(deps)),
        "/v1/responses": ("POST", ResponsesEndpoint(deps, responses)),
        "/v1/completions": ("POST", completions_endpoint(deps)),
        "/v1/embeddings": ("POST", EmbeddingEndpoint(deps)),
        "/v1/models": ("GET", models.list),
        "/v1/models/": ("GET", models.get),
    }


async def _identity(
    settings: GatewaySettings,
    service_key: bytes,
    store: Store,
    lifecycle: Lifecycle,
    closers: list[Closer],
) -> tuple[Authenticator, KeysService]:
    """Tokens and API keys."""
    source = await _key_source(settings, lifecycle, closers)
    records = KeysStore(store)
    snapshot = KeySnapshot(records, SnapshotLimits(refresh_seconds=settings.key_refresh_seconds))
    await snapshot.start()
    closers.append(snapshot.close)

    async def check_keys() -> None:
        snapshot.check()

    lifecycle.depend("api-keys", check_keys)
    verifier = TokenVerifier(
        source,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        max_lifetime=settings.jwt_max_lifetime_seconds,
        clock_skew=settings.jwt_leeway_seconds,
    )
    return Authenticator(verifier, snapshot), KeysService(records, snapshot, Seal(service_key))


async def _key_source(settings: GatewaySettings, lifecycle: Lifecycle, closers: list[Closer]) -> KeySource:
    """The identity provider's keys where one is named, otherwise the local signing key. Never nothing."""
    if settings.jwks_url is None and settings.jwks_file is None:
        algorithms = set(settings.jwt_algorithms or ["HS256"])
        if algorithms != {"HS256"}:
            raise SystemExit(
                "SIXFOLD_GATEWAY_JWT_ALGORITHMS names public-key algorithms: set SIXFOLD_GATEWAY_JWKS_URL or "
                "SIXFOLD_GATEWAY_JWKS_FILE too."
            )
        return StaticKeys(VerifyKey(None, "HS256", load_key(settings.signing_key_file)))
    named = frozenset(settings.jwt_algorithms or ["RS256", "ES256", "EdDSA"])
    if "HS256" in named:
        raise SystemExit("SIXFOLD_GATEWAY_JWT_ALGORITHMS: a key set never verifies HS256.")
    try:
        fetch = file_fetch(settings.jwks_file) if settings.jwks_file else https_fetch(settings.jwks_url or "")
    except ValueError as error:
        raise SystemExit(f"SIXFOLD_GATEWAY_JWKS_URL: {error}.") from None
    jwks = Jwks(fetch, named, JwksLimits(refresh_seconds=settings.jwks_refresh_seconds))
    await jwks.start()
    closers.append(jwks.close)
    lifecycle.depend("jwks", jwks.check)
    return jwks


class _Services:
    """The connections to model services, kept in step with the configuration."""

    def __init__(
        self,
        settings: GatewaySettings,
        identity: ServiceIdentity,
        catalogue: Catalogue,
        background: Background,
    ) -> None:
        self._default = settings.model_service
        self._tls = Tls.from_settings(settings)
        self._identity = identity
        self._catalogue = catalogue
        self._background = background
        self._open: dict[str, tuple[str, GrpcModelClient]] = {}

    def use(self, config: GatewayConfig) -> None:
        """Opens what is new and closes what is gone; what stays keeps its connection."""
        wanted = config.services or {DEFAULT_SERVICE: self._default}
        before, self._open = self._open, {}
        for name, address in wanted.items():
            held = before.get(name)
            if held is not None and held[0] == address:
                self._open[name] = before.pop(name)
            else:
                client = GrpcModelClient(Channel(address, tls=self._tls), self._identity)
                self._open[name] = (address, client)
        self._catalogue.use({name: client for name, (_, client) in self._open.items()})
        for _, client in before.values():
            self._background.run("close", client.close())

    async def close(self) -> None:
        """Ends every connection."""
        for _, client in self._open.values():
            await client.close()


def check_settings(settings: GatewaySettings) -> None:
    """Refuses what cannot work. Raises SixfoldError whose message names the way out."""
    if settings.workers > 1 and urlsplit(settings.limits).scheme == "memory":
        raise SixfoldError(
            Reason.INVALID_REQUEST,
            "several workers cannot count requests together in memory. Set SIXFOLD_CACHE_URL or "
            "SIXFOLD_GATEWAY_LIMITS_URL to redis://host:6379/0, or SIXFOLD_GATEWAY_WORKERS to 1.",
        )
