"""What finished runs left in the object store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson

from eval_service.adapters.records import EvalRecords
from eval_service.release.conductor import RunFailed
from eval_service.runs.items import index_of
from eval_service.runs.values import Measured
from servicekit.errors import Reason, SixfoldError
from servicekit.jobs import Status
from servicekit.objects import Objects

_MOST = 64 << 20
"""Bytes of one object that is read as a whole."""


class FinishedRuns:
    """`eval_service.release.conductor.Runs`, and what the edges read."""

    def __init__(self, records: EvalRecords, objects: Objects) -> None:
        self._records = records
        self._objects = objects

    async def measured(self, tenant: str, run_id: str) -> Measured | None:
        """None while it is not done. Raises RunFailed."""
        try:
            row = await self._records.run(tenant, run_id)
        except SixfoldError as error:
            if error.reason is Reason.NOT_FOUND:
                raise RunFailed("A run was deleted.") from None
            raise
        job = row["job"]
        if job.status is Status.SUCCEEDED:
            keys = orjson.loads(job.result)["object_keys"]
            return Measured.from_json(orjson.loads(await self.read(keys["values"])))
        if job.status.final:
            raise RunFailed(f"A run {job.status.value}.")
        return None

    async def object(self, tenant: str, run_id: str, name: str) -> bytes:
        """ "report", "page" or "values" of a finished run; INVALID_REQUEST before."""
        row = await self._records.run(tenant, run_id)
        return await self.read(_keys(row)[name])

    async def read(self, key: str) -> bytes:
        """A whole object, up to a limit."""
        content = bytearray()
        async for chunk in self._objects.read(key):
            content += chunk
            if len(content) > _MOST:
                raise SixfoldError(Reason.REQUEST_TOO_LARGE, "The stored object is too large.")
        return bytes(content)

    async def items(
        self, row: dict[str, Any], *, after: str, limit: int, ascending: bool, status: str
    ) -> tuple[list[dict[str, Any]], bool]:
        """A page of a run's items by their numbers, and whether there is more. None before it is done."""
        if not row["job"].result:
            return [], False
        edge = -1
        if after:
            found_edge = index_of(row["id"], after)
            if found_edge is None:
                raise SixfoldError(Reason.NOT_FOUND, "'after' names nothing in this list.", param="after")
            edge = found_edge
        wanted = {"pass": True, "fail": False}.get(status)
        found: list[dict[str, Any]] = []
        async for line in self._lines(_keys(row)["items"]):
            item = orjson.loads(line)
            if wanted is not None and bool(item["passed"]) is not wanted:
                continue
            if ascending:
                if item["index"] > edge:
                    found.append(item)
                    if len(found) > limit:
                        break
            else:
                if after and item["index"] >= edge:
                    break
                found.append(item)
                del found[: -limit - 1]
        if not ascending:
            found.reverse()
        return found[:limit], len(found) > limit

    async def item(self, row: dict[str, Any], id: str) -> dict[str, Any]:
        """NOT_FOUND."""
        index = index_of(row["id"], id)
        if index is not None and row["job"].result:
            async for line in self._lines(_keys(row)["items"]):
                item: dict[str, Any] = orjson.loads(line)
                if item["index"] == index:
                    return item
        raise SixfoldError(Reason.NOT_FOUND, "There is no such item.")

    async def _lines(self, key: str) -> AsyncIterator[bytes]:
        rest = b""
        async for chunk in self._objects.read(key):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line:
                    yield line
        if rest:
            yield rest


def _keys(row: dict[str, Any]) -> dict[str, str]:
    if row["job"].status is not Status.SUCCEEDED:
        raise SixfoldError(
            Reason.INVALID_REQUEST, f"The run is {row['job'].status.value}: there is nothing to read yet."
        )
    keys: dict[str, str] = orjson.loads(row["job"].result)["object_keys"]
    return keys
