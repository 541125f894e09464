"""The benchmarks measure what they say: the mock, the client's counting, the tables."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pypdfium2
import pytest

from benchmarks.common.busy import busy
from benchmarks.common.load import Answer, Result, run_load
from benchmarks.common.process import Process
from benchmarks.common.report import rewrite
from benchmarks.common.stats import quantile, spread
from benchmarks.gateway import measure, tables
from benchmarks.gateway.sides import start_upstream
from benchmarks.gateway.upstream import CHUNKS
from benchmarks.generation import tables as generation_tables
from benchmarks.retrieval import data, ingest, quality
from benchmarks.retrieval import tables as retrieval_tables


@pytest.fixture
def upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Process, int]]:
    monkeypatch.chdir(Path(__file__).parents[2])
    process, port = start_upstream(tmp_path)
    yield process, port
    process.stop()
    assert process.popen.returncode is not None


def test_client_counts_what_the_mock_sends(upstream: tuple[Process, int]) -> None:
    process, port = upstream
    before = process.cpu_seconds()
    plain, paced = measure.SCENARIOS[0], measure.SCENARIOS[2]
    result = run_load(port, plain.bodies(20), connections=3, token="t")
    result.require()
    assert [a.finish for a in result.answers] == ["stop"] * 20
    streams = run_load(port, paced.bodies(3), connections=2, token="t")
    streams.require(chunks=CHUNKS)
    assert all(a.tokens == CHUNKS and 0 < a.first < a.seconds for a in streams.answers)
    assert measure._count(port) == 23
    assert process.cpu_seconds() > before
    assert process.rss_mib() > 5


def test_no_two_questions_are_alike() -> None:
    bodies = [body for scenario in measure.SCENARIOS for body in scenario.bodies(50)]
    assert len(set(bodies)) == len(bodies)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500, 0.1, 0.1, 200, 200, "stop", ""),
        Answer(200, 0.1, 0.1, 200, 200, "stop", "hit"),
        Answer(200, 0.1, 0.1, 199, 200, "stop", "miss"),
    ],
)
def test_what_must_not_be_counted_is_refused(answer: Answer) -> None:
    with pytest.raises(RuntimeError):
        Result([answer], 1.0).require(chunks=200)


def test_busy_ends_with_its_block() -> None:
    with busy(True):
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
        assert children
    left = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    assert not set(children) & set(left)


def test_tables_give_ratios_and_keep_losses() -> None:
    figures = {
        "cpu_ms": {
            "idle/request_c1/sixfold gateway": [1.0, 1.2, 0.8],
            "idle/request_c1/sixfold": [2.0, 2.0, 2.0],
            "idle/request_c1/litellm": [1.0, 1.0, 1.0],
        },
        "p50_ms": {},
        "rss_mib": {"sixfold gateway": 50.0, "sixfold": 100.0, "litellm": 400.0},
        "cold_start_s": {"sixfold": [2.0], "litellm": [20.0]},
    }
    first = tables.tables(figures)[0]
    assert first.rows[0][1] == "1.00 (0.80–1.20)"
    assert first.rows[0][4:6] == ["1.0×", "0.5×"]
    assert first.rows[1][4:6] == ["8.0×", "4.0×"]
    assert "0.5×" in first.markdown()
    speeds = {
        f"idle/{n}/{side}": [v, v]
        for n in (1, 4, 16)
        for side, v in zip(generation_tables.SIDES, (90, 100, 45), strict=True)
    }
    firsts = {
        f"idle/{side}": [v] for side, v in zip(generation_tables.SIDES, (30.0, 24.0, 60.0), strict=True)
    }
    rows = generation_tables.tables({"tokens_per_s": speeds, "ttft_ms": firsts})[0].rows
    assert rows[0][4:6] == ["-10.0 %", "2.00×"]
    assert rows[-1][4] == "+6.0 ms"


def test_page_keeps_everything_outside_its_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- gateway -->\nold\n<!-- /gateway -->\nafter\n")
    rewrite(page, "gateway", "new\n")
    assert page.read_text() == "before\n<!-- gateway -->\nnew\n<!-- /gateway -->\nafter\n"
    with pytest.raises(RuntimeError):
        rewrite(page, "generation", "new")


def test_statistics() -> None:
    assert spread([3.0, 1.0, 2.0]) == (2.0, 1.0, 3.0, 3)
    assert quantile([4.0, 1.0, 3.0, 2.0], 0.5) == 3.0


def test_the_page_shows_the_figures_it_is_kept_with() -> None:
    root = Path(__file__).parents[2]
    page = (root / "docs/benchmarks.md").read_text()
    parts = (
        ("gateway", tables.tables),
        ("generation", generation_tables.tables),
        ("retrieval", retrieval_tables.tables),
    )
    for name, make in parts:
        kept = root / "docs" / "benchmarks" / f"{name}.json"
        if kept.exists():
            for table in make(json.loads(kept.read_text())["figures"]):
                assert table.markdown().strip() in page, f"docs/benchmarks.md and {kept.name} differ"


def test_retrieval_says_plainly_that_it_needs_the_data(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for folder in ("", str(tmp_path)):
        monkeypatch.setenv("SIXFOLD_DATA", folder)
        with pytest.raises(SystemExit, match="SIXFOLD_DATA"):
            data.data_folder()


def collection(words: list[str]) -> data.Collection:
    """Each word is a document, and asked for; vectors say the same."""
    rows = np.eye(len(words), dtype=np.float32)
    return data.Collection(
        "small",
        "en",
        [f"{number}-0" for number in range(len(words))],
        [""] * len(words),
        [f"all about {word}" for word in words],
        [f"tell me about {word}" for word in words],
        [frozenset({f"{number}-0"}) for number in range(len(words))],
        rows,
        rows,
    )


def test_quality_is_1_where_everything_is_found_and_relevance_knows_strangers() -> None:
    small = collection(["zebra", "violin", "harbour", "lantern", "compass", "orchard", "glacier", "saddle"])
    figures = quality.measure_quality(small)
    for way in ("text", "vectors", "held_out", "default", "rrf"):
        assert figures[way] == {"ndcg@10": 1.0, "recall@1": 1.0, "recall@5": 1.0}
    known, strangers = data.halved(small)
    assert list(known.ids) == ["0-0", "2-0", "4-0", "6-0"]
    assert quality.measure_relevance(known, strangers) == {"refused": 0.0, "accepted": 0.0}


def test_retrieval_tables_keep_losses() -> None:
    ways = {way: {"ndcg@10": 0.5} for way in retrieval_tables.WAYS}
    ways["held_out"] = {"ndcg@10": 0.4}
    figures = {
        "quality": {"scifact": ways},
        "relevance": {"a, b": {"refused": 0.034, "accepted": 0.72}},
        "ingest": {
            "pages": 200,
            "pages_per_s": 12.34,
            "step_s": {"parse": 1.0, "embed": 3.0},
            "first_answer_s": [{"indexed": 0.5, "first_word": 1.0, "answered": 2.0, "cited": 1.0}],
        },
        "qps": {f"idle/{side}": [100.0] for side in retrieval_tables.SIDES}
        | {"idle/lancedb": [400.0, 400.0]},
        "cpu_ms": {f"idle/{side}": [2.0] for side in retrieval_tables.SIDES} | {"idle/lancedb": [9.0, 9.0]},
        "side_ndcg": dict.fromkeys(retrieval_tables.SIDES, 0.7),
        "versions": {"lancedb": "1.0"},
    }
    first, second, third, fourth, fifth = retrieval_tables.tables(figures)
    assert first.rows[0][6] == "-0.100"
    assert second.rows[0] == ["a asked about b", "3.4%", "72.0%"]
    lance = ["LanceDB, hybrid (1.0)", "0.700", "400 (400–400)", "", "0.2×", "10×", "9.00 (9.00–9.00)", "4.5×"]
    assert third.rows[2] == lance
    assert fourth.columns == ("200 pages of PDF in one batch", "pages/s", "embed", "parse")
    assert fourth.rows == [["share of the work", "12.3", "75%", "25%"]]
    assert fifth.rows[-1] == ["answers that cite it", "1 of 1"]


def test_pages_made_for_the_ingest_are_pdf_that_can_be_read() -> None:
    pages = ["Some (bracketed) words \\ on a page. " * 40, "The second page."]
    document = pypdfium2.PdfDocument(ingest.pdf(pages))
    assert len(document) == 2
    assert document[0].get_textpage().get_text_range().count("(bracketed)") == 40
    assert "second page" in document[1].get_textpage().get_text_range()
