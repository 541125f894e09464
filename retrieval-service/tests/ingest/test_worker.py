"""Workers with records and a pipeline of the test's own: turns, tries, ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any, cast

import pytest

from retrieval_service.documents.errors import DocumentError, FileFault, FileReason
from retrieval_service.ingest.pipeline import CalledOff, Done, Pipeline
from retrieval_service.ingest.worker import Observer, Workers, WorkLimits
from retrieval_service.stores.records import Completed, Outcome, Queue, Records, Upkeep
from retrieval_service.stores.types import Attachment, Chunking, FileRef, FileState
from servicekit.errors import Reason, SixfoldError

LIMITS = WorkLimits(
    workers=1, first_wait=0.001, longest_wait=0.002, poll=0.01, max_attempts=3, large_bytes=50
)


def waiting(name: str, tenant: str = "acme", store: str = "vs_1", size: int = 10) -> Attachment:
    return Attachment(
        tenant, store, name, FileRef(f"file-{name}", "x", size, "", "", 0), 0, FileState.IN_PROGRESS, True,
        "", {}, Chunking(200, 40),
    )  # fmt: skip


class Kept:
    """The queue, in memory."""

    def __init__(self, *files: Attachment) -> None:
        self.files = {file.id: file for file in files}
        self.ended: dict[str, str] = {}
        self.dead: list[str] = []

    async def queues(self) -> list[Queue]:
        counts: dict[tuple[str, str], int] = {}
        for file in self.files.values():
            counts[file.tenant, file.store_id] = counts.get((file.tenant, file.store_id), 0) + 1
        return [Queue(tenant, store, number) for (tenant, store), number in sorted(counts.items())]

    async def next_waiting(
        self, tenant: str, store_id: str, *, skip: Collection[str], max_bytes: int | None
    ) -> Attachment | None:
        mine = [
            file
            for file in self.files.values()
            if (file.tenant, file.store_id) == (tenant, store_id)
            and file.id not in skip
            and (max_bytes is None or file.file.bytes <= max_bytes)
        ]
        return min(mine, key=lambda file: file.file.bytes, default=None)

    async def begin(self, tenant: str, store_id: str, attachment_id: str) -> Attachment | None:
        file = self.files.get(attachment_id)
        if file is not None:
            file = self.files[attachment_id] = replace(file, attempts=file.attempts + 1)
        return file

    async def postpone(
        self, tenant: str, store_id: str, attachment_id: str, *, seconds: float, counted: bool
    ) -> None:
        if not counted:
            file = self.files[attachment_id]
            self.files[attachment_id] = replace(file, attempts=file.attempts - 1)

    async def fail(
        self, tenant: str, store_id: str, attachment_id: str, fault: FileFault, *, seconds: float, dead: bool
    ) -> bool:
        del self.files[attachment_id]
        self.ended[attachment_id] = fault.reason.value
        if dead:
            self.dead.append(attachment_id)
        return True


class Runs:
    """The pipeline: what happens to a file is the test's to say."""

    def __init__(self, kept: Kept, what: Callable[[Attachment], Exception | None]) -> None:
        self.kept = kept
        self.what = what
        self.order: list[str] = []

    async def run(self, attachment: Attachment) -> Done:
        self.order.append(attachment.id)
        await asyncio.sleep(0)
        error = self.what(attachment)
        if isinstance(error, CalledOff):
            del self.kept.files[attachment.id]
        if error is not None:
            raise error
        del self.kept.files[attachment.id]
        self.kept.ended[attachment.id] = "completed"
        outcome = Outcome(1, 0, 1, "en", "", "m", "v", attachment.id)
        return Done(Completed(attachment, ()), outcome)


async def work(
    kept: Kept, what: Callable[[Attachment], Exception | None], limits: WorkLimits = LIMITS
) -> tuple[Runs, list[tuple[str, str]]]:
    """Until nothing waits."""
    told: list[tuple[str, str]] = []
    runs = Runs(kept, what)
    observer = Observer(ended=lambda outcome, reason, seconds, size: told.append((outcome, reason)))
    workers = Workers(
        cast(Records, kept), cast(Upkeep, kept), cast(Pipeline, runs), limits, observer=observer
    )
    workers.start()
    async with asyncio.timeout(20):
        while kept.files:  # noqa: ASYNC110  the queue has no event
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.01)
    await workers.close()
    return runs, told


