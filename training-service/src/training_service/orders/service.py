"""Takes orders: checks what they name, and writes down all that their jobs need."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from servicekit.errors import Reason, SixfoldError
from servicekit.jobs import Job, Jobs, NewJob, Status, Steer
from servicekit.objects import Objects
from training_service.datasets.read import read_file
from training_service.datasets.rows import Part, Row
from training_service.datasets.shapes import Limits
from training_service.orders.types import (
    DATASET,
    TRAINING,
    BaseModel,
    Dataset,
    DatasetOrder,
    DatasetPart,
    FileSource,
    Model,
    Records,
    Source,
    TrainingOrder,
)
from training_service.trainers.estimate import Estimate, estimate
from training_service.trainers.plan import make_plan

_ENDED = (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)


class Orders:
    """What the service does for its callers."""

    def __init__(
        self, records: Records, jobs: Jobs, objects: Objects, bases: Mapping[str, BaseModel], limits: Limits
    ) -> None:
        self._records = records
        self._jobs = jobs
        self._objects = objects
        self._bases = bases
        self._limits = limits

    async def create_dataset(self, tenant: str, request_id: str, order: DatasetOrder) -> Dataset:
        """Durable when it returns. NOT_FOUND for a source of somebody else's."""
        options = order.options
        spec = {
            "name": order.name,
            "sources": [
                await self._source(tenant, each, f"sources[{i}]") for i, each in enumerate(order.sources)
            ],
            "options": {
                "kind": options.kind.value if options.kind else "",
                "validation_share": options.validation,
                "test_share": options.test,
                "seed": options.seed,
                "keep_near_duplicates": options.keep_near_duplicates,
                "keep_personal_data": order.keep_personal_data,
                "strict": options.strict,
            },
        }
        dataset_id = f"ds_{_digest(tenant, request_id, order.name)[:24]}"
        new = NewJob(
            DATASET,
            tenant,
            orjson.dumps({"dataset_id": dataset_id, **spec}),
            idempotency_key=request_id,
            metadata=order.metadata,
        )
        return await self._records.order_dataset(dataset_id, order.name, order.metadata, new)

    async def delete_dataset(self, tenant: str, request_id: str, dataset_id: str) -> None:
        """Row first, then content: a failure in between is put right by the same request again."""
        job_id = await self._records.delete_dataset(tenant, dataset_id, request_id)
        job = await self._jobs.get(tenant, job_id)
        if job.status not in _ENDED:
            await self._jobs.steer(tenant, job_id, Steer.CANCEL)
        await self._objects.delete(f"{tenant}/{dataset_id}")

    async def create_training(self, tenant: str, request_id: str, order: TrainingOrder) -> Job:
        """Durable when it returns. MODEL_NOT_FOUND for a base that cannot be trained."""
        self._base(order.base)
        training = await self._source(tenant, order.training, "spec.training")
        validation = None
        if order.validation is not None:
            validation = await self._source(tenant, _validating(order.validation), "spec.validation")
        elif training["kind"] == "dataset" and Part.VALIDATION.value in training["parts"]:
            validation = {
                **training,
                "parts": {Part.VALIDATION.value: training["parts"][Part.VALIDATION.value]},
            }
        if training["kind"] == "dataset" and not order.training.part:  # type: ignore[union-attr]
            training["parts"] = {Part.TRAIN.value: training["parts"][Part.TRAIN.value]}
        ending = _digest(tenant, request_id, order.base)[:6]
        model = ":".join(["ft", order.base, tenant, order.suffix, ending])
        spec: dict[str, Any] = {
            "model": model,
            "base": order.base,
            "method": order.method.value,
            "training": training,
            "validation": validation,
            "wishes": asdict(order.wishes),
        }
        new = NewJob(
            TRAINING,
            tenant,
            orjson.dumps(spec),
            idempotency_key=request_id,
            priority=order.priority,
            metadata=order.metadata or {},
        )
        return await self._records.order_training(model, new)

    async def estimate(self, tenant: str, order: TrainingOrder) -> Estimate:
        """From the number and length of the rows that can be used. Raises as an order would."""
        base = self._base(order.base)
        source = await self._source(tenant, order.training, "spec.training")
        if order.validation is not None:
            await self._source(tenant, _validating(order.validation), "spec.validation")
        if source["kind"] == "file":
            keys = [(source["object_key"], source["filename"])]
        else:
            wanted = order.training.part if isinstance(order.training, DatasetPart) else ""
            keys = [(source["parts"][wanted or Part.TRAIN.value], "rows.jsonl")]
        rows = chars = 0
        with tempfile.TemporaryDirectory() as folder:
            for key, name in keys:
                path = Path(folder) / "rows"
                await self._objects.fetch(key, path)
                more, longer = await asyncio.to_thread(_measure, path, name, self._limits)
                rows, chars = rows + more, chars + longer
        if not rows:
            raise SixfoldError(
                Reason.INVALID_REQUEST, "There are no rows to train on.", param="spec.training"
            )
        return estimate(make_plan(order.method, order.wishes, rows), rows, chars, base.parameters)

    async def model(self, tenant: str, name: str) -> Model:
        """MODEL_NOT_FOUND."""
        return await self._records.model(tenant, name)

    def _base(self, name: str) -> BaseModel:
        base = self._bases.get(name)
        if base is None:
            raise SixfoldError(
                Reason.MODEL_NOT_FOUND,
                "There is no base model of this name to train.",
                param="spec.base_model",
            )
        return base

    async def _source(self, tenant: str, source: Source, param: str) -> dict[str, Any]:
        """As the job's spec has it. What is another tenant's is NOT_FOUND, as what is nowhere."""
        if isinstance(source, FileSource):
            if not source.object_key.startswith(f"{tenant}/"):
                raise SixfoldError(Reason.NOT_FOUND, "There is no such file.", param=param)
            return {"kind": "file", **asdict(source)}
        if isinstance(source, DatasetPart):
            try:
                dataset = await self._records.dataset(tenant, source.dataset_id)
            except SixfoldError as error:
                error.param = f"{param}.dataset"
                raise
            if dataset.job.status is not Status.SUCCEEDED:
                raise SixfoldError(
                    Reason.INVALID_REQUEST,
                    "The data set is not made yet, or could not be.",
                    param=f"{param}.dataset",
                )
            keys = {part: key for part, key in dataset.made["object_keys"].items() if part != "card"}
            if source.part:
                keys = {part: key for part, key in keys.items() if part == source.part}
            if not keys or (not source.part and Part.TRAIN.value not in keys):
                raise SixfoldError(
                    Reason.NOT_FOUND, "The data set has no rows in this part.", param=f"{param}.dataset.part"
                )
            return {
                "kind": "dataset",
                "id": source.dataset_id,
                "version": dataset.made["version"],
                "parts": keys,
                "named": bool(source.part),
            }
        return {"kind": "feedback", **asdict(source), "kinds": list(source.kinds)}


def _validating(source: Source) -> Source:
    """Of a data set that is named without a part, what it keeps for validation."""
    if isinstance(source, DatasetPart) and not source.part:
        return DatasetPart(source.dataset_id, Part.VALIDATION.value)
    return source


def _measure(path: Path, name: str, limits: Limits) -> tuple[int, int]:
    rows = chars = 0
    for each in read_file(path, name, limits):
        if isinstance(each, Row):
            rows += 1
            chars += sum(len(turn.content) for turn in each.messages) + max(
                len(each.chosen), len(each.rejected)
            )
    return rows, chars


def _digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()
