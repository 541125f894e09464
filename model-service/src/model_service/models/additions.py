"""Models that were trained here come in, take another's place, and go, while requests run."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from model_service.engines.types import Capability
from model_service.models.catalog import Catalog, Entry
from model_service.models.config import ModelConfig
from model_service.models.trained import (
    FORMS,
    Addition,
    Trained,
    TrainedFolders,
    is_name,
    is_sha256,
    is_version,
)
from servicekit.errors import Reason, SixfoldError
from servicekit.logs import get_logger

log = get_logger(__name__)

_SCHEME = "openvino"
_REMEMBERED = 1024


class Preparer(Protocol):
    """Makes what the engine reads."""

    async def prepare(self, addition: Addition, base: Path, target: Path) -> None:
        """Fetch the artifact and make `target` from it and from the base's folder, whole or not at all.

        Raises SixfoldError: INVALID_REQUEST for an artifact that is of no use, NOT_FOUND for one that is not
        there, SERVICE_UNAVAILABLE when there is no room or no object store, DEADLINE_EXCEEDED.
        """
        ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many trained models there may be."""

    all: int
    a_tenant: int


class Additions:
    """The one place that adds and removes models of a running service."""

    def __init__(
        self,
        catalog: Catalog,
        folders: TrainedFolders,
        preparer: Preparer,
        bounds: Bounds,
    ) -> None:
        self._catalog = catalog
        self._folders = folders
        self._preparer = preparer
        self._bounds = bounds
        self._trained: dict[str, Trained] = {}
        self._change = asyncio.Lock()
        """One change at a time: converting takes every core there is."""
        self._removed: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._leaving: set[asyncio.Task[None]] = set()

    async def remember(self) -> None:
        """Have again, not yet loaded, what was there before a restart."""
        for trained in await asyncio.to_thread(self._folders.read_all):
            self._trained[trained.name] = trained
            try:
                self._catalog.put(self._catalog.make(self._config(trained)))
            except SixfoldError:
                log.error("a trained model has no base", model=trained.name, base=trained.origin.base)

    async def add(self, addition: Addition) -> Entry:
        """Take a model in, or another artifact under its name; returns when it answers.

        Raises SixfoldError: INVALID_REQUEST naming the field, MODEL_NOT_FOUND for a base that is not there,
        UNSUPPORTED_PARAMETER for one that cannot be one, ALREADY_EXISTS for a version that is of another
        artifact, what `Preparer.prepare` raises, ENGINE_UNAVAILABLE when what was made does not load.
        """
        base = self._check(addition)
        async with self._change:
            here = self._trained.get(addition.name)
            if here is not None and addition.request_id and addition.request_id in here.requests:
                return await self._catalog.load(here.name, tenant=addition.origin.owner)
            if here is not None and here.version == addition.version:
                if here.origin.artifact_sha256 != addition.artifact or here.form != addition.form:
                    raise SixfoldError(
                        Reason.ALREADY_EXISTS,
                        "This version of the model was made from another artifact.",
                        param="version",
                    )
                await self._note(here.asked_by(addition.request_id))
                return await self._catalog.load(here.name, tenant=addition.origin.owner)
            if here is None:
                self._check_room(addition.origin.owner)
            return await self._take_in(addition, base, here)

    async def remove(self, name: str, tenant: str, request_id: str) -> bool:
        """Forget a tenant's model; whether it was there. Running answers end first."""
        if request_id and (name, request_id) in self._removed:
            return True
        async with self._change:
            here = self._trained.get(name)
            if here is None or here.origin.owner != tenant:
                return False
            await _whole(self._forget(name, request_id))
            leaving = self._see_off(name, self._catalog.take_out(name))
        log.info("trained model removed", model=name)
        await asyncio.shield(leaving)
        return True

    async def close(self) -> None:
        """Call it after the server has stopped. A start removes what leaving models left on disk."""
        leaving = list(self._leaving)
        for task in leaving:
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)

    async def _take_in(self, addition: Addition, base: Entry, old: Trained | None) -> Entry:
        """What was there answers until the new one can."""
        trained = Trained(
            name=addition.name,
            version=addition.version,
            form=addition.form,
            base_version=base.card.version,
            origin=addition.origin,
            requests=old.requests if old is not None else (),
        ).asked_by(addition.request_id)
        folder = Path(base.config.engine.partition("://")[2])
        await self._preparer.prepare(addition, folder, self._folders.weights(trained))
        entry = self._catalog.make(self._config(trained))
        try:
            await self._catalog.bring_in(entry)
            await _whole(self._commit(trained, entry))
        except BaseException:
            if self._catalog.holds(entry):
                raise
            await self._catalog.see_off(entry)
            raise
        log.info("trained model added", model=trained.name, version=trained.version)
        return entry

    async def _commit(self, trained: Trained, entry: Entry) -> None:
        try:
            await asyncio.to_thread(self._folders.write, trained)
        except OSError as error:
            raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "There is no room to keep the model.") from error
        self._trained[trained.name] = trained
        self._see_off(trained.name, self._catalog.put(entry))

    async def _forget(self, name: str, request_id: str) -> None:
        await asyncio.to_thread(self._folders.forget, name)
        del self._trained[name]
        self._remember_removal(name, request_id)

    def _see_off(self, name: str, entry: Entry | None) -> asyncio.Task[None]:
        """Let running answers end, then free the memory and the disk. Whoever asked for it need not wait."""

        async def leave() -> None:
            if entry is not None:
                await self._catalog.see_off(entry)
            async with self._change:
                await asyncio.to_thread(self._folders.clear, name, keep=self._trained.get(name))

        task = asyncio.create_task(leave())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
        return task

    async def _note(self, trained: Trained) -> None:
        if trained is not self._trained[trained.name]:
            await asyncio.to_thread(self._folders.write, trained)
            self._trained[trained.name] = trained

    def _config(self, trained: Trained) -> ModelConfig:
        """Served as its base is served."""
        base = self._catalog.find(trained.origin.base)
        return ModelConfig(
            name=trained.name,
            engine=f"{_SCHEME}://{self._folders.weights(trained).absolute()}",
            required=False,
            options=base.config.options,
            origin=trained.origin,
        )

    def _check(self, addition: Addition) -> Entry:
        tenant = addition.origin.owner
        base = self._catalog.find(addition.base, tenant)
        if base.config.origin.owner:
            raise _unsupported("A model that was itself trained here cannot be a base.")
        if base.config.scheme != _SCHEME or Capability.EMBEDDINGS in base.card.capabilities:
            raise _unsupported("Only text models that run here, on OpenVINO, can be a base.")
        if base.config.name != addition.origin.base:
            raise ValueError("an origin names the base by its own name")
        if not is_name(addition.name, base.config.name, tenant):
            raise _invalid(
                f"The name must be 'ft:{base.config.name}:<your tenant>:<suffix>:<6 to 16 hex digits>'.",
                "name",
            )
        if addition.form not in FORMS:
            raise _invalid("The form must be lora or full.", "form")
        if not is_sha256(addition.artifact):
            raise _invalid("64 hexadecimal digits are expected.", "sha256")
        if addition.object_key.rpartition("/")[2] != addition.artifact:
            raise _invalid("The key does not name the object with this SHA-256.", "object_key")
        if not addition.object_key.startswith(f"{tenant}/"):
            raise SixfoldError(Reason.NOT_FOUND, "The artifact does not exist.", param="object_key")
        if not is_version(addition.version):
            raise _invalid("1 to 64 letters, digits, '.', '_' and '-' are expected.", "version")
        if addition.origin.data_sha256 and not is_sha256(addition.origin.data_sha256):
            raise _invalid("64 hexadecimal digits are expected.", "data_sha256")
        return base

    def _check_room(self, tenant: str) -> None:
        mine = sum(trained.origin.owner == tenant for trained in self._trained.values())
        if mine >= self._bounds.a_tenant or len(self._trained) >= self._bounds.all:
            raise SixfoldError(
                Reason.SERVICE_UNAVAILABLE,
                "There is no room for one more trained model. Remove one first.",
                metadata={"limit": str(min(self._bounds.a_tenant, self._bounds.all))},
            )

    def _remember_removal(self, name: str, request_id: str) -> None:
        if request_id:
            self._removed[name, request_id] = None
            while len(self._removed) > _REMEMBERED:
                self._removed.popitem(last=False)


async def _whole(work: Coroutine[Any, Any, None]) -> None:
    """Does it to its end, also when the caller gives up meanwhile."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        raise


def _invalid(message: str, param: str) -> SixfoldError:
    return SixfoldError(Reason.INVALID_REQUEST, message, param=param)


def _unsupported(message: str) -> SixfoldError:
    return SixfoldError(Reason.UNSUPPORTED_PARAMETER, message, param="base")