async def test_tenants_take_turns_then_stores_and_small_files_come_first() -> None:
    many = [waiting(f"a{n}", "acme", "vs_1", 10 + n) for n in range(5)]
    more = [waiting("b0", "acme", "vs_2")]
    other = [waiting("c0", "other", "vs_3"), waiting("c1", "other", "vs_3", 99)]
    runs, _ = await work(Kept(*reversed(many), *more, *other), lambda file: None)
    assert set(runs.order[:2]) == {"a0", "c0"}
    assert runs.order.index("b0") <= 3
    assert runs.order.index("c1") <= 4
    assert [name for name in runs.order if name.startswith("a")] == [f"a{n}" for n in range(5)]


async def test_a_large_file_does_not_take_every_worker() -> None:
    held = asyncio.Event()

    async def run(self: Runs, attachment: Attachment) -> Done:
        if attachment.file.bytes > 50:
            await held.wait()
        done = await Runs.run(self, attachment)
        if len(self.kept.files) == 2:
            held.set()  # all small ones are through
        return done

    kept = Kept(
        waiting("l0", size=100), waiting("l1", "b", "vs_2", 100), *(waiting(f"s{n}") for n in range(5))
    )
    runs = Runs(kept, lambda file: None)
    pipeline: Any = type("Slow", (), {"run": lambda _, attachment: run(runs, attachment)})()
    workers = Workers(cast(Records, kept), cast(Upkeep, kept), pipeline, replace(LIMITS, workers=2))
    workers.start()
    async with asyncio.timeout(20):
        while kept.files:  # noqa: ASYNC110  the queue has no event
            await asyncio.sleep(0.005)
    await workers.close()
    assert {"l0", "l1"} <= set(runs.order[-2:])


async def test_outages_never_fail_a_file() -> None:
    tries = {"n": 0}

    def away(file: Attachment) -> Exception | None:
        tries["n"] += 1
        return SixfoldError(Reason.SERVICE_UNAVAILABLE, "away") if tries["n"] < 30 else None

    kept = Kept(waiting("a"))
    _, told = await work(kept, away)
    assert kept.ended == {"a": "completed"}
    assert told == [("completed", "")]


async def test_a_file_of_its_own_fault_fails_at_once() -> None:
    kept = Kept(waiting("a"), waiting("b"))
    runs, told = await work(
        kept, lambda file: DocumentError(FileReason.NO_TEXT, "None.") if file.id == "a" else None
    )
    assert kept.ended == {"a": "NO_TEXT", "b": "completed"}
    assert runs.order.count("a") == 1
    assert sorted(told) == [("completed", ""), ("failed", "NO_TEXT")]


async def test_what_nobody_foresaw_is_given_up_after_some_tries() -> None:
    kept = Kept(waiting("a"))
    runs, _ = await work(kept, lambda file: RuntimeError("boom"))
    assert (kept.ended, kept.dead, len(runs.order)) == ({"a": "GAVE_UP"}, ["a"], 3)


async def test_a_file_that_ended_the_process_too_often_is_not_begun_again() -> None:
    kept = Kept(replace(waiting("a"), attempts=3))
    runs, _ = await work(kept, lambda file: None)
    assert (kept.ended, kept.dead, runs.order) == ({"a": "GAVE_UP"}, ["a"], [])


@pytest.mark.parametrize("error", [CalledOff(), SixfoldError(Reason.NOT_FOUND, "The store is gone.")])
async def test_what_was_called_off_is_no_failure(error: Exception) -> None:
    kept = Kept(waiting("a"))

    def gone(file: Attachment) -> Exception | None:
        kept.files.pop(file.id, None)
        kept.files.setdefault(file.id, file) if isinstance(error, CalledOff) else None
        return error

    _, told = await work(kept, gone)
    assert (kept.ended, told) == ({}, [("gone", "")])


async def test_a_try_that_the_end_of_the_service_cuts_short_does_not_count() -> None:
    kept = Kept(waiting("a"))
    begun = asyncio.Event()

    class Endless:
        async def run(self, attachment: Attachment) -> Done:
            begun.set()
            await asyncio.sleep(3600)
            raise AssertionError

    workers = Workers(cast(Records, kept), cast(Upkeep, kept), cast(Pipeline, Endless()), LIMITS)
    workers.start()
    async with asyncio.timeout(10):
        await begun.wait()
    assert kept.files["a"].attempts == 1
    await workers.close()
    assert kept.files["a"].attempts == 0
