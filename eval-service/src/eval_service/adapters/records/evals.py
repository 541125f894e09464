"""Evals, their runs, and batches. A run or batch and its job are written in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from sqlalchemy import delete, func, insert, select, update

from eval_service.adapters.records.once import Attempt, first_try, keep_answer, now_us, paged
from eval_service.adapters.records.tables import batches, evals, runs
from servicekit.errors import Reason, SixfoldError
from servicekit.jobs import Claim, Jobs, NewJob
from servicekit.store import Store

Row = dict[str, Any]
_EVALUATION, _BATCH = "evaluation", "batch"
_ATTEMPTS = 8
"""With the pauses between them, a model service may be away for minutes."""


class EvalRecords:
    """Rows as dictionaries; the JSON in them is not looked into. Another tenant's is NOT_FOUND."""

    def __init__(self, store: Store, jobs: Jobs, *, most_evals: int = 10_000) -> None:
        self._store = store
        self._jobs = jobs
        self._most_evals = most_evals

    async def create_eval(self, tenant: str, values: Row, attempt: Attempt) -> Row:
        """`values` has id, name, config, criteria and metadata."""
        row = {"tenant": tenant, "created_us": now_us(), **values, "metadata": _dump(values["metadata"])}
        async with self._store.begin() as connection:
            await first_try(connection, tenant, attempt)
            mine = select(func.count()).select_from(evals).where(evals.c.tenant == tenant)
            if ((await connection.execute(mine)).scalar_one()) >= self._most_evals:
                raise SixfoldError(
                    Reason.INVALID_REQUEST, f"There are already {self._most_evals:,} evals. Delete one first."
                )
            await connection.execute(insert(evals).values(row))
            await keep_answer(connection, tenant, attempt, row)
        return row

    async def eval(self, tenant: str, id: str) -> Row:
        """NOT_FOUND."""
        async with self._store.read() as connection:
            return await _one(connection, evals, tenant, id, "eval")

    async def list_evals(
        self, tenant: str, *, after: str, limit: int, ascending: bool
    ) -> tuple[list[Row], bool]:
        """A page."""
        async with self._store.read() as connection:
            query = select(evals).where(evals.c.tenant == tenant)
            found, more = await paged(connection, query, evals, after=after, limit=limit, ascending=ascending)
        return [_row(each) for each in found], more

    async def update_eval(self, tenant: str, id: str, changes: Row, attempt: Attempt) -> Row:
        """Name and notes."""
        values = {name: _dump(value) if name == "metadata" else value for name, value in changes.items()}
        async with self._store.begin() as connection:
            await first_try(connection, tenant, attempt)
            row = await _one(connection, evals, tenant, id, "eval")
            if values:
                await connection.execute(
                    update(evals).where(evals.c.tenant == tenant, evals.c.id == id).values(values)
                )
            row |= values
            await keep_answer(connection, tenant, attempt, row)
        return row

    async def delete_eval(self, tenant: str, id: str, attempt: Attempt) -> list[str]:
        """With its runs, whose ids are returned: their jobs are then called off and their objects removed."""
        async with self._store.begin() as connection:
            await first_try(connection, tenant, attempt)
            await _one(connection, evals, tenant, id, "eval")
            mine = (runs.c.tenant == tenant, runs.c.eval_id == id)
            gone = [row.id for row in await connection.execute(select(runs.c.id).where(*mine))]
            await connection.execute(delete(runs).where(*mine))
            await connection.execute(delete(evals).where(evals.c.tenant == tenant, evals.c.id == id))
            await keep_answer(connection, tenant, attempt, None)
        return gone

    async def create_run(
        self,
        tenant: str,
        eval_id: str,
        values: Row,
        spec: Callable[[Row], bytes],
        attempt: Attempt,
    ) -> Row:
        """With its job, whose `spec` is made of the eval's row."""
        id = self._jobs.new_id(_EVALUATION)
        async with self._store.begin() as connection:
            await first_try(connection, tenant, attempt)
            about = await _one(connection, evals, tenant, eval_id, "eval")
            row = {
                "tenant": tenant,
                "id": id,
                "eval_id": eval_id,
                "created_us": now_us(),
                **values,
                "metadata": _dump(values["metadata"]),
            }
            await connection.execute(insert(runs).values(row))
            new = NewJob(
                _EVALUATION,
                tenant,
                spec(about),
                f"{attempt.request_id}:{id}",
                max_attempts=_ATTEMPTS,
                metadata={"eval": eval_id},
            )
            row["job"] = await self._jobs.create(connection, new, id=id)
            await keep_answer(connection, tenant, attempt, row)
        self._jobs.announce()
        return row

    async def run(self, tenant: str, id: str, eval_id: str = "") -> Row:
        """With its job. NOT_FOUND."""
        async with self._store.read() as connection:
            row = await _one(connection, runs, tenant, id, "run")
        if eval_id and row["eval_id"] != eval_id:
            raise _not_found("run")
        row["job"] = await self._jobs.get(tenant, id)
        return row

    async def list_runs(
        self, tenant: str, eval_id: str, *, after: str, limit: int, ascending: bool
    ) -> tuple[list[Row], bool]:
        """A page of an eval's."""
        async with self._store.read() as connection:
            await _one(connection, evals, tenant, eval_id, "eval")
            query = select(runs).where(runs.c.tenant == tenant, runs.c.eval_id == eval_id)
            found, more = await paged(connection, query, runs, after=after, limit=limit, ascending=ascending)
        rows = [_row(each) for each in found]
        for row in rows:
            row["job"] = await self._jobs.get(tenant, row["id"])
        return rows, more

    async def delete_run(self, tenant: str, eval_id: str, id: str, attempt: Attempt) -> None:
        """Its job is to be called off, and its objects removed, by the caller."""
        async with self._store.begin() as connection:
            await first_try(connection, tenant, attempt)
            row = await _one(connection, runs, tenant, id, "run")
            if row["eval_id"] != eval_id:
                raise _not_found("run")
            await connection.execute(delete(runs).where(runs.c.tenant == tenant, runs.c.id == id))
            await keep_answer(connection, tenant, attempt, None)

    async def create_batch(
        self, tenant: str, values: Row, spec: Mapping[str, Any], window_us: int, attempt: Attempt
    ) -> Row:
        """With its job. `values` has endpoint, input and metadata."""
        id, now = self._jobs.new_id(_BATCH), now_us()
        row = {
            "tenant": tenant,
            "id": id,
            "created_us": now,
            "expires_us": now + window_us,
            "cancelling_us": 0,
            "total": 0,
            "fence": 0,
            "partial": "{}",
            **values,
            "input": _dump(values["input"]),
            "metadata": _dump(values["metadata"]),
        }
        whole = orjson.dumps({**spec, "expires_at": row["expires_us"] / 1e6})
        async with self._store.begin() as connection:
            await first_try(connection, tenant, attempt)
            await connection.execute(insert(batches).values(row))
            new = NewJob(
                _BATCH, tenant, whole, f"{attempt.request_id}:{id}", priority=-1, max_attempts=_ATTEMPTS
            )
            row["job"] = await self._jobs.create(connection, new, id=id)
            await keep_answer(connection, tenant, attempt, row)
        self._jobs.announce()
        return row

    async def batch(self, tenant: str, id: str) -> Row:
        """With its job. NOT_FOUND."""
        async with self._store.read() as connection:
            row = await _one(connection, batches, tenant, id, "batch")
        row["job"] = await self._jobs.get(tenant, id)
        return row

    async def list_batches(
        self, tenant: str, *, after: str, limit: int, ascending: bool
    ) -> tuple[list[Row], bool]:
        """A page."""
        async with self._store.read() as connection:
            query = select(batches).where(batches.c.tenant == tenant)
            found, more = await paged(
                connection, query, batches, after=after, limit=limit, ascending=ascending
            )
        rows = [_row(each) for each in found]
        for row in rows:
            row["job"] = await self._jobs.get(tenant, row["id"])
        return rows, more

    async def cancelling(self, tenant: str, id: str) -> None:
        """Somebody called the batch off, now."""
        async with self._store.begin() as connection:
            await _one(connection, batches, tenant, id, "batch")
            await connection.execute(
                update(batches)
                .where(batches.c.tenant == tenant, batches.c.id == id, batches.c.cancelling_us == 0)
                .values(cancelling_us=now_us())
            )

    async def keep_batch(self, claim: Claim, total: int, partial: Mapping[str, Any]) -> None:
        """What the job says of its batch: never an older attempt over a newer one."""
        values: Row = {"total": total, "fence": claim.fence}
        if partial:
            values["partial"] = _dump(partial)
        async with self._store.begin() as connection:
            await connection.execute(
                update(batches)
                .where(
                    batches.c.tenant == claim.tenant, batches.c.id == claim.id, batches.c.fence <= claim.fence
                )
                .values(values)
            )


async def _one(connection: Any, table: Any, tenant: str, id: str, what: str) -> Row:
    query = select(table).where(table.c.tenant == tenant, table.c.id == id)
    found = (await connection.execute(query)).one_or_none()
    if found is None:
        raise _not_found(what)
    return _row(found)


def _row(found: Any) -> Row:
    return dict(found._mapping)


def _dump(value: Any) -> str:
    return orjson.dumps(value).decode()


def _not_found(what: str) -> SixfoldError:
    return SixfoldError(Reason.NOT_FOUND, f"There is no such {what}.")
