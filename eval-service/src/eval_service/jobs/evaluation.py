"""A run: rows, answers, criteria, figures, a report."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import orjson

from eval_service.criteria.specs import parse
from eval_service.jobs.asking import CARD, JobModels, lines_of, run_async
from eval_service.reports import facts
from eval_service.runs import rows as reading
from eval_service.runs.items import Item, answer_and_judge
from eval_service.runs.rows import BadRows, Row
from eval_service.runs.source import Completions, DatasetRows, FileContent, Source, parse_source
from eval_service.runs.summary import summarise
from eval_service.runs.values import Measured
from eval_service.runs.work import work_off
from servicekit.errors import Reason, SixfoldError
from servicekit.jobs.child import Context, JobFault, Stopped


def run(context: Context) -> Mapping[str, Any]:
    """The handler. What is finished is never asked again: items are kept with every checkpoint."""
    source = parse_source(context.spec["data_source"])
    try:
        rows = _rows(context, source)
    except BadRows as bad:
        raise JobFault(bad.reason, bad.message) from None
    work = _Work(context, source, rows)
    run_async(work.answer, threads=context.spec["parallel"] + 2)
    return work.finish()


class _Work:
    def __init__(self, context: Context, source: Source, rows: list[Row]) -> None:
        self._context = context
        self._spec = context.spec
        self._target = source if isinstance(source, Completions) else None
        self._rows = rows
        self._criteria = parse(self._spec["testing_criteria"])
        self._items: dict[int, Item] = {}
        self._kept_at = time.monotonic()
        if context.resume is not None:
            for line in lines_of(context.resume.folder / "data"):
                if line:
                    item = orjson.loads(line)
                    self._items[item["index"]] = item
            context.event("info", f"Goes on behind {len(self._items)} of {len(rows)} items.")

    async def answer(self) -> None:
        """All rows that have no item yet."""
        models = JobModels(self._context)

        async def do(row: Row) -> Item:
            return await answer_and_judge(
                row,
                self._context.job_id,
                self._criteria,
                models,
                target=self._target,
                embedding_model=self._spec["embedding_model"],
                seed=self._spec["seed"],
            )

        try:
            done = await work_off(
                [row for row in self._rows if row.index not in self._items],
                do,
                self._keep,
                parallel=self._spec["parallel"],
                stopped=lambda: self._context.should_stop() is not None,
            )
        except SixfoldError:
            await asyncio.to_thread(self._checkpoint)
            raise
        if not done:
            if self._context.should_stop() != "cancel":
                await asyncio.to_thread(self._checkpoint)
            raise Stopped

    async def _keep(self, item: Item) -> None:
        self._items[item["index"]] = item
        passed = sum(bool(each["passed"]) for each in self._items.values())
        self._context.progress(
            0.95 * len(self._items) / len(self._rows), {"items": len(self._items), "passed": passed}
        )
        if time.monotonic() - self._kept_at >= self._spec["checkpoint_seconds"]:
            await asyncio.to_thread(self._checkpoint)

    def _checkpoint(self) -> None:
        resume = self._context.resume
        if len(self._items) > (resume.step if resume is not None else 0):
            self._context.checkpoint(len(self._items), _lines(self._items))
        self._kept_at = time.monotonic()

    def finish(self) -> Mapping[str, Any]:
        """Items, values and report into the object store; figures into the result."""
        context, items = self._context, [self._items[index] for index in sorted(self._items)]
        summary = summarise(items, self._criteria, seed=self._spec["seed"])
        asked: dict[str, Any] = next((item["sample"] for item in items if item["sample"].get("model")), {})
        model, version = str(asked.get("model", "")), str(asked.get("version", ""))
        versions = {item["sample"].get("version", "") for item in items if item["sample"].get("model")}
        if len(versions) > 1:
            raise JobFault(
                "MODEL_CHANGED", "The model was replaced while it was measured: measure the new one."
            )
        about = {
            "id": context.job_id,
            "name": self._spec["name"],
            "model": model,
            "model_version": version,
            "data_sha256": reading.digest(self._rows),
        }
        measured = Measured(
            context.job_id, self._spec["eval_id"], model, version, summary.series, self._parameters(model)
        )
        report = facts.of_run(about, summary, items)
        kept = {
            "items": _lines(self._items),
            "values": orjson.dumps(measured.to_json()),
            "report": orjson.dumps(report),
            "page": _page(report),
        }
        keys = {}
        for name, content in kept.items():
            path = context.workdir / f"{name}.out"
            path.write_bytes(content)
            keys[name] = context.store(path, f"{context.job_id}/{name}").key
        return {
            **about,
            "counts": dict(summary.counts),
            "figures": [asdict(figure) for figure in summary.figures],
            "usage": dict(summary.usage),
            "object_keys": keys,
        }

    def _parameters(self, model: str) -> int:
        if not model:
            return 0
        try:
            return int(self._context.call(CARD, {"model": model})["parameters"])
        except SixfoldError:
            return 0  # unknown; the policy says what that means


def _rows(context: Context, source: Source) -> list[Row]:
    schema = context.spec["item_schema"] or None
    answered = not isinstance(source, Completions)
    if isinstance(source.source, FileContent):
        content = [row.model_dump() for row in source.source.content]
        return reading.of(content, schema, answered=answered)
    path = context.workdir / "rows.jsonl"
    try:
        context.fetch(context.spec["file"]["object_key"], path)
    except SixfoldError as error:
        if error.reason is Reason.NOT_FOUND:
            raise JobFault("FILE_NOT_FOUND", "The rows do not exist any more.") from None
        raise
    return reading.read(
        lines_of(path),
        most=context.spec["max_rows"],
        schema=schema,
        answered=answered,
        learned=isinstance(source.source, DatasetRows),
    )


def _lines(items: Mapping[int, Item]) -> bytes:
    return b"".join(orjson.dumps(items[index]) + b"\n" for index in sorted(items))


def _page(report: Mapping[str, Any]) -> bytes:
    from eval_service.reports.page import render  # matplotlib takes its time: at the end only

    return render(report).encode()
