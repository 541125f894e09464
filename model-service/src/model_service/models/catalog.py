"""All models of the service: found by name or alias, loaded, unloaded, and counted while they answer."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import cast

from model_service.engines.base import EmbeddingEngine, Engine, TextEngine
from model_service.engines.types import Card
from model_service.models.config import ConfigError, ModelConfig
from servicekit.errors import Reason, SixfoldError, internal
from servicekit.logs import get_logger

log = get_logger(__name__)

_FRESH = 1.0
"""Seconds for which an engine that was well counts as well: another server is not asked for every asker."""
_REMEMBERED_REQUESTS = 1024
_REMEMBERED_SECONDS = 86_400.0


class State(StrEnum):
    """Where a model is in its life."""

    LOADING = "loading"
    READY = "ready"
    UNLOADED = "unloaded"
    FAILED = "failed"


@dataclass(slots=True)
class Entry:
    """One model."""

    config: ModelConfig
    engine: Engine | None
    """None when it could not even be made; `error` says why."""
    card: Card
    state: State = State.UNLOADED
    error: SixfoldError | None = None
    active: int = 0
    """Requests that the model is answering."""
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    change: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while the model is being brought in or freed."""
    seconds: float = 0.0
    """How long the last load took."""
    well_at: float = float("-inf")
    """When its engine last said that it was well, by the monotonic clock."""

    @property
    def text_engine(self) -> TextEngine:
        """Raises SixfoldError(UNSUPPORTED_PARAMETER) for a model that does not generate text."""
        if self.engine is None or not hasattr(self.engine, "generate"):
            raise _cannot("generate text")
        return cast(TextEngine, self.engine)

    @property
    def embedding_engine(self) -> EmbeddingEngine:
        """Raises SixfoldError(UNSUPPORTED_PARAMETER) for a model that makes no vectors."""
        if self.engine is None or not hasattr(self.engine, "embed"):
            raise _cannot("make embeddings")
        return cast(EmbeddingEngine, self.engine)

    @property
    def any_engine(self) -> Engine:
        """What runs the model, whatever it makes. Raises SixfoldError when there is nothing."""
        if self.engine is None:
            raise self.error or internal()
        return self.engine


