"""What items together say, and that work stands still when told to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from eval_service.criteria.base import Ask, Sample
from eval_service.criteria.specs import parse
from eval_service.runs.items import Item, answer_and_judge, index_of, item_id
from eval_service.runs.rows import of
from eval_service.runs.source import Completions, parse_source
from eval_service.runs.summary import Summary, summarise
from eval_service.runs.values import PASSED, Measured, compared
from eval_service.runs.work import work_off
from servicekit.errors import Reason, SixfoldError

CRITERIA = parse(
    [
        {"type": "labels", "name": "intent", "reference": "{{item.label}}"},
        {
            "type": "text_similarity",
            "name": "near",
            "input": "{{sample.output_text}}",
            "reference": "{{item.label}}",
            "evaluation_metric": "fuzzy_match",
            "pass_threshold": 0.5,
        },
        {
            "type": "string_check",
            "name": "city",
            "input": "{{sample.output_json.city}}",
            "reference": "Rome",
            "operation": "eq",
        },
    ]
)
TARGET = parse_source(
    {
        "type": "completions",
        "model": "m",
        "source": {"type": "file_id", "id": "f"},
        "input_messages": {"type": "item_reference", "item_reference": "item.text"},
    }
)


class Model:
    async def answer(self, model: str, ask: Ask) -> Sample:
        said = ask.turns[-1][1]
        if said == "away":
            raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "Away.")
        if said == "long":
            raise SixfoldError(Reason.CONTEXT_LENGTH_EXCEEDED, "Too long.")
        return Sample(said, model="m", version="v", prompt_tokens=3, completion_tokens=2, seconds=0.5)

    async def embed(self, model: str, texts: Sequence[str]) -> list[list[float]]:
        raise AssertionError("nobody asks")


async def items(*pairs: tuple[str, str], criteria: int = 2) -> tuple[list[Item], Summary]:
    rows = of([{"item": {"text": text, "label": label}} for text, label in pairs], None, answered=False)
    assert isinstance(TARGET, Completions)
    found = [
        await answer_and_judge(
            row, "evalrun_1", CRITERIA[:criteria], Model(), target=TARGET, embedding_model="", seed=0
        )
        for row in rows
    ]
    return found, summarise(list(reversed(found)), CRITERIA[:criteria])


async def test_labels_have_macro_f1_and_a_table() -> None:
    _, summary = await items(("a", "a"), ("a", "b"), ("b", "b"), ("z", "c"))
    figures = {figure.name: figure for figure in summary.figures}
    assert (figures["intent"].value, figures["intent"].passed) == (0.5, 2)
    assert figures["intent.macro_f1"].value == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert (
        figures["intent.macro_f1"].low <= figures["intent.macro_f1"].value <= figures["intent.macro_f1"].high
    )
    table = {row["label"]: row for row in summary.tables["intent"]}
    assert table["a"] == {
        "label": "a",
        "precision": 0.5,
        "recall": 1.0,
        "f1": pytest.approx(2 / 3),
        "support": 1,
    }
    assert summary.usage == {"prompt": 12, "completion": 8, "cached": 0}
    assert figures["latency_seconds"].value == 0.5
    assert not figures["latency_seconds"].higher_is_better


async def test_one_class_alone_is_a_summary_too() -> None:
    _, summary = await items(("a", "a"), ("a", "a"))
    figures = {figure.name: figure for figure in summary.figures}
    assert figures["intent.macro_f1"].value == 1.0


async def test_what_has_no_answer_has_not_passed_and_gains_nothing() -> None:
    found, summary = await items(("a", "a"), ("long", "a"))
    assert dict(summary.counts) == {"total": 2, "passed": 1, "failed": 0, "errored": 1}
    assert found[1]["reason"] == "CONTEXT_LENGTH_EXCEEDED"
    assert sorted(summary.series["intent"].values.values()) == [0.0, 1.0]
    assert sorted(summary.series[PASSED].values.values()) == [0.0, 1.0]
    assert len(summary.series["latency_seconds"].values) == 1
    with pytest.raises(SixfoldError):
        await items(("away", "a"))


async def test_an_answer_that_lacks_what_is_looked_at_has_failed() -> None:
    found, _ = await items(('{"city": "Rome"}', "a"), ("no JSON", "a"), criteria=3)
    assert [item["results"][2]["passed"] for item in found] == [True, False]
    assert not found[1]["reason"]


async def test_runs_are_compared_on_what_both_have() -> None:
    _, one = await items(("a", "a"), ("x", "b"), ("a", "c"))
    _, two = await items(("a", "a"), ("x", "b"), ("b", "c"))
    measured = [Measured(f"r{n}", "e", "m", "v", each.series) for n, each in enumerate((one, two))]
    assert Measured.from_json(measured[0].to_json()) == measured[0]
    assert compared(*measured)["intent"].items == 2


def test_items_have_ids_of_their_run() -> None:
    id = item_id("evalrun_1", 77)
    assert len(id) == len("outputitem_") + 24
    assert index_of("evalrun_1", id) == 77
    assert index_of("evalrun_2", id) is None
    assert index_of("evalrun_1", "outputitem_zz") is None


async def test_work_is_bounded_and_stops_when_told() -> None:
    running, most, kept = 0, 0, []

    async def do(one: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return one

    async def keep(one: int) -> None:
        kept.append(one)

    assert await work_off(range(20), do, keep, parallel=3, stopped=lambda: False)
    assert (sorted(kept), most) == (list(range(20)), 3)
    kept.clear()
    assert not await work_off(range(20), do, keep, parallel=3, stopped=lambda: len(kept) >= 5)
    assert 5 <= len(kept) < 20


async def test_one_failure_ends_all_and_what_was_done_is_kept() -> None:
    kept = []

    async def do(one: int) -> int:
        await asyncio.sleep(one / 50)
        if one == 3:
            raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "Away.")
        return one

    async def keep(one: int) -> None:
        kept.append(one)

    with pytest.raises(SixfoldError):
        await work_off(range(50), do, keep, parallel=8, stopped=lambda: False)
    assert set(kept) >= {0, 1, 2}
    assert len(kept) < 10
