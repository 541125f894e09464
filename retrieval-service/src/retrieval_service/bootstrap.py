"""The only place that chooses implementations, by URL, and wires the service together."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc.aio

from retrieval_service import metrics
from retrieval_service.adapters.chroma import ChromaClient
from retrieval_service.adapters.indexes import FolderIndexes
from retrieval_service.adapters.locks import FolderLock
from retrieval_service.adapters.model_client import GrpcEmbedder
from retrieval_service.adapters.records import SqlRecords, SqlUpkeep
from retrieval_service.adapters.records import base as records_base
from retrieval_service.adapters.records.indexing import GROUP
from retrieval_service.api.events import DocumentEvents
from retrieval_service.api.requests import Bounds
from retrieval_service.api.service import RetrievalService
from retrieval_service.ingest.observe import Steps
from retrieval_service.ingest.pipeline import Pipeline
from retrieval_service.ingest.vectors import EmbedLimits, PassageVectors
from retrieval_service.ingest.worker import Observer, Workers, WorkLimits
from retrieval_service.parsing.limits import ParserLimits
from retrieval_service.parsing.parser import Parser
from retrieval_service.search.relevance import Relevance
from retrieval_service.settings import RetrievalServiceSettings
from retrieval_service.stores.caretaker import Caretaker, Rounds, Watcher
from retrieval_service.stores.finder import Finder
from retrieval_service.stores.opened import OpenStores, Patience
from retrieval_service.stores.service import Stores
from retrieval_service.stores.tuning import Tuner
from retrieval_service.stores.types import Chunking
from retrieval_service.watchdog import Watchdog, stuck
from servicekit.bus import Bus, Subscription, open_bus
from servicekit.bus.topics import DOCUMENTS
from servicekit.identity import ServiceIdentity, load_key
from servicekit.objects import Objects, open_objects
from servicekit.outbox import Relay
from servicekit.rpc import Tls, open_channel
from servicekit.store import Store as Database

MIGRATIONS = "retrieval_service:migrations"


class Service:
    """Everything that runs behind the gRPC server, and the order in which it starts and stops."""

    def __init__(
        self,
        settings: RetrievalServiceSettings,
        identity: ServiceIdentity,
        database: Database,
        bus: Bus,
        objects: Objects,
        channel: grpc.aio.Channel,
        lock: FolderLock,
    ) -> None:
        self._database = database
        self._bus = bus
        self._objects = objects
        self._channel = channel
        self._lock = lock
        self._subscription: Subscription | None = None
        self._threads = ThreadPoolExecutor(settings.search_threads, thread_name_prefix="index")
        self._beside = ThreadPoolExecutor(settings.search_threads, thread_name_prefix="vectors")
        self._vectors = ChromaClient(settings.vectors)
        self._relay = Relay(database, bus)
        bounds = records_base.Bounds(
            files_a_store=settings.max_store_files,
            stores_a_tenant=settings.max_tenant_stores,
            answers_us=int(settings.max_answer_hours * 3600e6),
        )
        self._records = SqlRecords(database, bounds=bounds, announced=self._relay.wake)
        upkeep = SqlUpkeep(database, bounds=bounds, announced=self._relay.wake)
        self._opened = OpenStores(
            self._records,
            upkeep,
            FolderIndexes(settings.index_folder, self._vectors, self._beside),
            self._threads,
            max_open=settings.max_open_stores,
            idle_seconds=settings.store_idle_seconds,
            requeued=self._wake_workers,
            patience=Patience(settings.index_call_seconds, stuck),
        )
        self._watchdog = Watchdog(settings.stuck_seconds)
        self._caretaker = Caretaker(
            self._records,
            upkeep,
            self._opened,
            _rounds(settings),
            requeued=self._wake_workers,
            watcher=_watcher(self._opened),
        )
        embedder = GrpcEmbedder(channel, identity)
        self._parser = Parser(_parser_limits(settings), processes=settings.parser_processes)
        self._workers = Workers(
            self._records,
            upkeep,
            Pipeline(
                self._records,
                self._opened,
                objects,
                self._parser,
                PassageVectors(
                    embedder,
                    EmbedLimits(settings.embed_batch, settings.embed_parallel, settings.embed_seconds),
                ),
                Steps(lambda step, seconds: metrics.STEP.labels(step).observe(seconds)),
                folder=_temporary(settings),
                min_free_bytes=settings.min_free_bytes,
                max_passages=settings.max_passages,
                written=_written,
                replaced=self._caretaker.wake,
            ),
            _work_limits(settings),
            observer=Observer(
                _ended, lambda cause: metrics.POSTPONED.labels(cause).inc(), metrics.RUNNING.inc
            ),
        )
        self.servicer = RetrievalService(
            Stores(
                self._records,
                self._opened,
                embedding_model=settings.embedding_model,
                removed=self._caretaker.wake,
            ),
            Finder(
                self._opened,
                embedder,
                relevance=Relevance(settings.relevant_text_score, settings.relevant_vector_score),
                embed_seconds=settings.query_embed_seconds,
                used=self._caretaker.used,
            ),
            Tuner(
                self._records,
                self._opened,
                embedder,
                seconds=settings.embed_seconds,
                batch=settings.embed_batch,
            ),
            Bounds(
                max_files=settings.max_batch_files,
                max_file_bytes=settings.max_file_bytes,
                max_query_chars=settings.max_query_chars,
                chunking=Chunking(settings.chunk_tokens, settings.chunk_overlap),
            ),
        )

    def start(self) -> None:
        """Work begins: events go out and come in, files are indexed, indexes are looked after."""
        self._watchdog.start()
        self._relay.start()
        self._caretaker.start()
        self._workers.start()
        self._subscription = self._bus.subscribe(
            [DOCUMENTS],
            GROUP,
            DocumentEvents(self._records, accepted=self._wake_workers, removed=self._caretaker.wake),
        )

    async def check(self) -> None:
        """Returns when the records answer: without them the service can do nothing."""
        await self._database.ping()

    async def stop(self) -> None:
        """In the reverse order. What was begun is begun again at the next start."""
        await self._watchdog.stop()
        if self._subscription is not None:
            await self._subscription.close()
        await self._workers.close()
        await self._caretaker.close()
        await self._relay.close()
        await self._parser.close()
        await self._opened.close()
        await self._channel.close()
        await self._objects.close()
        await self._bus.close()
        self._vectors.close()
        await self._database.close()
        self._threads.shutdown()
        self._beside.shutdown()
        self._lock.release()

    def _wake_workers(self) -> None:
        self._workers.wake()


async def make_service(settings: RetrievalServiceSettings, identity: ServiceIdentity) -> Service:
    """Everything wired, nothing begun.

    Raises SixfoldError(SERVICE_UNAVAILABLE) while the records do not answer, or while another process has
    the folder of the indexes; SystemExit with one line for a setting that means nothing.
    """
    settings.index_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = FolderLock(settings.index_folder, "the indexes of this folder")
    try:
        key = load_key(settings.objects_key_file) if settings.objects_key_file else None
        bus = open_bus(settings.bus, client=GROUP)
        objects = open_objects(settings.objects, key=key)
        database = await Database.open(
            settings.records,
            migrations=MIGRATIONS,
            pool_size=settings.store_pool,
            timeout=settings.store_seconds,
        )
    except ValueError as error:
        lock.release()
        raise SystemExit(f"retrieval-service: {error}") from None
    except BaseException:
        lock.release()
        raise
    channel = open_channel(
        settings.model_service, tls=make_tls(settings), max_message_bytes=settings.max_message_bytes
    )
    return Service(settings, identity, database, bus, objects, channel, lock)


def make_tls(settings: RetrievalServiceSettings) -> Tls | None:
    """Mutual TLS, where the settings name certificates."""
    return Tls.from_settings(settings)


def _temporary(settings: RetrievalServiceSettings) -> Path:
    """Where files lie while they are read. What a killed process left there goes."""
    folder = settings.index_folder / "reading"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    return folder


def _parser_limits(settings: RetrievalServiceSettings) -> ParserLimits:
    return ParserLimits(
        seconds=settings.parser_seconds,
        cpu_seconds=max(1, int(settings.parser_seconds)),
        memory_bytes=settings.parser_memory_bytes,
        input_bytes=settings.parser_input_bytes,
        unpacked_bytes=settings.parser_unpacked_bytes,
        text_chars=settings.parser_text_chars,
        pages=settings.parser_pages,
    )


def _work_limits(settings: RetrievalServiceSettings) -> WorkLimits:
    return WorkLimits(
        workers=settings.workers,
        large_bytes=settings.large_file_bytes,
        max_attempts=settings.max_attempts,
        first_wait=settings.retry_first_seconds,
        longest_wait=settings.retry_longest_seconds,
        file_seconds=settings.file_seconds,
    )


def _rounds(settings: RetrievalServiceSettings) -> Rounds:
    return Rounds(
        sweep=settings.sweep_seconds,
        flush=settings.activity_seconds,
        slow=settings.expiry_seconds,
        keep_expired_days=settings.keep_expired_days,
    )


def _watcher(opened: OpenStores) -> Watcher:
    metrics.OPEN_STORES.set_function(lambda: len(opened))
    return Watcher(
        swept=metrics.SWEPT.inc,
        repaired=lambda kind, files: metrics.REPAIRED.labels(kind).inc(files),
        waiting=metrics.WAITING.set,
    )


def _written(pages: int, passages: int) -> None:
    metrics.PAGES.inc(pages)
    metrics.PASSAGES.inc(passages)


def _ended(outcome: str, reason: str, seconds: float, size: int) -> None:
    metrics.DOCUMENTS.labels(outcome, reason).inc()
    metrics.INDEXING.observe(seconds)
    if outcome in ("completed", "duplicate"):
        metrics.BYTES.inc(size)
