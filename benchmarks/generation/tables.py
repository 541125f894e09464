"""The generation figures as tables."""

from __future__ import annotations

from typing import Any

from benchmarks.common.report import Table
from benchmarks.common.stats import spread
from benchmarks.generation.measure import CLIENTS

SIDES = ("sixfold", "engine", "llama.cpp")


def tables(figures: dict[str, Any]) -> list[Table]:
    """Tokens a second by clients, and time to first token."""
    head = ("", "Sixfold", "engine alone", "llama.cpp", "against the engine", "against llama.cpp", "goal")
    rows = []
    for mode in ("idle", "busy"):
        note = "" if mode == "idle" else ", busy machine"
        for clients in CLIENTS:
            values = [figures["tokens_per_s"].get(f"{mode}/{clients}/{side}") for side in SIDES]
            if all(values):
                house, engine, llama = (spread(v) for v in values if v)
                paired = _paired(values[0] or [], values[1] or [], lambda a, b: (a / b - 1) * 100)
                rows.append(
                    [
                        f"tokens/s, {clients} client{'s' if clients > 1 else ''}{note}",
                        *(s.text(1) for s in (house, engine, llama)),
                        f"{paired:+.1f} %",
                        f"{house.median / llama.median:.2f}×",
                        "≥ −5 %",
                    ]
                )
        first = [figures["ttft_ms"].get(f"{mode}/{side}") for side in SIDES]
        if all(first):
            house, engine, llama = (spread(v) for v in first if v)
            added = _paired(first[0] or [], first[1] or [], lambda a, b: a - b)
            cells = [s.text(1) for s in (house, engine, llama)]
            rows.append(
                [
                    f"time to first token, ms{note}",
                    *cells,
                    f"{added:+.1f} ms",
                    f"{house.median / llama.median:.2f}×",
                    "≤ +5 ms",
                ]
            )
    return [Table("Generation: SmolLM2-135M; median (smallest–largest of the rounds)", head, rows)]


def _paired(own: list[float], other: list[float], compare: Any) -> float:
    """Median over rounds of the comparison within each round."""
    return spread([compare(a, b) for a, b in zip(own, other, strict=True)]).median
