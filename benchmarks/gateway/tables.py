"""The gateway's figures as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.common.report import Table
from benchmarks.common.stats import spread
from benchmarks.gateway.measure import SCENARIOS

COLUMNS = ("sixfold gateway", "sixfold", "litellm")
GOAL_CPU = 15
GOAL_MEMORY = 4


def tables(figures: dict[str, Any]) -> list[Table]:
    """CPU idle and busy, memory, cold start, and time seen by the client."""
    head = (
        "",
        "gateway alone",
        "gateway + model service",
        "LiteLLM",
        "LiteLLM ÷ gateway",
        "LiteLLM ÷ both",
        "goal",
    )
    cpu = [
        _row(f"{scenario.title}{'' if mode == 'idle' else ', busy machine'}", values, f"{GOAL_CPU}×", 2)
        for mode in ("idle", "busy")
        for scenario in SCENARIOS
        if (values := [figures["cpu_ms"].get(f"{mode}/{scenario.name}/{column}") for column in COLUMNS])[0]
    ]
    memory = [[figures["rss_mib"][column]] for column in COLUMNS]
    cold = figures["cold_start_s"]
    others = [
        _row("resident memory after the run, MiB", memory, f"{GOAL_MEMORY}×", 0),
        _row("cold start, s", [None, cold["sixfold"], cold["litellm"]], "", 1),
    ]
    return [
        Table("Gateway: CPU, memory, start; median (smallest–largest of the rounds)", head, [*cpu, *others]),
        Table(
            "Gateway: milliseconds that a client waits (median; for streams until the first chunk)",
            *_waits(figures),
        ),
    ]


def _row(title: str, values: Sequence[list[float] | None], goal: str, digits: int) -> list[str]:
    gateway, both, peer = values
    texts = [spread(v).text(digits) if v else "" for v in values]
    return [title, *texts, _ratio(peer, gateway), _ratio(peer, both), goal]


def _ratio(peer: list[float] | None, own: list[float] | None) -> str:
    return f"{spread(peer).median / spread(own).median:.1f}×" if peer and own else ""


def _waits(figures: dict[str, Any]) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    rows = []
    for mode in ("idle", "busy"):
        for scenario in SCENARIOS:
            sides = [
                figures["p50_ms"].get(f"{mode}/{scenario.name}/{side}") for side in ("sixfold", "litellm")
            ]
            if all(sides):
                title = scenario.title.removeprefix("CPU ms ")
                cells = [spread(side).text(1) for side in sides if side]
                rows.append([f"{title}{'' if mode == 'idle' else ', busy machine'}", *cells])
    return ("", "Sixfold", "LiteLLM"), rows
