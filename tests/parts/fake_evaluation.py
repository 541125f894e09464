"""An eval service for tests: the real contract over real gRPC, over dictionaries.

It holds to what the contract says of tenants, request ids and pages. Nothing is measured or released: a test
says what becomes of a run.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from typing import Any

from parts.fake_training import (
    CANCELLED,
    FAILED,
    QUEUED,
    SUCCEEDED,
    JobsServer,
    newest_first,
)
from servicekit.errors import Reason, SixfoldError
from servicekit.identity import Caller, current_caller
from sixfold.eval.v1 import eval_service_pb2 as pb
from sixfold.eval.v1 import eval_service_pb2_grpc, evaluation_pb2, release_pb2
from sixfold.jobs.v1 import job_pb2


class FakeEvaluation(eval_service_pb2_grpc.EvalServiceServicer):
    """Keeps what it was asked, and what its tenants have."""

    def __init__(self) -> None:
        self.evals: dict[tuple[str, str], evaluation_pb2.Eval] = {}
        self.runs: dict[tuple[str, str], evaluation_pb2.Run] = {}
        self.batches: dict[tuple[str, str], evaluation_pb2.Batch] = {}
        self.releases: dict[tuple[str, str], release_pb2.Release] = {}
        self.items: dict[str, list[evaluation_pb2.Item]] = {}
        self.requests: list[Any] = []
        self.callers: list[Caller] = []
        self._answers: dict[tuple[str, str, str], Any] = {}
        self._clock = time.time()

    # What tests do.

    def finish(self, run_id: str, *passed: bool) -> None:
        """A run has measured as many items as are given."""
        run = next(run for (_, id), run in self.runs.items() if id == run_id)
        items = []
        for index, good in enumerate(passed):
            sample = {
                "output_text": f"answer {index}",
                "model": run.model,
                "finish_reason": "stop",
                "input": [{"role": "user", "content": f"question {index}"}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 2, "cached_tokens": 0},
            }
            results = [{"name": "exact", "type": "string_check", "score": float(good), "passed": good}]
            items.append(
                evaluation_pb2.Item(
                    id=f"outputitem_{'a' * 16}{index:08x}",
                    index=index,
                    row_json=json.dumps({"n": index}).encode(),
                    sample_json=json.dumps(sample).encode(),
                    results_json=json.dumps(results).encode(),
                    passed=good,
                    created_at=self._now(),
                )
            )
        self.items[run_id] = items
        run.job.status, run.job.finished_at, run.job.progress = SUCCEEDED, self._now(), 1
        run.model_version, run.data_sha256 = "v1", "f" * 64
        run.counts.update({"total": len(items), "passed": sum(passed), "failed": len(items) - sum(passed)})
        share = sum(passed) / len(passed)
        for name in ("exact", "passed", "latency_seconds"):
            run.figures.add(
                name=name,
                value=share,
                low=share / 2,
                high=1,
                items=len(items),
                passed=sum(passed),
                higher_is_better=name != "latency_seconds",
            )
        run.usage.update({"prompt": 3 * len(items), "completion": 2 * len(items)})

    def fail(self, run_id: str, reason: str, message: str) -> None:
        """A run came to nothing."""
        run = next(run for (_, id), run in self.runs.items() if id == run_id)
        run.job.status, run.job.reason, run.job.message = FAILED, reason, message

    # Common to all calls.

    def _begin(self, request: Any) -> str:
        self.requests.append(request)
        self.callers.append(current_caller())
        return current_caller().tenant

    def _once(self, tenant: str, request: Any, act: Callable[[], Any]) -> Any:
        if not request.request_id:
            raise SixfoldError(Reason.INVALID_REQUEST, "A change has a request id.")
        key = (tenant, type(request).__name__, request.request_id)
        if key not in self._answers:
            self._answers[key] = act()
        return self._answers[key]

    def _now(self) -> float:
        self._clock += 1
        return self._clock

    def _eval(self, tenant: str, eval_id: str) -> evaluation_pb2.Eval:
        found: evaluation_pb2.Eval = _own(self.evals, tenant, eval_id)
        return found

    def _run(self, tenant: str, request: Any) -> evaluation_pb2.Run:
        run: evaluation_pb2.Run = _own(self.runs, tenant, request.run_id)
        if run.eval_id != request.eval_id:
            raise SixfoldError(Reason.NOT_FOUND, "There is no such thing.")
        return run

    # Evals and runs.

    async def CreateEval(self, request: pb.CreateEvalRequest, context: Any) -> pb.CreateEvalResponse:
        tenant = self._begin(request)

        def make() -> pb.CreateEvalResponse:
            made = evaluation_pb2.Eval(
                id=f"eval_{secrets.token_hex(12)}",
                name=request.name,
                created_at=self._now(),
                data_source_config_json=request.data_source_config_json,
                testing_criteria_json=request.testing_criteria_json,
                metadata=request.metadata,
            )
            self.evals[tenant, made.id] = made
            return pb.CreateEvalResponse(eval=made)

        for at, criterion in enumerate(json.loads(request.testing_criteria_json)):
            if "type" not in criterion:
                raise SixfoldError(
                    Reason.INVALID_REQUEST, "A criterion has a type.", param=f"testing_criteria[{at}].type"
                )
        answer: pb.CreateEvalResponse = self._once(tenant, request, make)
        return answer

    async def GetEval(self, request: pb.GetEvalRequest, context: Any) -> pb.GetEvalResponse:
        return pb.GetEvalResponse(eval=self._eval(self._begin(request), request.eval_id))

    async def ListEvals(self, request: pb.ListEvalsRequest, context: Any) -> pb.ListEvalsResponse:
        tenant = self._begin(request)
        data, more = newest_first(_of(self.evals, tenant), request.page)
        return pb.ListEvalsResponse(evals=data, has_more=more)

    async def UpdateEval(self, request: pb.UpdateEvalRequest, context: Any) -> pb.UpdateEvalResponse:
        found = self._eval(self._begin(request), request.eval_id)
        if request.HasField("name"):
            found.name = request.name
        if request.set_metadata:
            found.metadata.clear()
            found.metadata.update(request.metadata)
        return pb.UpdateEvalResponse(eval=found)

    async def DeleteEval(self, request: pb.DeleteEvalRequest, context: Any) -> pb.DeleteEvalResponse:
        tenant = self._begin(request)
        self._eval(tenant, request.eval_id)
        del self.evals[tenant, request.eval_id]
        return pb.DeleteEvalResponse()

    async def CreateRun(self, request: pb.CreateRunRequest, context: Any) -> pb.CreateRunResponse:
        tenant = self._begin(request)
        self._eval(tenant, request.eval_id)
        source = json.loads(request.data_source_json)

        def make() -> pb.CreateRunResponse:
            id = f"evalrun_{secrets.token_hex(12)}"
            run = evaluation_pb2.Run(
                id=id,
                eval_id=request.eval_id,
                name=request.name,
                model=source.get("model", ""),
                job=job_pb2.Job(id=id, kind="evaluation", status=QUEUED, created_at=self._now()),
                data_source_json=request.data_source_json,
                metadata=request.metadata,
            )
            self.runs[tenant, id] = run
            return pb.CreateRunResponse(run=run)

        answer: pb.CreateRunResponse = self._once(tenant, request, make)
        return answer

    async def GetRun(self, request: pb.GetRunRequest, context: Any) -> pb.GetRunResponse:
        return pb.GetRunResponse(run=self._run(self._begin(request), request))

    async def ListRuns(self, request: pb.ListRunsRequest, context: Any) -> pb.ListRunsResponse:
        tenant = self._begin(request)
        self._eval(tenant, request.eval_id)
        found = [run for run in _of(self.runs, tenant) if run.eval_id == request.eval_id]
        data, more = newest_first(found, request.page)
        if request.status:
            data = [run for run in data if run.job.status == request.status]
        return pb.ListRunsResponse(runs=data, has_more=more)

    async def CancelRun(self, request: pb.CancelRunRequest, context: Any) -> pb.CancelRunResponse:
        run = self._run(self._begin(request), request)
        run.job.status = CANCELLED
        return pb.CancelRunResponse(run=run)

    async def DeleteRun(self, request: pb.DeleteRunRequest, context: Any) -> pb.DeleteRunResponse:
        tenant = self._begin(request)
        self._run(tenant, request)
        del self.runs[tenant, request.run_id]
        return pb.DeleteRunResponse()

    async def ListItems(self, request: pb.ListItemsRequest, context: Any) -> pb.ListItemsResponse:
        run = self._run(self._begin(request), request)
        wanted = {"": (True, False), "pass": (True,), "fail": (False,)}[request.status]
        found = [item for item in self.items.get(run.id, []) if item.passed in wanted]
        data, more = newest_first(found, request.page)
        return pb.ListItemsResponse(items=data, has_more=more)

    async def GetItem(self, request: pb.GetItemRequest, context: Any) -> pb.GetItemResponse:
        run = self._run(self._begin(request), request)
        for item in self.items.get(run.id, []):
            if item.id == request.item_id:
                return pb.GetItemResponse(item=item)
        raise SixfoldError(Reason.NOT_FOUND, "There is no such thing.")

    async def CompareRuns(self, request: pb.CompareRunsRequest, context: Any) -> pb.CompareRunsResponse:
        tenant = self._begin(request)
        for run_id in (request.base_run_id, request.candidate_run_id):
            _own(self.runs, tenant, run_id)
        told = evaluation_pb2.Comparison(
            name="exact", difference=0.5, low=0.1, high=0.9, p_value=0.01, test="mcnemar", items=4, wins=2
        )
        return pb.CompareRunsResponse(comparisons=[told])

    async def GetReport(self, request: pb.GetReportRequest, context: Any) -> pb.GetReportResponse:
        _own(self.runs, self._begin(request), request.run_id)
        if request.format == "json":
            return pb.GetReportResponse(media_type="application/json", body=b'{"run": 1}')
        return pb.GetReportResponse(media_type="text/html; charset=utf-8", body=b"<h1>Report</h1>")

    # Batches.

    async def CreateBatch(self, request: pb.CreateBatchRequest, context: Any) -> pb.CreateBatchResponse:
        tenant = self._begin(request)
        if not request.input.object_key.startswith(f"{tenant}/"):
            raise SixfoldError(Reason.NOT_FOUND, "There is no such file.", param="input_file_id")
        if request.endpoint != "/v1/chat/completions":
            raise SixfoldError(Reason.INVALID_REQUEST, "Batches are not for that.", param="endpoint")

        def make() -> pb.CreateBatchResponse:
            now = self._now()
            made = evaluation_pb2.Batch(
                id=f"batch_{secrets.token_hex(12)}",
                endpoint=request.endpoint,
                input=request.input,
                status="validating",
                times={"created": now, "expires": now + 86400},
                metadata=request.metadata,
                output_seconds=request.output_seconds,
            )
            self.batches[tenant, made.id] = made
            return pb.CreateBatchResponse(batch=made)

        answer: pb.CreateBatchResponse = self._once(tenant, request, make)
        return answer

    async def GetBatch(self, request: pb.GetBatchRequest, context: Any) -> pb.GetBatchResponse:
        return pb.GetBatchResponse(batch=_own(self.batches, self._begin(request), request.batch_id))

    async def ListBatches(self, request: pb.ListBatchesRequest, context: Any) -> pb.ListBatchesResponse:
        tenant = self._begin(request)
        data, more = newest_first(_of(self.batches, tenant), request.page)
        return pb.ListBatchesResponse(batches=data, has_more=more)

    async def CancelBatch(self, request: pb.CancelBatchRequest, context: Any) -> pb.CancelBatchResponse:
        batch: evaluation_pb2.Batch = _own(self.batches, self._begin(request), request.batch_id)
        batch.status, batch.times["cancelling"] = "cancelling", self._now()
        return pb.CancelBatchResponse(batch=batch)

    # Releases. The gate opens at once, and then waits for two people.

    async def CreateRelease(self, request: pb.CreateReleaseRequest, context: Any) -> pb.CreateReleaseResponse:
        tenant = self._begin(request)
        for run_id in request.run_ids:
            _own(self.runs, tenant, run_id)

        def make() -> pb.CreateReleaseResponse:
            made = release_pb2.Release(
                id=f"rel_{secrets.token_hex(12)}",
                alias=request.alias,
                champion="tiny",
                candidate=request.candidate,
                versions=["tiny@1", f"{request.candidate}@2"],
                status=release_pb2.RELEASE_STATUS_AWAITING_APPROVAL,
                reason="Two people have to say yes.",
                policy=request.policy or "default",
                run_ids=request.run_ids,
                created_at=self._now(),
                subject=request.subject,
            )
            compared = evaluation_pb2.Comparison(name="exact", difference=0.4, test="mcnemar", items=20)
            made.verdicts.add(rule="better", passed=True, reason="It is better.", comparison=compared)
            made.verdicts.add(rule="size", passed=True, reason="It is small.")
            self.releases[tenant, made.id] = made
            return pb.CreateReleaseResponse(release=made)

        answer: pb.CreateReleaseResponse = self._once(tenant, request, make)
        return answer

    async def GetRelease(self, request: pb.GetReleaseRequest, context: Any) -> pb.GetReleaseResponse:
        return pb.GetReleaseResponse(release=_own(self.releases, self._begin(request), request.release_id))

    async def ListReleases(self, request: pb.ListReleasesRequest, context: Any) -> pb.ListReleasesResponse:
        tenant = self._begin(request)
        found = [each for each in _of(self.releases, tenant) if request.alias in ("", each.alias)]
        data, more = newest_first(found, request.page)
        return pb.ListReleasesResponse(releases=data, has_more=more)

    async def ApproveRelease(
        self, request: pb.ApproveReleaseRequest, context: Any
    ) -> pb.ApproveReleaseResponse:
        release: release_pb2.Release = _own(self.releases, self._begin(request), request.release_id)
        if request.subject not in {each.subject for each in release.approvals}:
            release.approvals.add(
                subject=request.subject,
                role=request.role,
                approved=request.approved,
                comment=request.comment,
                at=self._now(),
            )
        if len(release.approvals) == 2:
            release.status, release.share = release_pb2.RELEASE_STATUS_CANARY, 0.25
            release.canary.CopyFrom(
                release_pb2.Canary(metric="feedback", champion_answers=7, low=-0.5, high=0.5)
            )
        return pb.ApproveReleaseResponse(release=release)

    async def RollBack(self, request: pb.RollBackRequest, context: Any) -> pb.RollBackResponse:
        for release in _of(self.releases, self._begin(request)):
            if release.alias == request.alias:
                release.status = release_pb2.RELEASE_STATUS_ROLLED_BACK
                release.reason, release.share = request.reason, 0
                return pb.RollBackResponse(release=release)
        raise SixfoldError(Reason.NOT_FOUND, "There is nothing to take back.", param="alias")


def _own(kept: dict[tuple[str, str], Any], tenant: str, id: str) -> Any:
    found = kept.get((tenant, id))
    if found is None:
        raise SixfoldError(Reason.NOT_FOUND, "There is no such thing.")
    return found


def _of(kept: dict[tuple[str, str], Any], tenant: str) -> list[Any]:
    return [each for (owner, _), each in kept.items() if owner == tenant]


def evaluation_server(fake: FakeEvaluation, key: bytes) -> JobsServer:
    """A server for `fake`, not started."""
    add = eval_service_pb2_grpc.add_EvalServiceServicer_to_server
    return JobsServer("eval-service", "sixfold.eval.v1.EvalService", add, fake, key)
