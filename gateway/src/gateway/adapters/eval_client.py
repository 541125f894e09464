"""The eval service over the gateway's own HTTP/2. Messages stay here; the domain sees its own types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from gateway.adapters.h2.channel import Channel
from gateway.adapters.jobs_proto import STATUS, of_job, of_json, to_file, to_page
from gateway.adapters.service_client import ServiceClient
from gateway.jobs import measures as m
from gateway.jobs.types import JobStatus, Listed, Page
from gateway.openai import fields
from gateway.retrieval.types import FileRef
from gateway.routing.ports import Asker
from servicekit.identity import ServiceIdentity
from sixfold.eval.v1 import eval_service_pb2 as pb
from sixfold.eval.v1 import evaluation_pb2

AUDIENCE = "eval-service"
_NUMBER = {word: number for number, word in STATUS.items()}


class GrpcEvalClient(ServiceClient):
    """`gateway.jobs.ports.Evaluation` over one channel."""

    def __init__(self, channel: Channel, identity: ServiceIdentity) -> None:
        super().__init__(channel, identity, audience=AUDIENCE, service="sixfold.eval.v1.EvalService")

    async def create_eval(
        self,
        asker: Asker,
        request_id: str,
        *,
        name: str,
        config: Mapping[str, Any],
        criteria: Sequence[Any],
        metadata: Mapping[str, str],
        deadline: float,
    ) -> m.Eval:
        """See the port, here and below."""
        request = pb.CreateEvalRequest(
            request_id=request_id,
            name=name,
            data_source_config_json=_json(config, "data_source_config"),
            testing_criteria_json=_json(criteria, "testing_criteria"),
            metadata=metadata,
        )
        return _eval((await self.ask(asker, "CreateEval", request, pb.CreateEvalResponse, deadline)).eval)

    async def get_eval(self, asker: Asker, eval_id: str, *, deadline: float) -> m.Eval:
        request = pb.GetEvalRequest(eval_id=eval_id)
        return _eval((await self.ask(asker, "GetEval", request, pb.GetEvalResponse, deadline)).eval)

    async def list_evals(self, asker: Asker, page: Page, *, deadline: float) -> Listed[m.Eval]:
        request = pb.ListEvalsRequest(page=to_page(page))
        answer = await self.ask(asker, "ListEvals", request, pb.ListEvalsResponse, deadline)
        return Listed([_eval(each) for each in answer.evals], answer.has_more)

    async def update_eval(
        self,
        asker: Asker,
        request_id: str,
        eval_id: str,
        *,
        name: str | None,
        metadata: Mapping[str, str] | None,
        deadline: float,
    ) -> m.Eval:
        request = pb.UpdateEvalRequest(
            request_id=request_id,
            eval_id=eval_id,
            name=name,
            set_metadata=metadata is not None,
            metadata=metadata or {},
        )
        return _eval((await self.ask(asker, "UpdateEval", request, pb.UpdateEvalResponse, deadline)).eval)

    async def delete_eval(self, asker: Asker, request_id: str, eval_id: str, *, deadline: float) -> None:
        request = pb.DeleteEvalRequest(request_id=request_id, eval_id=eval_id)
        await self.ask(asker, "DeleteEval", request, pb.DeleteEvalResponse, deadline)

    async def create_run(
        self,
        asker: Asker,
        request_id: str,
        eval_id: str,
        *,
        name: str,
        data_source: Mapping[str, Any],
        file: FileRef | None,
        metadata: Mapping[str, str],
        deadline: float,
    ) -> m.Run:
        request = pb.CreateRunRequest(
            request_id=request_id,
            eval_id=eval_id,
            name=name,
            data_source_json=_json(data_source, "data_source"),
            file=None if file is None else to_file(file),
            metadata=metadata,
        )
        return _run((await self.ask(asker, "CreateRun", request, pb.CreateRunResponse, deadline)).run)

    async def get_run(self, asker: Asker, eval_id: str, run_id: str, *, deadline: float) -> m.Run:
        request = pb.GetRunRequest(eval_id=eval_id, run_id=run_id)
        return _run((await self.ask(asker, "GetRun", request, pb.GetRunResponse, deadline)).run)

    async def list_runs(
        self, asker: Asker, eval_id: str, page: Page, *, status: JobStatus | None, deadline: float
    ) -> Listed[m.Run]:
        request = pb.ListRunsRequest(
            eval_id=eval_id,
            page=to_page(page),
            status=None if status is None else _NUMBER[status],  # type: ignore[arg-type]
        )
        answer = await self.ask(asker, "ListRuns", request, pb.ListRunsResponse, deadline)
        return Listed([_run(each) for each in answer.runs], answer.has_more)

    async def cancel_run(
        self, asker: Asker, request_id: str, eval_id: str, run_id: str, *, deadline: float
    ) -> m.Run:
        request = pb.CancelRunRequest(request_id=request_id, eval_id=eval_id, run_id=run_id)
        return _run((await self.ask(asker, "CancelRun", request, pb.CancelRunResponse, deadline)).run)

    async def delete_run(
        self, asker: Asker, request_id: str, eval_id: str, run_id: str, *, deadline: float
    ) -> None:
        request = pb.DeleteRunRequest(request_id=request_id, eval_id=eval_id, run_id=run_id)
        await self.ask(asker, "DeleteRun", request, pb.DeleteRunResponse, deadline)

    async def list_items(
        self, asker: Asker, eval_id: str, run_id: str, page: Page, *, status: str, deadline: float
    ) -> Listed[m.Item]:
        request = pb.ListItemsRequest(eval_id=eval_id, run_id=run_id, page=to_page(page), status=status)
        answer = await self.ask(asker, "ListItems", request, pb.ListItemsResponse, deadline)
        return Listed([_item(each) for each in answer.items], answer.has_more)

    async def get_item(
        self, asker: Asker, eval_id: str, run_id: str, item_id: str, *, deadline: float
    ) -> m.Item:
        request = pb.GetItemRequest(eval_id=eval_id, run_id=run_id, item_id=item_id)
        return _item((await self.ask(asker, "GetItem", request, pb.GetItemResponse, deadline)).item)

    async def compare(
        self, asker: Asker, base_id: str, candidate_id: str, *, deadline: float
    ) -> Sequence[m.Comparison]:
        request = pb.CompareRunsRequest(base_run_id=base_id, candidate_run_id=candidate_id)
        answer = await self.ask(asker, "CompareRuns", request, pb.CompareRunsResponse, deadline)
        return [of_comparison(each) for each in answer.comparisons]

    async def report(
        self, asker: Asker, run_id: str, *, base_id: str, format: str, deadline: float
    ) -> m.Report:
        request = pb.GetReportRequest(run_id=run_id, base_run_id=base_id, format=format)
        answer = await self.ask(asker, "GetReport", request, pb.GetReportResponse, deadline)
        return m.Report(answer.media_type, answer.body)


def of_comparison(given: evaluation_pb2.Comparison) -> m.Comparison:
    """Two runs on one criterion."""
    return m.Comparison(
        name=given.name,
        difference=given.difference,
        low=given.low,
        high=given.high,
        p_value=given.p_value,
        test=given.test,
        items=given.items,
        wins=given.wins,
        losses=given.losses,
    )


def _json(value: Any, param: str) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # half of a surrogate pair, or a number beyond 64 bits
        raise fields.invalid(param, "holds what JSON cannot say everywhere.") from None


def _eval(given: evaluation_pb2.Eval) -> m.Eval:
    criteria = of_json(given.testing_criteria_json)
    return m.Eval(
        id=given.id,
        name=given.name,
        created_at=given.created_at,
        data_source_config=of_json(given.data_source_config_json),
        testing_criteria=criteria if isinstance(criteria, list) else [],
        metadata=dict(given.metadata),
    )


def _run(given: evaluation_pb2.Run) -> m.Run:
    return m.Run(
        id=given.id,
        eval_id=given.eval_id,
        name=given.name,
        model=given.model,
        model_version=given.model_version,
        job=of_job(given.job),
        data_source=of_json(given.data_source_json),
        data_sha256=given.data_sha256,
        counts=dict(given.counts),
        figures=[
            m.Figure(
                name=each.name,
                value=each.value,
                low=each.low,
                high=each.high,
                items=each.items,
                passed=each.passed,
                higher_is_better=each.higher_is_better,
            )
            for each in given.figures
        ],
        usage=dict(given.usage),
        metadata=dict(given.metadata),
    )


def _item(given: evaluation_pb2.Item) -> m.Item:
    results = of_json(given.results_json)
    return m.Item(
        id=given.id,
        index=given.index,
        row=of_json(given.row_json),
        sample=of_json(given.sample_json),
        results=results if isinstance(results, list) else [],
        passed=given.passed,
        created_at=given.created_at,
        reason=given.reason,
    )
