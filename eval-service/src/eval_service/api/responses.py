"""The domain's words to the contract's messages."""

from __future__ import annotations

from typing import Any

import orjson

from eval_service.adapters.records import Route
from eval_service.adapters.records.audit import Line
from eval_service.release.states import Release, State
from eval_service.runs.items import Item
from eval_service.statistics.result import Paired
from servicekit.jobs import Job, Status, job_message
from sixfold.eval.v1 import evaluation_pb2 as ev
from sixfold.eval.v1 import release_pb2 as rel
from sixfold.training.v1 import dataset_pb2

_STATES = {
    State.EVALUATING: rel.RELEASE_STATUS_EVALUATING,
    State.REFUSED: rel.RELEASE_STATUS_REFUSED,
    State.AWAITING: rel.RELEASE_STATUS_AWAITING_APPROVAL,
    State.CANARY: rel.RELEASE_STATUS_CANARY,
    State.PROMOTED: rel.RELEASE_STATUS_PROMOTED,
    State.ROLLED_BACK: rel.RELEASE_STATUS_ROLLED_BACK,
}
Row = dict[str, Any]


def to_eval(row: Row) -> ev.Eval:
    """As it stands."""
    return ev.Eval(
        id=row["id"],
        name=row["name"],
        created_at=row["created_us"] / 1e6,
        data_source_config_json=bytes(row["config"]),
        testing_criteria_json=bytes(row["criteria"]),
        metadata=orjson.loads(row["metadata"]),
    )


def to_run(row: Row) -> ev.Run:
    """With its figures, once it is done."""
    job: Job = row["job"]
    result = orjson.loads(job.result) if job.result else {}
    told = job_message(job)
    told.spec_json = b""  # the eval and the data source say it
    return ev.Run(
        id=row["id"],
        eval_id=row["eval_id"],
        name=row["name"],
        model=row["model"],
        model_version=result.get("model_version", ""),
        job=told,
        data_source_json=bytes(row["data_source"]),
        data_sha256=result.get("data_sha256", ""),
        counts=result.get("counts", {}),
        figures=[ev.Figure(**figure) for figure in result.get("figures", ())],
        usage=result.get("usage", {}),
        metadata=orjson.loads(row["metadata"]),
    )


def to_item(item: Item) -> ev.Item:
    """One row, answered and judged."""
    sample = item["sample"]
    return ev.Item(
        id=item["id"],
        index=item["index"],
        row_json=orjson.dumps(item["row"]),
        sample_json=orjson.dumps(sample) if sample else b"",
        results_json=orjson.dumps(item["results"]),
        passed=item["passed"],
        created_at=item["created_at"],
        reason=item["reason"],
    )


def to_comparison(name: str, found: Paired) -> ev.Comparison:
    """Two runs on one criterion."""
    return ev.Comparison(name=name, **found._asdict())


def to_batch(row: Row) -> ev.Batch:
    """Its status is made of the job's and of what the job left."""
    job: Job = row["job"]
    left = orjson.loads(job.result) if job.result else orjson.loads(row["partial"])
    status = _batch_status(job, row, left)
    counts = left.get("counts") or {
        "total": row["total"],
        "completed": int(job.metrics.get("completed", 0)),
        "failed": int(job.metrics.get("failed", 0)),
    }
    times = {"created": row["created_us"] / 1e6, "expires": row["expires_us"] / 1e6}
    if job.started_at and row["total"]:
        times["in_progress"] = job.started_at
    if row["cancelling_us"]:
        times["cancelling"] = row["cancelling_us"] / 1e6
    if job.finished_at:
        times[status] = job.finished_at
        if status in ("completed", "expired"):
            times["finalizing"] = job.finished_at
    told = ev.Batch(
        id=row["id"],
        endpoint=row["endpoint"],
        input=dataset_pb2.FileSource(**orjson.loads(row["input"])),
        status=status,
        counts=counts,
        times=times,
        metadata=orjson.loads(row["metadata"]),
        output_seconds=orjson.loads(job.spec).get("output_seconds", 0),
    )
    for name, field in (("output", told.output), ("errors_file", told.errors)):
        if name in left:
            field.CopyFrom(
                dataset_pb2.FileSource(
                    filename=f"{row['id']}_{'output' if name == 'output' else 'error'}.jsonl", **left[name]
                )
            )
    errors = left.get("errors") or ([_failure(job)] if job.status is Status.FAILED else [])
    if errors:
        told.errors_json = orjson.dumps({"object": "list", "data": errors})
    return told


def _failure(job: Job) -> dict[str, Any]:
    return {"code": job.reason.lower(), "line": None, "message": job.message, "param": None}


def _batch_status(job: Job, row: Row, left: dict[str, Any]) -> str:
    if job.status is Status.SUCCEEDED:
        return str(left["status"])
    if job.status in (Status.CANCELLED, Status.FAILED):
        return job.status.value
    if row["cancelling_us"]:
        return "cancelling"
    return "in_progress" if row["total"] else "validating"


def to_release(release: Release) -> rel.Release:
    """As it stands."""
    told = rel.Release(
        id=release.id,
        alias=release.alias,
        champion=release.champion,
        candidate=release.candidate,
        versions=release.versions,
        status=_STATES[release.state],
        reason=release.reason,
        policy=release.policy,
        run_ids=release.run_ids,
        share=release.share,
        created_at=release.created_at,
        changed_at=release.changed_at,
        subject=release.subject,
    )
    from eval_service.gate.policy import digest

    told.policy_sha256 = digest(release.policy_text)
    for verdict in release.verdicts:
        made = told.verdicts.add(rule=verdict.rule, passed=verdict.passed, reason=verdict.reason)
        if verdict.comparison is not None:
            made.comparison.CopyFrom(to_comparison(verdict.criterion, verdict.comparison))
    for word in release.approvals:
        told.approvals.add(
            subject=word.subject, role=word.role, approved=word.approved, at=word.at, comment=word.comment
        )
    if release.readings:
        seen = release.readings[0]
        told.canary.CopyFrom(
            rel.Canary(
                champion_answers=seen.champion_answers,
                candidate_answers=seen.candidate_answers,
                champion_good=seen.champion_good,
                candidate_good=seen.candidate_good,
                low=seen.low,
                high=seen.high,
                metric=seen.metric,
            )
        )
    return told


def to_audit(line: Line) -> rel.AuditEntry:
    """One thing that was done."""
    entry = line.entry
    return rel.AuditEntry(
        id=line.id,
        at=line.at,
        subject=entry.actor.subject,
        role=entry.actor.role,
        action=entry.action,
        release_id=line.release_id,
        alias=line.alias,
        candidate=line.candidate,
        reason=entry.reason,
        details_json=orjson.dumps(entry.details),
    )


def to_route(route: Route) -> rel.Route:
    """Where a name leads."""
    return rel.Route(
        alias=route.alias,
        tenant=route.tenant,
        champion=route.champion,
        candidate=route.candidate,
        share=route.share,
        salt=route.salt,
        release_id=route.release_id,
        revision=route.revision,
    )
