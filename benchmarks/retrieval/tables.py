"""The retrieval figures as tables."""

from __future__ import annotations

from typing import Any

from benchmarks.common.report import Table
from benchmarks.common.stats import spread

GOAL_NDCG = 0.72
GOAL_LANCE = 10
COLLECTIONS = (
    ("scifact", "SciFact, English", ("ndcg@10",)),
    ("xquad-en", "XQuAD, English", ("ndcg@10", "recall@1", "recall@5")),
    ("xquad-zh", "XQuAD, Chinese", ("ndcg@10", "recall@1", "recall@5")),
)
WAYS = ("text", "vectors", "held_out", "default", "rrf")
SIDES = {
    "sixfold": "Sixfold, hybrid",
    "chroma": "Chroma, vectors alone",
    "lancedb": "LanceDB, hybrid",
    "bm25s": "bm25s with numba, text alone",
}


def tables(figures: dict[str, Any]) -> list[Table]:
    """Quality, speed, and the whole way of a document where it was measured."""
    parts = [_quality(figures["quality"]), _speed(figures)]
    if "relevance" in figures:
        parts.insert(1, _relevance(figures["relevance"]))
    if "ingest" in figures:
        parts += _ingest(figures["ingest"])
    return parts


def _quality(quality: dict[str, Any]) -> Table:
    head = (
        "",
        "BM25",
        "vectors",
        "both, weight held out",
        "both, default weight",
        "reciprocal ranks",
        "held out − better arm",
        "goal",
    )
    rows = []
    for name, title, measures in COLLECTIONS:
        if name not in quality:
            continue
        for measure in measures:
            values = [quality[name][way][measure] for way in WAYS]
            goal = "≥ −.002" if name != "scifact" else f"≥ −.002 and ≥ {GOAL_NDCG:.2f}"
            gain = values[2] - max(values[:2])
            cells = [f"{value:.3f}" for value in values]
            rows.append([f"{title}: {measure}", *cells, f"{gain:+.3f}", goal if measure == "ndcg@10" else ""])
    return Table("Retrieval: quality on judged queries", head, rows)


def _relevance(relevance: dict[str, Any]) -> Table:
    head = ("Whether to answer at all", "own questions refused", "other questions not refused")
    rows = [
        [f"{what.replace(', ', ' asked about ')}", f"{one['refused']:.1%}", f"{one['accepted']:.1%}"]
        for what, one in sorted(relevance.items())
    ]
    return Table("Retrieval: the relevance decision, with its default bars and weights", head, rows)


def _ingest(ingest: dict[str, Any]) -> list[Table]:
    steps = sorted(ingest["step_s"].items(), key=lambda one: -one[1])
    total = sum(ingest["step_s"].values())
    head = (f"{ingest['pages']} pages of PDF in one batch", "pages/s", *(step for step, _ in steps))
    shares = [f"{seconds / total:.0%}" for _, seconds in steps]
    batch = Table(
        "Retrieval: a batch of documents, from request to searchable, and each step's share",
        head,
        [["share of the work", f"{ingest['pages_per_s']:.1f}", *shares]],
    )
    moments = {
        "indexed": "until it is indexed",
        "first_word": "until the first word of an answer",
        "answered": "until the answer's end",
    }
    rounds = ingest["first_answer_s"]
    rows = [[title, spread([one[name] for one in rounds]).text(2)] for name, title in moments.items()]
    rows.append(["answers that cite it", f"{sum(one['cited'] for one in rounds):.0f} of {len(rounds)}"])
    return [batch, Table("Retrieval: seconds from a file's upload", ("", "median (smallest–largest)"), rows)]


def _speed(figures: dict[str, Any]) -> Table:
    head = (
        "SciFact, one query at a time, top 10",
        "nDCG@10",
        "searches/s",
        "searches/s, busy machine",
        "Sixfold ÷ it",
        "goal",
        "CPU ms a search",
        "it ÷ Sixfold",
    )
    own, own_cpu = (spread(figures[what]["idle/sixfold"]).median for what in ("qps", "cpu_ms"))
    rows = []
    for side, title in SIDES.items():
        cells = [
            spread(values).text(0) if (values := figures["qps"].get(f"{mode}/{side}")) else ""
            for mode in ("idle", "busy")
        ]
        peer = spread(figures["qps"][f"idle/{side}"]).median
        ratio = "" if side == "sixfold" else f"{own / peer:.1f}×"
        version = figures["versions"].get(side, "")
        goal = f"{GOAL_LANCE}×" if side == "lancedb" else ""
        name = f"{title}{f' ({version})' if version else ''}"
        cpu = spread(figures["cpu_ms"][f"idle/{side}"])
        more = "" if side == "sixfold" else f"{cpu.median / own_cpu:.1f}×"
        rows.append([name, f"{figures['side_ndcg'][side]:.3f}", *cells, ratio, goal, cpu.text(2), more])
    return Table("Retrieval: speed, embedding not counted; median (smallest–largest)", head, rows)
