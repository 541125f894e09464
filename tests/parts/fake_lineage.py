"""Training and eval services that know where models come from, as tests tell them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from parts.fake_evaluation import FakeEvaluation
from parts.fake_training import FakeTraining, newest_first
from servicekit.errors import Reason, SixfoldError
from sixfold.eval.v1 import eval_service_pb2, evaluation_pb2, release_pb2
from sixfold.jobs.v1 import job_pb2
from sixfold.training.v1 import dataset_pb2, training_service_pb2


class Judging(FakeEvaluation):
    """An eval service with routes and an audit."""

    def __init__(self) -> None:
        super().__init__()
        self.routes: list[release_pb2.Route] = []
        self.audit: dict[str, list[release_pb2.AuditEntry]] = {}
        self._changed = asyncio.Event()

    def say(self, *routes: release_pb2.Route) -> None:
        """From now on these."""
        self.routes = list(routes)
        self._changed.set()

    def note(self, tenant: str, release: release_pb2.Release, action: str, **facts: Any) -> None:
        """A line of the audit."""
        lines = self.audit.setdefault(tenant, [])
        lines.append(
            release_pb2.AuditEntry(
                id=f"{release.id}-{len(lines) + 1}-1",
                action=action,
                release_id=release.id,
                alias=release.alias,
                candidate=release.candidate,
                **facts,
            )
        )

    async def WatchRoutes(
        self, request: Any, context: Any
    ) -> AsyncIterator[eval_service_pb2.WatchRoutesResponse]:
        while True:
            self._changed.clear()
            yield eval_service_pb2.WatchRoutesResponse(routes=self.routes, revision=1)
            await self._changed.wait()

    async def ListAudit(
        self, request: eval_service_pb2.ListAuditRequest, context: Any
    ) -> eval_service_pb2.ListAuditResponse:
        found = [
            line
            for line in self.audit.get(self._begin(request), [])
            if all(
                getattr(request, name) in ("", getattr(line, name))
                for name in ("alias", "release_id", "action", "candidate")
            )
            and (not request.until or line.at <= request.until)
        ]
        data, more = newest_first(found, request.page)
        return eval_service_pb2.ListAuditResponse(entries=data, has_more=more)

    async def GetRun(
        self, request: eval_service_pb2.GetRunRequest, context: Any
    ) -> eval_service_pb2.GetRunResponse:
        run: evaluation_pb2.Run | None = self.runs.get((self._begin(request), request.run_id))
        if run is None or request.eval_id not in ("", run.eval_id):
            raise SixfoldError(Reason.NOT_FOUND, "There is no such thing.")
        return eval_service_pb2.GetRunResponse(run=run)


class Making(FakeTraining):
    """A training service that has made a model of a data set."""

    def __init__(self) -> None:
        super().__init__()
        self.models: dict[tuple[str, str], training_service_pb2.TrainedModel] = {}

    def made(self, tenant: str, model: str, sources: list[dict[str, Any]]) -> dataset_pb2.Dataset:
        """A model, the job that trained it, and the data set that it was trained on."""
        dataset = dataset_pb2.Dataset(
            id=f"ds_{'d' * 24}",
            name="intents",
            version="e" * 64,
            job_id="dsjob_1",
            rows={"train": 80, "test": 20},
        )
        self.datasets[tenant, dataset.id] = dataset
        self.jobs[tenant, "dsjob_1"] = job_pb2.Job(
            id="dsjob_1", spec_json=json.dumps({"sources": sources}).encode()
        )
        self.jobs[tenant, "ftjob-1"] = job_pb2.Job(
            id="ftjob-1", spec_json=json.dumps({"method": "supervised"}).encode()
        )
        self.models[tenant, model] = training_service_pb2.TrainedModel(
            name=model,
            version="v1",
            base_model="tiny@v1",
            job_id="ftjob-1",
            run_id="run7",
            dataset_id=dataset.id,
            data_sha256="f" * 64,
            object_key=f"{tenant}/secret-place",
            form="lora",
            created_at=1_000,
            metrics={"loss": 0.25},
            registered_name="support",
            registered_version="3",
        )
        return dataset

    async def GetTrainedModel(
        self, request: training_service_pb2.GetTrainedModelRequest, context: Any
    ) -> training_service_pb2.GetTrainedModelResponse:
        model = self.models.get((self._begin(request), request.model))
        if model is None:
            raise SixfoldError(Reason.MODEL_NOT_FOUND, "There is no such model.")
        return training_service_pb2.GetTrainedModelResponse(model=model)
