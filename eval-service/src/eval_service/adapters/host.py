"""What the service does for its jobs: it has the identity, they have none."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any

from eval_service import metrics
from eval_service.adapters.model_client import GrpcModels
from eval_service.adapters.openai_bodies import respond
from eval_service.adapters.records import EvalRecords
from eval_service.criteria.base import Ask
from servicekit.errors import SixfoldError
from servicekit.jobs import Claim, HostCall

_Work = Callable[[Claim, Mapping[str, Any]], Awaitable[Any]]


def host_calls(models: GrpcModels, records: EvalRecords) -> dict[str, HostCall]:
    """By name. The tenant is the claim's, whatever a job says."""

    async def answer(claim: Claim, told: Mapping[str, Any]) -> Any:
        return asdict(await models.answer(claim.tenant, str(told["model"]), _ask(told["ask"])))

    async def embed(claim: Claim, told: Mapping[str, Any]) -> Any:
        return await models.embed(claim.tenant, str(told["model"]), [str(text) for text in told["texts"]])

    async def respond_to(claim: Claim, told: Mapping[str, Any]) -> Any:
        return await respond(models, claim.tenant, str(told["endpoint"]), told["body"])

    async def card(claim: Claim, told: Mapping[str, Any]) -> Any:
        found = await models.card(claim.tenant, str(told["model"]))
        return {"name": found.name, "version": found.version, "parameters": found.parameters}

    async def keep_batch(claim: Claim, told: Mapping[str, Any]) -> Any:
        await records.keep_batch(claim, int(told["total"]), told["partial"])

    calls: dict[str, _Work] = {
        "answer": answer,
        "embed": embed,
        "respond": respond_to,
        "card": card,
        "keep_batch": keep_batch,
    }
    return {name: _measured(name, work) for name, work in calls.items()}


def _measured(name: str, work: _Work) -> HostCall:
    async def call(claim: Claim, told: Mapping[str, Any]) -> Any:
        began = time.perf_counter()
        outcome = "failed"
        try:
            answer = await work(claim, told)
            outcome = "answered"
            return answer
        except SixfoldError as error:
            outcome = error.reason.value.lower()
            raise
        finally:
            metrics.ASKED.labels(name, outcome).inc()
            metrics.ASKING.labels(name).observe(time.perf_counter() - began)

    return call


def _ask(told: Mapping[str, Any]) -> Ask:
    return Ask(
        **{
            **told,
            "turns": tuple((role, text) for role, text in told["turns"]),
            "choices": tuple(told["choices"]),
            "stop": tuple(told["stop"]),
        }
    )
