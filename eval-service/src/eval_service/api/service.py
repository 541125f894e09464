"""The EvalService servicer."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import grpc.aio
import orjson
from google.protobuf.message import Message

from eval_service import metrics
from eval_service.adapters.finished import FinishedRuns
from eval_service.adapters.page_process import PageProcess
from eval_service.adapters.records import Attempt, Audit, EvalRecords, ReleaseRecords, Repeated
from eval_service.api import requests
from eval_service.api.responses import (
    to_audit,
    to_batch,
    to_comparison,
    to_eval,
    to_item,
    to_release,
    to_route,
    to_run,
)
from eval_service.api.watch import Bell
from eval_service.criteria.specs import parse as parse_criteria
from eval_service.gate.policy import parse as parse_policy
from eval_service.gate.policy import read as read_policy
from eval_service.release.audit import Actor
from eval_service.release.states import Approval, Release, approved, rolled_back
from eval_service.reports.facts import of_comparison
from eval_service.runs.source import Completions, Stored, parse_config, parse_source
from eval_service.runs.values import Measured, compared
from servicekit.errors import Reason, SixfoldError
from servicekit.identity import NO_TENANT, current_caller
from servicekit.jobs import Jobs, Steer
from servicekit.logs import get_logger
from servicekit.objects import Objects
from sixfold.eval.v1 import eval_service_pb2 as pb
from sixfold.eval.v1 import eval_service_pb2_grpc

_Context = grpc.aio.ServicerContext[Any, Any]
R = TypeVar("R", bound=Message)
_log = get_logger("eval_service")


@dataclass(frozen=True, slots=True)
class Rules:
    """What one call may ask for, and what jobs are told."""

    policies: Path
    embedding_model: str
    seed: int
    parallel: int
    checkpoint_seconds: float
    max_rows: int
    max_requests: int
    max_file_bytes: int
    max_window_seconds: float
    max_report_bytes: int
    max_watchers: int
    watch_seconds: float


class EvalService(eval_service_pb2_grpc.EvalServiceServicer):
    """Every method takes the tenant from the verified token, checks, asks the records, and translates."""

    def __init__(
        self,
        records: EvalRecords,
        releases: ReleaseRecords,
        audit: Audit,
        jobs: Jobs,
        finished: FinishedRuns,
        objects: Objects,
        pages: PageProcess,
        bell: Bell,
        rules: Rules,
    ) -> None:
        self._records = records
        self._releases = releases
        self._audit = audit
        self._jobs = jobs
        self._finished = finished
        self._objects = objects
        self._pages = pages
        self._bell = bell
        self._rules = rules
        self._watchers = 0

    async def CreateEval(self, request: pb.CreateEvalRequest, context: _Context) -> pb.CreateEvalResponse:  # noqa: N802
        """What is wrong with a criterion is named by its place."""
        tenant = _tenant()
        config = requests.json(request.data_source_config_json, "data_source_config")
        criteria = requests.json(request.testing_criteria_json, "testing_criteria")
        parse_config(config)
        parse_criteria(criteria)
        values = {
            "id": f"eval_{secrets.token_hex(12)}",
            "name": requests.text(request.name, 500, "name"),
            "config": request.data_source_config_json,
            "criteria": request.testing_criteria_json,
            "metadata": requests.metadata(request.metadata),
        }

        async def work(attempt: Attempt) -> Any:
            return await self._records.create_eval(tenant, values, attempt)

        return await _once(
            request, pb.CreateEvalResponse, work, lambda row: pb.CreateEvalResponse(eval=to_eval(row))
        )

    async def GetEval(self, request: pb.GetEvalRequest, context: _Context) -> pb.GetEvalResponse:  # noqa: N802
        """As it stands."""
        row = await self._records.eval(_tenant(), requests.named(request.eval_id, "eval_id"))
        return pb.GetEvalResponse(eval=to_eval(row))

    async def ListEvals(self, request: pb.ListEvalsRequest, context: _Context) -> pb.ListEvalsResponse:  # noqa: N802
        """A page."""
        found, more = await self._records.list_evals(_tenant(), **_paging(request.page))
        return pb.ListEvalsResponse(evals=[to_eval(row) for row in found], has_more=more)

    async def UpdateEval(self, request: pb.UpdateEvalRequest, context: _Context) -> pb.UpdateEvalResponse:  # noqa: N802
        """Name and notes: what is measured never changes."""
        tenant, eval_id = _tenant(), requests.named(request.eval_id, "eval_id")
        changes: dict[str, Any] = {}
        if request.HasField("name"):
            changes["name"] = requests.text(request.name, 500, "name")
        if request.set_metadata:
            changes["metadata"] = requests.metadata(request.metadata)

        async def work(attempt: Attempt) -> Any:
            return await self._records.update_eval(tenant, eval_id, changes, attempt)

        return await _once(
            request, pb.UpdateEvalResponse, work, lambda row: pb.UpdateEvalResponse(eval=to_eval(row))
        )

    async def DeleteEval(self, request: pb.DeleteEvalRequest, context: _Context) -> pb.DeleteEvalResponse:  # noqa: N802
        """With its runs."""
        tenant, eval_id = _tenant(), requests.named(request.eval_id, "eval_id")

        async def work(attempt: Attempt) -> Any:
            for run_id in await self._records.delete_eval(tenant, eval_id, attempt):
                await self._forget(tenant, run_id)

        return await _once(request, pb.DeleteEvalResponse, work, lambda _: pb.DeleteEvalResponse())

    async def CreateRun(self, request: pb.CreateRunRequest, context: _Context) -> pb.CreateRunResponse:  # noqa: N802
        """Durable when this returns."""
        tenant, eval_id = _tenant(), requests.named(request.eval_id, "eval_id")
        name = requests.text(request.name, 500, "name")
        given = requests.json(request.data_source_json, "data_source")
        source = parse_source(given)
        file: Mapping[str, Any] | None = None
        if isinstance(source.source, Stored):
            file = requests.file(
                request.file, tenant, "data_source.source.id", most=self._rules.max_file_bytes
            )
        values = {
            "name": name,
            "model": source.model if isinstance(source, Completions) else "",
            "data_source": request.data_source_json,
            "metadata": requests.metadata(request.metadata),
        }
        rules = self._rules

        def spec(about: dict[str, Any]) -> bytes:
            return orjson.dumps(
                {
                    "eval_id": eval_id,
                    "name": name,
                    "data_source": given,
                    "file": file,
                    "testing_criteria": orjson.loads(about["criteria"]),
                    "item_schema": orjson.loads(about["config"]).get("item_schema", {}),
                    "embedding_model": rules.embedding_model,
                    "seed": rules.seed,
                    "parallel": rules.parallel,
                    "checkpoint_seconds": rules.checkpoint_seconds,
                    "max_rows": rules.max_rows,
                }
            )

        async def work(attempt: Attempt) -> Any:
            return await self._records.create_run(tenant, eval_id, values, spec, attempt)

        return await _once(
            request, pb.CreateRunResponse, work, lambda row: pb.CreateRunResponse(run=to_run(row))
        )

    async def GetRun(self, request: pb.GetRunRequest, context: _Context) -> pb.GetRunResponse:  # noqa: N802
        """As it stands; of whichever eval, if none is named."""
        if request.eval_id:
            return pb.GetRunResponse(run=to_run(await self._run(request)))
        row = await self._records.run(_tenant(), requests.named(request.run_id, "run_id"))
        return pb.GetRunResponse(run=to_run(row))

    async def ListRuns(self, request: pb.ListRunsRequest, context: _Context) -> pb.ListRunsResponse:  # noqa: N802
        """A page; of one status, fewer may come than asked for."""
        found, more = await self._records.list_runs(
            _tenant(), requests.named(request.eval_id, "eval_id"), **_paging(request.page)
        )
        told = [to_run(row) for row in found]
        if request.status:
            told = [run for run in told if run.job.status == request.status]
        return pb.ListRunsResponse(runs=told, has_more=more)

    async def CancelRun(self, request: pb.CancelRunRequest, context: _Context) -> pb.CancelRunResponse:  # noqa: N802
        """Within seconds. One that was called off before stays so."""
        requests.request_id(request.request_id)
        row = await self._run(request)
        row["job"] = await self._jobs.steer(row["tenant"], row["id"], Steer.CANCEL)
        return pb.CancelRunResponse(run=to_run(row))

    async def DeleteRun(self, request: pb.DeleteRunRequest, context: _Context) -> pb.DeleteRunResponse:  # noqa: N802
        """With everything that it left."""
        tenant = _tenant()
        eval_id, run_id = requests.named(request.eval_id, "eval_id"), requests.named(request.run_id, "run_id")

        async def work(attempt: Attempt) -> Any:
            await self._records.delete_run(tenant, eval_id, run_id, attempt)
            await self._forget(tenant, run_id)

        return await _once(request, pb.DeleteRunResponse, work, lambda _: pb.DeleteRunResponse())

    async def ListItems(self, request: pb.ListItemsRequest, context: _Context) -> pb.ListItemsResponse:  # noqa: N802
        """A page of a finished run's."""
        row = await self._run(request)
        found, more = await self._finished.items(
            row, status=requests.item_status(request.status), **_paging(request.page)
        )
        return pb.ListItemsResponse(items=[to_item(item) for item in found], has_more=more)

    async def GetItem(self, request: pb.GetItemRequest, context: _Context) -> pb.GetItemResponse:  # noqa: N802
        """One of a finished run's."""
        row = await self._run(request)
        item = await self._finished.item(row, requests.named(request.item_id, "item_id"))
        return pb.GetItemResponse(item=to_item(item))

    async def CompareRuns(self, request: pb.CompareRunsRequest, context: _Context) -> pb.CompareRunsResponse:  # noqa: N802
        """On the items that both have."""
        tenant = _tenant()
        base = await self._measured(tenant, request.base_run_id, "base_run_id")
        candidate = await self._measured(tenant, request.candidate_run_id, "candidate_run_id")
        found = await asyncio.to_thread(compared, base, candidate)
        if not found:
            raise SixfoldError(Reason.INVALID_REQUEST, "The runs have no items in common.")
        return pb.CompareRunsResponse(comparisons=[to_comparison(name, each) for name, each in found.items()])

    async def GetReport(self, request: pb.GetReportRequest, context: _Context) -> pb.GetReportResponse:  # noqa: N802
        """As a page or as JSON."""
        tenant, run_id = _tenant(), requests.named(request.run_id, "run_id")
        page = request.format in ("", "html")
        if not page and request.format != "json":
            raise requests.invalid("The format is 'html' or 'json'.", "format")
        if request.base_run_id:
            base_id = requests.named(request.base_run_id, "base_run_id")
            told = [
                orjson.loads(await self._finished.object(tenant, each, "report"))
                for each in (base_id, run_id)
            ]
            pair = (
                await self._measured(tenant, base_id, "base_run_id"),
                await self._measured(tenant, run_id, "run_id"),
            )
            facts = orjson.dumps(await asyncio.to_thread(of_comparison, told[0], told[1], pair))
            body = await self._pages.render(facts) if page else facts
        else:
            body = await self._finished.object(tenant, run_id, "page" if page else "report")
        if len(body) > self._rules.max_report_bytes:
            raise SixfoldError(Reason.REQUEST_TOO_LARGE, "The report is too large.")
        return pb.GetReportResponse(
            media_type="text/html; charset=utf-8" if page else "application/json", body=body
        )

    async def CreateBatch(self, request: pb.CreateBatchRequest, context: _Context) -> pb.CreateBatchResponse:  # noqa: N802
        """Durable when this returns; its lines are looked at by its job."""
        tenant, rules = _tenant(), self._rules
        endpoint = requests.endpoint(request.endpoint)
        file = requests.file(request.input, tenant, "input_file_id", most=rules.max_file_bytes)
        values = {"endpoint": endpoint, "input": file, "metadata": requests.metadata(request.metadata)}
        spec = {
            "endpoint": endpoint,
            "input": file,
            "max_requests": rules.max_requests,
            "parallel": rules.parallel,
            "checkpoint_seconds": rules.checkpoint_seconds,
            "output_seconds": requests.output_seconds(request.output_seconds),
        }
        window = requests.window_us(request.window_seconds, rules.max_window_seconds)

        async def work(attempt: Attempt) -> Any:
            return await self._records.create_batch(tenant, values, spec, window, attempt)

        return await _once(
            request, pb.CreateBatchResponse, work, lambda row: pb.CreateBatchResponse(batch=to_batch(row))
        )

    async def GetBatch(self, request: pb.GetBatchRequest, context: _Context) -> pb.GetBatchResponse:  # noqa: N802
        """As it stands."""
        row = await self._records.batch(_tenant(), requests.named(request.batch_id, "batch_id"))
        return pb.GetBatchResponse(batch=to_batch(row))

    async def ListBatches(self, request: pb.ListBatchesRequest, context: _Context) -> pb.ListBatchesResponse:  # noqa: N802
        """A page."""
        found, more = await self._records.list_batches(_tenant(), **_paging(request.page))
        return pb.ListBatchesResponse(batches=[to_batch(row) for row in found], has_more=more)

    async def CancelBatch(self, request: pb.CancelBatchRequest, context: _Context) -> pb.CancelBatchResponse:  # noqa: N802
        """What was answered by then stays."""
        requests.request_id(request.request_id)
        tenant, batch_id = _tenant(), requests.named(request.batch_id, "batch_id")
        row = await self._records.batch(tenant, batch_id)
        if not row["job"].status.final:
            await self._records.cancelling(tenant, batch_id)
        await self._jobs.steer(tenant, batch_id, Steer.CANCEL)
        return pb.CancelBatchResponse(batch=to_batch(await self._records.batch(tenant, batch_id)))

    async def CreateRelease(  # noqa: N802
        self, request: pb.CreateReleaseRequest, context: _Context
    ) -> pb.CreateReleaseResponse:
        """The gate decides when the runs are done."""
        tenant, now = _tenant(), time.time()
        policy = request.policy or "default"
        _, text = await asyncio.to_thread(read_policy, self._rules.policies, policy)
        id = f"rel_{secrets.token_hex(12)}"
        release = Release(
            id=id,
            tenant=tenant,
            alias=requests.alias(request.alias),
            champion="",
            candidate=requests.alias(request.candidate, "candidate"),
            policy=policy,
            policy_text=text,
            run_ids=requests.run_ids(request),
            subject=requests.text(request.subject, 256, "subject"),
            created_at=now,
            changed_at=now,
            reason="Waits for its runs.",
            salt=secrets.token_hex(8),
        )
        role = requests.text(request.role, 64, "role")
        for run_id in release.run_ids:
            await self._records.run(tenant, run_id)

        async def work(attempt: Attempt) -> Any:
            return await self._releases.create(release, attempt, role=role)

        answer = await _once(
            request,
            pb.CreateReleaseResponse,
            work,
            lambda it: pb.CreateReleaseResponse(release=to_release(it)),
        )
        self._bell.ring()
        return answer

    async def GetRelease(self, request: pb.GetReleaseRequest, context: _Context) -> pb.GetReleaseResponse:  # noqa: N802
        """As it stands."""
        found = await self._releases.get(_tenant(), requests.named(request.release_id, "release_id"))
        return pb.GetReleaseResponse(release=to_release(found))

    async def ListReleases(  # noqa: N802
        self, request: pb.ListReleasesRequest, context: _Context
    ) -> pb.ListReleasesResponse:
        """A page."""
        alias = requests.alias(request.alias) if request.alias else ""
        found, more = await self._releases.list(_tenant(), alias, **_paging(request.page))
        return pb.ListReleasesResponse(releases=[to_release(each) for each in found], has_more=more)

    async def ApproveRelease(  # noqa: N802
        self, request: pb.ApproveReleaseRequest, context: _Context
    ) -> pb.ApproveReleaseResponse:
        """The same person twice is one person."""
        tenant, release_id = _tenant(), requests.named(request.release_id, "release_id")
        word = Approval(
            subject=requests.text(request.subject, 256, "subject"),
            role=requests.text(request.role, 64, "role"),
            approved=request.approved,
            at=time.time(),
            comment=requests.text(request.comment, 1000, "comment"),
        )

        async def work(attempt: Attempt) -> Any:
            return await self._releases.change(
                tenant,
                release_id,
                lambda now: approved(now, parse_policy(now.policy_text), word),
                actor=Actor(word.subject, word.role),
                attempt=attempt,
            )

        answer = await _once(
            request,
            pb.ApproveReleaseResponse,
            work,
            lambda it: pb.ApproveReleaseResponse(release=to_release(it)),
        )
        self._bell.ring()
        return answer

    async def RollBack(self, request: pb.RollBackRequest, context: _Context) -> pb.RollBackResponse:  # noqa: N802
        """Routes lead back when this returns."""
        tenant, alias = _tenant(), requests.alias(request.alias)
        reason = requests.text(request.reason, 900, "reason")
        actor = Actor(requests.text(request.subject, 256, "subject"), requests.text(request.role, 64, "role"))

        async def work(attempt: Attempt) -> Any:
            return await self._releases.roll_back(
                tenant,
                alias,
                lambda now: rolled_back(now, reason, actor.subject),
                actor=actor,
                attempt=attempt,
            )

        answer = await _once(
            request, pb.RollBackResponse, work, lambda it: pb.RollBackResponse(release=to_release(it))
        )
        self._bell.ring()
        return answer

    async def ListAudit(self, request: pb.ListAuditRequest, context: _Context) -> pb.ListAuditResponse:  # noqa: N802
        """A page."""
        found, more = await self._audit.list(_tenant(), requests.audited(request), **_paging(request.page))
        return pb.ListAuditResponse(entries=[to_audit(each) for each in found], has_more=more)

    async def WatchRoutes(  # noqa: N802
        self, request: pb.WatchRoutesRequest, context: _Context
    ) -> AsyncIterator[pb.WatchRoutesResponse]:
        """All routes at once and after every change: a tenant's own, or all for a service by itself."""
        tenant = current_caller().tenant
        tenant = "" if tenant == NO_TENANT else tenant
        if self._watchers >= self._rules.max_watchers:
            raise SixfoldError(Reason.QUEUE_FULL, "Too many listen to routes.", retry_after=1)
        self._watchers += 1
        metrics.WATCHERS.set(self._watchers)
        told = -1 if request.revision == 0 else request.revision
        try:
            while True:
                rung = self._bell.next()
                if await self._releases.revision() != told:
                    routes, told = await self._releases.all_routes(tenant)
                    yield pb.WatchRoutesResponse(routes=[to_route(each) for each in routes], revision=told)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._rules.watch_seconds):
                        await rung.wait()
        finally:
            self._watchers -= 1
            metrics.WATCHERS.set(self._watchers)

    async def _run(self, request: Any) -> dict[str, Any]:
        return await self._records.run(
            _tenant(), requests.named(request.run_id, "run_id"), requests.named(request.eval_id, "eval_id")
        )

    async def _measured(self, tenant: str, run_id: str, param: str) -> Measured:
        values = await self._finished.object(tenant, requests.named(run_id, param), "values")
        return Measured.from_json(orjson.loads(values))

    async def _forget(self, tenant: str, run_id: str) -> None:
        """Calls a run's job off, and removes what it left. What cannot be removed now has no row any more."""
        with contextlib.suppress(SixfoldError):
            await self._jobs.steer(tenant, run_id, Steer.CANCEL)
        try:
            await self._objects.delete(f"{tenant}/{run_id}")
        except SixfoldError as error:
            _log.warning("run_objects_stay", run=run_id, reason=error.reason.value)


async def _once(
    request: Any,
    response: type[R],
    work: Callable[[Attempt], Awaitable[Any]],
    tell: Callable[[Any], R],
) -> R:
    """Does the work, or gives the answer that the same request id got before."""
    told: list[R] = []

    def seal(result: Any) -> bytes:
        told.append(tell(result))
        return told[0].SerializeToString()

    fingerprint = hashlib.sha256(
        response.DESCRIPTOR.full_name.encode() + b"\0" + request.SerializeToString(deterministic=True)
    ).digest()
    attempt = Attempt(requests.request_id(request.request_id), fingerprint, seal)
    try:
        result = await work(attempt)
    except Repeated as repeated:
        answer = response()
        answer.ParseFromString(repeated.answer)
        return answer
    return told[0] if told else tell(result)


def _paging(given: Any) -> dict[str, Any]:
    page = requests.page(given)
    return {"after": page.after, "limit": page.limit, "ascending": page.ascending}


def _tenant() -> str:
    """Of the verified token, and of nobody else's word."""
    tenant = current_caller().tenant
    if tenant == NO_TENANT:
        raise SixfoldError(
            Reason.PERMISSION_DENIED, "Evals belong to tenants; this call is on nobody's behalf."
        )
    return tenant