class Catalog:
    """The models by name. Only this class changes a model's state."""

    def __init__(
        self,
        models: Iterable[ModelConfig],
        make_engine: Callable[[ModelConfig], Engine],
        *,
        load_seconds: float = 300.0,
    ) -> None:
        """`make_engine` chooses an engine by a model's URL; one that fails leaves that model FAILED."""
        self._load_seconds = load_seconds
        self._entries: dict[str, Entry] = {}
        self._names: dict[str, str] = {}
        self._done: OrderedDict[tuple[str, str, str], float] = OrderedDict()
        self._make_engine = make_engine
        for config in models:
            self.put(self.make(config))

    def make(self, config: ModelConfig) -> Entry:
        """A model that nobody can ask for yet, not loaded; one that cannot be made at all is FAILED."""
        blank = Card(
            name=config.name, version="", aliases=config.aliases, engine=config.scheme, origin=config.origin
        )
        entry = Entry(config, None, blank)
        try:
            entry.engine = self._make_engine(config)
        except (SixfoldError, ConfigError) as error:
            told = _fail(entry, error)
            log.error("model not usable", model=config.name, why=str(told))
        return entry

    def put(self, entry: Entry) -> Entry | None:
        """From now on, whoever asks by its name gets this model; returns the one that had the name."""
        config = entry.config
        old = self._entries.get(config.name)
        self._entries[config.name] = entry
        self._names.update(dict.fromkeys((config.name, *config.aliases), config.name))
        return old

    def take_out(self, name: str) -> Entry | None:
        """Nobody finds the model of this name any more; who has it goes on with it."""
        entry = self._entries.pop(name, None)
        if entry is not None:
            for known in (name, *entry.config.aliases):
                self._names.pop(known, None)
        return entry

    def holds(self, entry: Entry) -> bool:
        """Whether this very model is found by its name."""
        return self._entries.get(entry.config.name) is entry

    @property
    def entries(self) -> list[Entry]:
        """All models in the order of their names, whosever they are."""
        return [self._entries[name] for name in sorted(self._entries)]

    def find(self, name: str, tenant: str = "") -> Entry:
        """The model of that name or alias. Raises SixfoldError(MODEL_NOT_FOUND).

        A tenant's own model is found for that tenant only; with no tenant, only what is everybody's.
        """
        found = self._names.get(name)
        owner = self._entries[found].config.origin.owner if found is not None else ""
        if found is None or (owner and owner != tenant):
            raise SixfoldError(Reason.MODEL_NOT_FOUND, "There is no model of that name.", param="model")
        return self._entries[found]

    @contextmanager
    def use(self, name: str, tenant: str = "") -> Iterator[Entry]:
        """Hold a model that answers. Raises MODEL_NOT_FOUND, or ENGINE_UNAVAILABLE if it is not loaded."""
        entry = self.find(name, tenant)
        if entry.state is not State.READY:
            raise _not_ready(entry)
        entry.active += 1
        try:
            yield entry
        finally:
            entry.active -= 1
            if entry.active == 0:
                entry.idle.set()

    async def load_all(self) -> None:
        """Bring in every model that is to be there from the start, all at once. Failures stay with each."""
        wanted = [entry for entry in self._unloaded() if not entry.config.origin.owner]
        await asyncio.gather(*(self._load_quietly(entry) for entry in wanted))

    async def load_trained(self) -> None:
        """Bring in the tenants' own models, one after the other: nobody waits for them to get ready."""
        for entry in self._unloaded():
            if entry.config.origin.owner and self.holds(entry):
                await self._load_quietly(entry)

    async def bring_in(self, entry: Entry) -> None:
        """Load a model that has just been made. Raises what its engine failed with."""
        await self._load(entry)

    async def see_off(self, entry: Entry) -> None:
        """Let what it is answering end, then free a model that nobody can find any more.

        Cancelled, it frees the model at once.
        """
        try:
            await self._unload(entry)
        finally:
            if entry.engine is not None:
                await _quietly(entry.engine.close())

    def _unloaded(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.config.load and entry.state is State.UNLOADED]

    async def load(self, name: str, request_id: str = "", tenant: str = "") -> Entry:
        """Bring a model in; a loaded one stays as it is. Raises what its engine failed with."""
        entry = self.find(name, tenant)
        if not self._is_repeated("load", entry, request_id):
            await self._load(entry)
            self._note("load", entry, request_id)
        return entry

    async def unload(self, name: str, request_id: str = "", tenant: str = "") -> Entry:
        """Take no new requests, let the running ones end, then free the model."""
        entry = self.find(name, tenant)
        if not self._is_repeated("unload", entry, request_id):
            await self._unload(entry)
            self._note("unload", entry, request_id)
        return entry

    async def check(self) -> None:
        """Raise unless every required model can answer now."""
        for entry in self.entries:
            if entry.config.required:
                if entry.state is not State.READY or entry.engine is None:
                    raise _not_ready(entry)
                await entry.engine.health()

    async def state_of(self, entry: Entry) -> State:
        """The state as it is now: a loaded model whose engine is gone counts as failed."""
        if entry.state is not State.READY or entry.engine is None:
            return entry.state
        now = time.monotonic()
        if now - entry.well_at < _FRESH:
            return entry.state
        try:
            async with asyncio.timeout(1.0):
                await entry.engine.health()
        except (SixfoldError, TimeoutError):
            return State.FAILED
        entry.well_at = now
        return entry.state

    async def close(self) -> None:
        """Free everything."""
        await asyncio.gather(*(_quietly(entry.engine.close()) for entry in self.entries if entry.engine))

    async def _load_quietly(self, entry: Entry) -> None:
        try:
            await self._load(entry)
        except SixfoldError as error:
            log.error("model not loaded", model=entry.config.name, reason=error.reason, why=error.message)

    async def _load(self, entry: Entry) -> None:
        async with entry.change:
            if entry.state is State.READY:
                return
            if entry.engine is None:
                raise entry.error or internal()
            entry.state, entry.error = State.LOADING, None
            begun = time.monotonic()
            try:
                async with asyncio.timeout(self._load_seconds):
                    card = await entry.engine.start()
            except BaseException as error:
                await _quietly(entry.engine.close())
                raise _fail(entry, error) from error
            entry.card = replace(
                card, name=entry.config.name, aliases=entry.config.aliases, origin=entry.config.origin
            )
            entry.state, entry.seconds = State.READY, time.monotonic() - begun
            entry.well_at = float("-inf")
            log.info("model ready", model=entry.config.name, seconds=round(entry.seconds, 2))

    async def _unload(self, entry: Entry) -> None:
        async with entry.change:
            if entry.state is State.UNLOADED or entry.engine is None:
                return
            entry.state = State.UNLOADED
            try:
                while entry.active:
                    entry.idle.clear()
                    await entry.idle.wait()
            except asyncio.CancelledError:
                # The caller gave up before the answers had ended: the model stays.
                entry.state = State.READY
                raise
            await _quietly(entry.engine.close())
            log.info("model unloaded", model=entry.config.name)

    def _is_repeated(self, verb: str, entry: Entry, request_id: str) -> bool:
        at = self._done.get((verb, entry.config.name, request_id))
        return bool(request_id) and at is not None and time.monotonic() - at < _REMEMBERED_SECONDS

    def _note(self, verb: str, entry: Entry, request_id: str) -> None:
        if request_id:
            self._done[verb, entry.config.name, request_id] = time.monotonic()
            while len(self._done) > _REMEMBERED_REQUESTS:
                self._done.popitem(last=False)


def _fail(entry: Entry, error: BaseException) -> BaseException:
    """Note why the model is not there; returns what the caller should be told."""
    if isinstance(error, TimeoutError):
        told: BaseException = SixfoldError(
            Reason.ENGINE_UNAVAILABLE, "The model took longer to load than is allowed."
        )
    elif isinstance(error, ConfigError):
        told = SixfoldError(Reason.ENGINE_UNAVAILABLE, str(error))
    elif isinstance(error, SixfoldError) or not isinstance(error, Exception):
        told = error
    else:
        log.exception("model failed to load", model=entry.config.name)
        told = internal()
    entry.state = State.FAILED
    entry.error = told if isinstance(told, SixfoldError) else None
    return told


def _not_ready(entry: Entry) -> SixfoldError:
    words = {
        State.LOADING: "The model is being loaded.",
        State.UNLOADED: "The model is not loaded.",
        State.FAILED: "The model could not be loaded.",
        State.READY: "The model's engine is not running.",
    }
    wait = 2.0 if entry.state is State.LOADING else None
    return SixfoldError(
        Reason.ENGINE_UNAVAILABLE, words[entry.state], retry_after=wait, metadata={"state": entry.state.value}
    )


def _cannot(what: str) -> SixfoldError:
    return SixfoldError(Reason.UNSUPPORTED_PARAMETER, f"This model does not {what}.", param="model")


async def _quietly(work: Awaitable[None]) -> None:
    try:
        await work
    except Exception:
        log.exception("engine did not close cleanly")
