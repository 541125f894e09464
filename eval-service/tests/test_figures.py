"""Figures of releases and jobs: each step once, and only what the gate decided as the gate's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
import pytest
from prometheus_client import REGISTRY

from eval_service import figures
from eval_service.adapters.records.releases import UnderWay
from eval_service.release.states import Release, State
from servicekit.jobs import Broke, Claim, Done

RELEASE = Release(
    id="rel_1",
    tenant="acme",
    alias="default",
    champion="old",
    candidate="new",
    policy="p",
    policy_text="",
    run_ids=(),
    subject="ada",
    created_at=0,
    changed_at=0,
)


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.mark.parametrize(
    ("after", "passed", "refused"),
    [(State.REFUSED, 0, 1), (State.AWAITING, 1, 0), (State.PROMOTED, 1, 0), (State.ROLLED_BACK, 0, 0)],
)
def test_what_the_gate_decided_is_counted_as_such(after: State, passed: int, refused: int) -> None:
    def now() -> tuple[float, float, float]:
        decisions = "sixfold_eval_gate_decisions_total"
        return (
            value(decisions, decision="passed"),
            value(decisions, decision="refused"),
            value("sixfold_eval_release_steps_total", state=after.value),
        )

    before = now()
    moved = replace(RELEASE, state=after)
    figures.stepped(RELEASE, moved)
    figures.stepped(moved, replace(moved, reason="nothing else"))  # no step
    assert now() == (before[0] + passed, before[1] + refused, before[2] + 1)


def claim(kind: str) -> Claim:
    fields: Mapping[str, Any] = {"id": "j", "kind": kind, "tenant": "acme"}
    return Claim(**{**dict.fromkeys(Claim.__dataclass_fields__), **fields})


def test_items_and_requests_of_finished_jobs_are_counted() -> None:
    def now() -> list[float]:
        return [
            *(value("sixfold_eval_items_total", outcome=name) for name in ("passed", "failed", "errored")),
            *(value("sixfold_eval_batch_requests_total", outcome=name) for name in ("completed", "failed")),
        ]

    before = now()
    run = {"counts": {"total": 6, "passed": 3, "failed": 2, "errored": 1}}
    figures.ended(claim("evaluation"), Done(orjson.dumps(run)))
    figures.ended(claim("batch"), Done(orjson.dumps({"counts": {"total": 9, "completed": 5, "failed": 4}})))
    figures.ended(claim("batch"), Done(orjson.dumps({"status": "expired"})))
    figures.ended(claim("evaluation"), Broke("KILLED", "It died."))
    assert now() == [known + new for known, new in zip(before, (3, 2, 1, 5, 4), strict=True)]


class _Records:
    """What the records would count."""

    def __init__(self, *found: UnderWay) -> None:
        self._found = list(found)

    async def under_way(self) -> UnderWay:
        return self._found.pop(0)


async def test_what_is_under_way_is_shown_and_forgotten_afterwards() -> None:
    records: Any = _Records(UnderWay({State.CANARY: 2}, {0.05: 1, 0.2: 1}), UnderWay({}, {}))
    counting = figures.Counting(records)
    await counting.count()
    assert value("sixfold_eval_releases", state="canary") == 2
    assert value("sixfold_eval_canaries", share="0.2") == 1
    await counting.count()
    assert value("sixfold_eval_releases", state="canary") == 0
    assert REGISTRY.get_sample_value("sixfold_eval_canaries", {"share": "0.2"}) is None
