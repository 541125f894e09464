"""One row, answered and judged, as it is kept: a line of JSON."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from eval_service.criteria.base import Models, Result, Sample, Unjudgeable
from eval_service.criteria.judge import judge
from eval_service.criteria.specs import Spec
from eval_service.runs.rows import Row
from eval_service.runs.source import Completions, ask_of
from servicekit.errors import Reason, SixfoldError

Item = dict[str, Any]
ROW_REASONS = (
    Reason.INVALID_REQUEST,
    Reason.UNSUPPORTED_PARAMETER,
    Reason.CONTEXT_LENGTH_EXCEEDED,
    Reason.REQUEST_TOO_LARGE,
    Reason.ENGINE_FAILED,
)
"""What is wrong with one row: the item says so, and the run goes on."""


def item_id(run_id: str, index: int) -> str:
    """ "outputitem_" and 24 hexadecimal digits, of which the last 8 are the row's number."""
    return f"outputitem_{hashlib.sha256(run_id.encode()).hexdigest()[:16]}{index:08x}"


def index_of(run_id: str, id: str) -> int | None:
    """The row's number; None for an id of another run."""
    try:
        index = int(id[-8:], 16)
    except ValueError:
        return None
    return index if item_id(run_id, index) == id else None


async def answer_and_judge(
    row: Row,
    run_id: str,
    criteria: Sequence[Spec],
    models: Models,
    *,
    target: Completions | None,
    embedding_model: str,
    seed: int,
) -> Item:
    """Asks the target, unless the row holds its answer, and all criteria.

    What is wrong with the row or its answer stands in the item. Raises SixfoldError for what would befall
    every row: a model that is not there, a service that is away.
    """
    item: Item = {
        "id": item_id(run_id, row.index),
        "index": row.index,
        "key": row.key,
        "row": dict(row.item),
        "sample": {},
        "results": [],
        "passed": False,
        "reason": "",
        "created_at": time.time(),
    }
    try:
        if target is None:
            sample = _brought(row.sample or {})
        else:
            sample = await models.answer(target.model, ask_of(target, dict(row.item), seed=seed))
    except Unjudgeable as why:
        return item | {"reason": why.reason}
    except SixfoldError as error:
        if error.reason in ROW_REASONS:
            return item | {"reason": error.reason.value}
        raise
    item["sample"] = _kept(sample)
    for spec in criteria:
        try:
            found = await judge(spec, row.item, sample, models, embedding_model=embedding_model, seed=seed)
            item["results"].append(_told(found, spec.type))
        except Unjudgeable as why:
            # An answer that lacks what a criterion looks at has failed it; anything else is nobody's fault.
            mine = why.reason == "FIELD_MISSING" and "sample." in why.message
            blank: Mapping[str, Any] = {"score": 0.0, "passed": False} if mine else {"error": why.reason}
            item["results"].append({"name": spec.name, "type": spec.type, **blank, "message": why.message})
        except SixfoldError as error:
            if error.reason not in ROW_REASONS:
                raise
            item["results"].append({"name": spec.name, "type": spec.type, "error": error.reason.value})
    verdicts = [each["passed"] for each in item["results"] if each.get("passed") is not None]
    broken = [each for each in item["results"] if "error" in each]
    item["passed"] = all(verdicts) and not broken
    if broken:
        item["reason"] = broken[0]["error"]
    return item


def _told(found: Result, kind: str) -> dict[str, Any]:
    told = {"name": found.name, "type": kind, "score": found.score, "passed": found.passed}
    return told | ({"details": dict(found.details)} if found.details else {})


def _kept(sample: Sample) -> dict[str, Any]:
    return {
        "output_text": sample.text,
        "model": sample.model,
        "version": sample.version,
        "finish_reason": sample.finish_reason,
        "refusal": sample.refusal,
        "input": [{"role": role, "content": text} for role, text in sample.asked],
        "usage": {
            "prompt_tokens": sample.prompt_tokens,
            "completion_tokens": sample.completion_tokens,
            "cached_tokens": sample.cached_tokens,
        },
        "seconds": sample.seconds,
    }


def _brought(sample: Mapping[str, Any]) -> Sample:
    return Sample(text=str(sample.get("output_text", "")))
