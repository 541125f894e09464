"""A report is one page that needs nothing else, whatever rows and names say."""

from __future__ import annotations

import re
from typing import Any

from eval_service.reports.facts import of_comparison, of_run
from eval_service.reports.page import render
from eval_service.runs.summary import Figure, Summary
from eval_service.runs.values import Measured, Series

EVIL = "<script>alert('x')</script>$\\frac{1}{2}$"


def report(name: str) -> dict[str, Any]:
    summary = Summary(
        {"total": 2, "passed": 1, "failed": 1, "errored": 0},
        [Figure(EVIL, 0.5, 0.1, 0.9, 2, 1), Figure("latency_seconds", 3.0, 2.0, 4.0, 2)],
        {"prompt": 3},
        {},
        {"intent": [{"label": EVIL, "precision": 1.0, "recall": 0.5, "f1": 0.66, "support": 2}]},
    )
    item = {
        "index": 1,
        "row": {"text": EVIL},
        "sample": {"output_text": EVIL},
        "results": [{"name": EVIL, "passed": False, "score": 0.0}],
        "passed": False,
        "reason": "",
    }
    about = {"id": "evalrun_1", "name": name, "model": "m", "model_version": "v", "data_sha256": "ab" * 32}
    return of_run(about, summary, [item, {**item, "passed": True}])


def test_what_a_row_says_stays_text_and_nothing_is_loaded() -> None:
    page = render(report(EVIL))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "<svg" in page
    assert page.count("<svg") == 1
    # Nothing is fetched: no address but those that name SVG's own vocabulary and fragments of the page.
    addresses = set(re.findall(r"""(?:src|href)=["']([^"']+)""", page))
    assert all(address.startswith("#") for address in addresses), addresses
    assert page == render(report(EVIL))


def test_a_comparison_shows_both_and_the_test() -> None:
    pair = (
        Measured("a", "e", "old", "1", {"right": Series({"x": 0.0, "y": 0.0})}),
        Measured("b", "e", "new", "1", {"right": Series({"x": 1.0, "y": 1.0})}),
    )
    facts = of_comparison(report("base"), report("candidate"), pair)
    assert facts["comparisons"][0]["wins"] == 2
    page = render(facts)
    assert "candidate against base" in page
    assert "mcnemar" in page


def test_long_rows_are_cut() -> None:
    told = report("x")
    assert len(told["failures"]) == 1
    long = of_run(
        told["run"],
        Summary({}, [], {}, {}),
        [{"index": 0, "row": "x" * 9000, "sample": {}, "results": [], "passed": False, "reason": "R"}],
    )
    assert len(long["failures"][0]["row"]) < 700
