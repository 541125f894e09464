"""Quality once, since it is the same each time; then rounds of searches by turns."""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.common.budget import rounds
from benchmarks.common.busy import busy
from benchmarks.retrieval.data import Collection, halved, scifact, xquad
from benchmarks.retrieval.ingest import measure_ingest
from benchmarks.retrieval.quality import measure_quality, measure_relevance
from benchmarks.retrieval.sides import SIDES, Side, prepare
from retrieval_service.search.tuning import mean, ndcg

PAUSE = 1.0
"""Seconds between what the sides prepare and what is measured."""
LEAST = 0.5
"""nDCG@10 that every side reaches if it answered at all."""


def measure(*, quick: bool) -> dict[str, Any]:
    """Everything; searches a second as a list of rounds each."""
    science = scifact()
    collections = [science] if quick else [science, xquad("en"), xquad("zh")]
    figures: dict[str, Any] = {"quality": {one.name: measure_quality(one) for one in collections}}
    figures["ingest"] = measure_ingest(science, quick=quick)
    if not quick:
        figures["relevance"] = _relevance(*collections)
    with tempfile.TemporaryDirectory(prefix="sixfold-bench-") as temporary:
        figures |= _speed(science, Path(temporary), quick)
    return figures


def _relevance(science: Collection, english: Collection, chinese: Collection) -> dict[str, Any]:
    """Own questions and those about other documents: of the same kind, and of another."""
    return {
        "xquad-en, other articles": measure_relevance(*halved(english)),
        "xquad-zh, other articles": measure_relevance(*halved(chinese)),
        "xquad-en, scifact": measure_relevance(english, science),
        "scifact, xquad-en": measure_relevance(science, english),
    }


def _speed(collection: Collection, folder: Path, quick: bool) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "qps": defaultdict(list),
        "cpu_ms": defaultdict(list),
        "side_ndcg": {},
        "versions": {},
    }
    prepare(collection, folder)
    sides: list[Side] = []
    try:
        for name in SIDES:
            sides.append(Side.start(name, folder))
            figures["versions"][name] = sides[-1].version
            _round(sides[-1], folder, collection)  # warm
        for mode, planned, seconds in (("idle", 2 if quick else 7, 240), ("busy", 1 if quick else 3, 120)):
            for number in rounds("retrieval", mode, planned, seconds):
                for side in sides:
                    side.renew(folder)
                time.sleep(PAUSE)
                turned = sides[number % len(sides) :] + sides[: number % len(sides)]
                with busy(mode == "busy"):
                    for side in turned:
                        speed, cpu, quality = _round(side, folder, collection)
                        figures["qps"][f"{mode}/{side.name}"].append(speed)
                        figures["cpu_ms"][f"{mode}/{side.name}"].append(cpu)
                        figures["side_ndcg"][side.name] = quality
    finally:
        for side in sides:
            side.stop()
    return figures


def _round(side: Side, folder: Path, collection: Collection) -> tuple[float, float, float]:
    """Searches a second, milliseconds of CPU for one, nDCG@10. A side that finds nonsense is not measured."""
    answer = side.round(folder)
    found = answer["found"]
    quality = mean(ndcg(one, relevant) for one, relevant in zip(found, collection.relevant, strict=True))
    if quality < LEAST:
        raise RuntimeError(f"{side.name} finds too little to be compared: nDCG@10 {quality:.3f}")
    return len(found) / answer["seconds"], answer["cpu"] / len(found) * 1000, quality
