"""Orders in the database. A data set's state and a model's facts are its job's: nothing is written twice."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import orjson
from sqlalchemy import Row, insert, select, tuple_, update

from servicekit.errors import Reason, SixfoldError
from servicekit.jobs import Job, Jobs, NewJob, Status
from servicekit.store import Store
from training_service.adapters.tables import DATASETS, MODELS
from training_service.orders.types import Dataset, Model


class SqlRecords:
    """`training_service.orders.types.Records`."""

    def __init__(self, store: Store, jobs: Jobs) -> None:
        self._store = store
        self._jobs = jobs

    async def order_dataset(
        self, dataset_id: str, name: str, metadata: Mapping[str, str], new: NewJob
    ) -> Dataset:
        """One transaction."""
        values = {
            "tenant": new.tenant,
            "id": dataset_id,
            "name": name,
            "metadata": orjson.dumps(dict(metadata)).decode(),
            "created_at": time.time(),
            "deleted": False,
            "deleted_by": "",
        }
        async with self._store.begin() as connection:
            job = await self._jobs.create(connection, new)
            mine = DATASETS.c.tenant == new.tenant, DATASETS.c.id == dataset_id
            there = (await connection.execute(select(DATASETS).where(*mine))).one_or_none()
            if there is None:
                await connection.execute(insert(DATASETS).values(job_id=job.id, **values))
                there = (await connection.execute(select(DATASETS).where(*mine))).one()
        self._jobs.announce()
        return _dataset(there, job)

    async def dataset(self, tenant: str, dataset_id: str) -> Dataset:
        """With its job."""
        async with self._store.read() as connection:
            wanted = select(DATASETS).where(
                DATASETS.c.tenant == tenant, DATASETS.c.id == dataset_id, DATASETS.c.deleted.is_(False)
            )
            row = (await connection.execute(wanted)).one_or_none()
        if row is None:
            raise _no_dataset()
        return _dataset(row, await self._jobs.get(tenant, row.job_id))

    async def list_datasets(
        self, tenant: str, *, name: str, after: str, limit: int, ascending: bool
    ) -> tuple[list[Dataset], bool]:
        """A page."""
        where = [DATASETS.c.tenant == tenant, DATASETS.c.deleted.is_(False)]
        if name:
            where.append(DATASETS.c.name == name)
        key = tuple_(DATASETS.c.created_at, DATASETS.c.id)
        order = (DATASETS.c.created_at, DATASETS.c.id)
        async with self._store.read() as connection:
            if after:
                last = select(*order).where(DATASETS.c.tenant == tenant, DATASETS.c.id == after)
                edge = (await connection.execute(last)).one_or_none()
                if edge is None:
                    raise SixfoldError(Reason.INVALID_REQUEST, "'after' names nothing here.", param="after")
                beyond = tuple_(edge.created_at, edge.id)
                where.append(key > beyond if ascending else key < beyond)
            page = select(DATASETS).where(*where).limit(limit + 1)
            page = page.order_by(*(order if ascending else [column.desc() for column in order]))
            rows = (await connection.execute(page)).all()
        found = [_dataset(row, await self._jobs.get(tenant, row.job_id)) for row in rows[:limit]]
        return found, len(rows) > limit

    async def delete_dataset(self, tenant: str, dataset_id: str, request_id: str) -> str:
        """The row stays, so that the same request finds what it did."""
        async with self._store.begin() as connection:
            mine = DATASETS.c.tenant == tenant, DATASETS.c.id == dataset_id
            row = (await connection.execute(select(DATASETS).where(*mine))).one_or_none()
            if row is None or (row.deleted and row.deleted_by != request_id):
                raise _no_dataset()
            await connection.execute(
                update(DATASETS).where(*mine).values(deleted=True, deleted_by=request_id)
            )
        return str(row.job_id)

    async def order_training(self, model: str, new: NewJob) -> Job:
        """One transaction."""
        async with self._store.begin() as connection:
            job = await self._jobs.create(connection, new)
            mine = MODELS.c.tenant == new.tenant, MODELS.c.name == model
            there = (await connection.execute(select(MODELS.c.job_id).where(*mine))).scalar_one_or_none()
            if there is None:
                await connection.execute(
                    insert(MODELS).values(
                        tenant=new.tenant, name=model, job_id=job.id, created_at=time.time()
                    )
                )
            elif there != job.id:
                raise SixfoldError(Reason.ALREADY_EXISTS, "There is a model of this name.")
        self._jobs.announce()
        return job

    async def model(self, tenant: str, name: str) -> Model:
        """One that came to be."""
        async with self._store.read() as connection:
            wanted = select(MODELS.c.job_id).where(MODELS.c.tenant == tenant, MODELS.c.name == name)
            job_id = (await connection.execute(wanted)).scalar_one_or_none()
        job = await self._jobs.get(tenant, job_id) if job_id else None
        if job is None or job.status is not Status.SUCCEEDED:
            raise SixfoldError(Reason.MODEL_NOT_FOUND, "There is no such model.", param="model")
        return Model(name, job, _result(job))


def _dataset(row: Row[Any], job: Job) -> Dataset:
    return Dataset(row.id, row.name, row.created_at, orjson.loads(row.metadata), job, _result(job))


def _result(job: Job) -> dict[str, Any]:
    return dict(orjson.loads(job.result)) if job.result else {}


def _no_dataset() -> SixfoldError:
    return SixfoldError(Reason.NOT_FOUND, "There is no such data set.")
