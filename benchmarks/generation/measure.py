"""Interleaved rounds over three sides: each answers the same questions once a round, in turn."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.common.budget import rounds
from benchmarks.common.busy import busy
from benchmarks.common.stats import quantile
from benchmarks.generation.sides import (
    MODEL,
    DirectSide,
    HouseSide,
    LlamaSide,
    Side,
    prepared_home,
    text_model,
)
from model_service.adapters.openvino.options import OpenVinoOptions

CLIENTS = {1: 3, 4: 8, 16: 16}
"""Clients to requests a round."""
MAX_TOKENS = 96
TTFT_REQUESTS = 8
_SUBJECTS = (
    "a lighthouse",
    "a bakery",
    "two brothers",
    "a winter storm",
    "a lost map",
    "an old clock",
    "a river",
)


def measure(*, quick: bool) -> dict[str, Any]:
    """Runs everything; tokens a second and milliseconds, a list of rounds each."""
    figures: dict[str, Any] = {"tokens_per_s": defaultdict(list), "ttft_ms": defaultdict(list)}
    entry = text_model(prepared_home())
    model = Path(entry["engine"].removeprefix("openvino://"))
    with tempfile.TemporaryDirectory(prefix="sixfold-bench-") as temporary:
        sides: list[Side] = []
        try:
            sides.append(HouseSide.start(Path(temporary), entry))
            sides.append(DirectSide.start(model, scheduler(entry)))
            llamas = [LlamaSide.start(Path(temporary), patient=patient) for patient in (False, True)]
            sides += llamas
            speeds = [_warm(side) for side in sides]
            # llama.cpp as suits it best: whichever of its two ways to wait was faster just now, and
            # patient threads on a busy machine, where the others collapse.
            alone = llamas[speeds[2] < speeds[3]]
            for mode, planned, seconds in (("idle", 2 if quick else 5, 150), ("busy", 1 if quick else 2, 60)):
                for number in rounds("generation", mode, planned, seconds):
                    three = [*sides[:2], llamas[1] if mode == "busy" else alone]
                    turned = three[number % 3 :] + three[: number % 3]
                    with busy(mode == "busy"):
                        _round(turned, f"{mode}-{number}", mode, figures, quick)
        finally:
            for side in sides:
                side.stop()
    return figures


def scheduler(entry: dict[str, Any]) -> dict[str, Any]:
    """What the model service gives the engine for this entry, so that both run the same scheduler."""
    return OpenVinoOptions.parse(entry.get("options") or {}).for_worker()


def bodies(label: str, count: int, max_tokens: int) -> list[str]:
    """Questions new in their first words, so that no cache of any side knows more than the template."""
    made = []
    for number in range(count):
        subject = _SUBJECTS[number % len(_SUBJECTS)]
        question = f"{label} {number}: write a long story about {subject}, with many details, in plain words."
        request = {"model": MODEL, "messages": [{"role": "user", "content": question}], "temperature": 0}
        options = {"max_tokens": max_tokens, "stream": True, "stream_options": {"include_usage": True}}
        made.append(json.dumps(request | options))
    return made


def _warm(side: Side) -> float:
    """Tokens a second of a few short answers, one at a time."""
    result = side.run(1, bodies("warm", 3, 24), 24)
    return sum(answer.tokens for answer in result.answers) / result.seconds


def _round(sides: list[Side], label: str, mode: str, figures: dict[str, Any], quick: bool) -> None:
    for clients, requests in CLIENTS.items():
        asked = bodies(f"{label} c{clients}", requests, MAX_TOKENS)
        for side in sides:
            result = side.run(clients, asked, MAX_TOKENS)
            result.require()
            if len(result.answers) != requests:
                raise RuntimeError(f"{side.name}: {len(result.answers)} of {requests} answers")
            tokens = sum(answer.tokens for answer in result.answers)
            if tokens < requests * MAX_TOKENS * 0.6:
                raise RuntimeError(
                    f"{side.name}: {tokens} tokens from {requests} requests cannot be compared"
                )
            figures["tokens_per_s"][f"{mode}/{clients}/{side.name}"].append(tokens / result.seconds)
    asked = bodies(f"{label} first", 3 if quick else TTFT_REQUESTS, 4)
    for side in sides:
        result = side.run(1, asked, 4)
        result.require()
        firsts = [answer.first * 1000 for answer in result.answers]
        figures["ttft_ms"][f"{mode}/{side.name}"].append(quantile(firsts, 0.5))
