"""What callers may do with data sets: scopes, ids, sources that are their own, and bytes that are its own."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import get_args

from gateway.identity.principal import require
from gateway.identity.roles import FINETUNE_READ, FINETUNE_WRITE
from gateway.jobs.datasets_types import CARD, Asked, Dataset, OfDataset, OfFile, Options, Order, Part, Source
from gateway.jobs.ports import Curating
from gateway.jobs.types import Listed, Page
from gateway.openai import fields
from gateway.retrieval.ids import DATASET, FILE, check_cursor, check_id, not_found
from gateway.retrieval.ports import FileSource
from gateway.retrieval.service import Call
from gateway.retrieval.types import FileRef
from servicekit.errors import Reason, SixfoldError
from servicekit.objects import Objects

_SOURCE = re.compile(r"(sources\[\d+\])\.(?:file|feedback|dataset)(\.\w+)?")


class DatasetsService:
    """Data sets of the caller's tenant. Every method raises SixfoldError."""

    def __init__(self, curating: Curating, files: FileSource, objects: Objects, *, deadline: float) -> None:
        """`deadline` is how many seconds one call to the training service may take."""
        self._curating = curating
        self._files = files
        self._objects = objects
        self._deadline = deadline

    async def create(
        self,
        call: Call,
        *,
        name: str,
        sources: Sequence[Asked],
        options: Options,
        metadata: Mapping[str, str],
    ) -> Dataset:
        """A new data set. NOT_FOUND, and no data set, when a source is not the tenant's."""
        require(call.caller, FINETUNE_WRITE)
        order = Order(name, await self._resolved(call, sources), options, metadata)
        try:
            return await self._curating.create(call.asker, call.change, order, deadline=self._deadline)
        except SixfoldError as error:
            error.param = _param(error.param, sources)
            raise

    async def list(self, call: Call, page: Page, *, name: str) -> Listed[Dataset]:
        """The tenant's data sets; of one name where it is not empty."""
        require(call.caller, FINETUNE_READ)
        check_cursor(DATASET, page.after, "after")
        return await self._curating.list(call.asker, page, name=name, deadline=self._deadline)

    async def get(self, call: Call, dataset_id: str, param: str | None = None) -> Dataset:
        """One data set. `param` names it in errors."""
        require(call.caller, FINETUNE_READ)
        return await self._get(call, dataset_id, param)

    async def delete(self, call: Call, dataset_id: str) -> None:
        """Deletes a data set with its rows; one that is being made is called off."""
        require(call.caller, FINETUNE_WRITE)
        check_id(DATASET, dataset_id)
        await self._curating.delete(call.asker, call.change, dataset_id, deadline=self._deadline)

    async def part(self, call: Call, dataset_id: str, part: str) -> AsyncGenerator[bytes, None]:
        """A part's rows, as JSON lines. The last bytes come only when the whole was checked."""
        require(call.caller, FINETUNE_READ)
        dataset = await self._get(call, dataset_id)
        return self._objects.read(_key(call, dataset, _known(part), "part"))

    async def card(self, call: Call, dataset_id: str) -> AsyncGenerator[bytes, None]:
        """Its card, as Markdown."""
        require(call.caller, FINETUNE_READ)
        return self._objects.read(_key(call, await self._get(call, dataset_id), CARD, None))

    async def rows(self, call: Call, dataset_id: str, part: str, param: str) -> FileRef:
        """A part as if it were a file, for those who have asked for a scope already.

        `param` names the place in the request where "id" and "part" are.
        """
        name = _known(part, f"{param}.part")
        dataset = await self._get(call, dataset_id, f"{param}.id")
        key = _key(call, dataset, name, f"{param}.part")
        return FileRef(
            id=dataset.id,
            filename=f"{dataset.id}-{name}.jsonl",
            bytes=0,  # unknown: who reads it counts
            sha256=key.rpartition("/")[2],
            object_key=key,
            created_at=int(dataset.created_at),
        )

    async def _get(self, call: Call, dataset_id: str, param: str | None = None) -> Dataset:
        check_id(DATASET, dataset_id, param)
        try:
            return await self._curating.get(call.asker, dataset_id, deadline=self._deadline)
        except SixfoldError as error:
            if error.reason is Reason.NOT_FOUND:
                raise not_found(DATASET, dataset_id, param) from None
            raise

    async def _resolved(self, call: Call, sources: Sequence[Asked]) -> Sequence[Source]:
        named = [source.file_id for source in sources if isinstance(source, OfFile)]
        files: Mapping[str, FileRef] = {}
        for place, source in enumerate(sources):
            if isinstance(source, OfFile):
                check_id(FILE, source.file_id, f"sources[{place}].file_id")
            elif isinstance(source, OfDataset):
                check_id(DATASET, source.dataset_id, f"sources[{place}].dataset_id")
        if named:
            files = await self._files.refs(call.caller.tenant, named)
        found: list[Source] = []
        for place, source in enumerate(sources):
            if not isinstance(source, OfFile):
                found.append(source)
            elif source.file_id in files:
                found.append(files[source.file_id])
            else:
                raise not_found(FILE, source.file_id, f"sources[{place}].file_id")
        return found


def absent() -> SixfoldError:
    """No training service is configured."""
    return SixfoldError(
        Reason.SERVICE_UNAVAILABLE, "Data sets are not configured: there is no training service here."
    )


def _known(part: str, param: str = "part") -> Part:
    for each in get_args(Part):
        if part == each:
            return each  # type: ignore[no-any-return]
    raise fields.invalid(param, "a part is 'train', 'validation' or 'test'.")


def _key(call: Call, dataset: Dataset, name: str, param: str | None) -> str:
    """Where the object store has it: within the data set's own namespace, whatever the service says."""
    if dataset.status != "succeeded":
        why = "could not be made" if dataset.status in ("failed", "cancelled") else "is not made yet"
        raise SixfoldError(Reason.INVALID_REQUEST, f"The data set '{dataset.id}' {why}.")
    key = dataset.object_keys.get(name)
    if key is None or not key.startswith(f"{call.caller.tenant}/{dataset.id}/"):
        raise SixfoldError(
            Reason.NOT_FOUND, f"The data set '{dataset.id}' has no rows in its part '{name}'.", param=param
        )
    return key


def _param(param: str | None, sources: Sequence[Asked]) -> str | None:
    """The service's word for a field, as the caller knows it."""
    if param is None:
        return None
    if (found := _SOURCE.fullmatch(param)) is None:
        return param.removeprefix("options.")
    place, inner = found.groups()
    if inner is not None:
        return f"{place}{inner}"
    source = sources[int(place[len("sources[") : -1])]
    ids = {OfFile: ".file_id", OfDataset: ".dataset_id"}
    return place + ids.get(type(source), "")
