"""Brings documents into a store: uploads side by side, attaches in batches, waits until they are indexed.

A version that was there before is deleted only once the new one can be found. Stopped half-way, what
was attached is indexed all the same, and the next run goes on from there.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from sixfold_cli.client import Api
from sixfold_cli.documents.plan import Entry, Plan, Task
from sixfold_cli.documents.progress import Progress
from sixfold_cli.documents.stores import files_of
from sixfold_cli.errors import CliError, Exit

UPLOADS = 4
"""Files on their way at once."""
_AHEAD = 4 * UPLOADS
_BATCH = 50
"""Files attached with one call."""


@dataclass(frozen=True)
class Failed:
    """A file that could not be brought in."""

    path: str
    reason: str
    message: str


@dataclass
class Report:
    """What was done, as paths."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    """Still not indexed when patience ended. They will be."""


def carry_out(api: Api, store: str, plan: Plan, progress: Progress, patience: float) -> Report:
    """Does what the plan says. `patience`: seconds without any progress after which it waits no longer.

    CliError when the gateway refuses or cannot be reached; a file that fails is in the report.
    """
    run = _Run(api, f"/v1/vector_stores/{quote(store, safe='')}", store, progress)
    run.report.unchanged = list(plan.unchanged)
    run.report.failed += [_failure(path, entry) for path, entry in plan.still_failed]
    for identity, labels in plan.relabel.items():
        api.change("POST", f"{run.path}/files/{identity}", {"attributes": labels})
    run.upload(plan.tasks)
    run.wait(plan.waiting, patience)
    for path, identity in plan.delete:
        run.delete(identity)
        if path not in run.report.removed:
            run.report.removed.append(path)
    return run.report


class _Run:
    def __init__(self, api: Api, path: str, store: str, progress: Progress) -> None:
        self.api, self.path, self.store, self.progress = api, path, store, progress
        self.report = Report()
        self._tasks: dict[str, Task] = {}
        """By the file's id: all that are attached."""
        self._batches: list[str] = []
        self._sent = 0

    def upload(self, tasks: Sequence[Task]) -> None:
        """All of them, and each batch is attached as soon as it is full."""
        ready: dict[str, Task] = {}
        try:
            for task, outcome in self._uploads(tasks):
                self._sent += 1
                self.progress.uploaded(self._sent)
                if isinstance(outcome, CliError):
                    self.report.failed.append(Failed(task.document.path, outcome.reason, outcome.message))
                else:
                    ready[outcome] = task
                if len(ready) == _BATCH:
                    self._attach(ready)
            if ready:
                self._attach(ready)
        finally:
            for identity in ready:  # uploaded for nothing
                with contextlib.suppress(CliError):
                    self.delete(identity)

    def _uploads(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, str | CliError]]:
        """Each task with its file's id, or why there is none, as they come."""
        left, running = iter(tasks), dict[Future[str], Task]()
        pool = ThreadPoolExecutor(UPLOADS, thread_name_prefix="upload")
        try:
            while True:
                while len(running) < _AHEAD and (task := next(left, None)):
                    running[pool.submit(self._upload, task)] = task
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    task = running.pop(future)
                    try:
                        yield task, future.result()
                    except CliError as error:
                        if error.code is not Exit.FAILED or error.reason in ("CONNECTION_LOST", "TIMEOUT"):
                            raise
                        yield task, error
        finally:
            pool.shutdown(cancel_futures=True)

    def _upload(self, task: Task) -> str:
        try:
            with task.document.source.open("rb") as file:
                return str(self.api.upload(task.document.source.name, file)["id"])
        except OSError as error:
            raise CliError(f"cannot be read: {error.strerror}", reason="UNREADABLE") from None

    def _attach(self, ready: dict[str, Task]) -> None:
        """Empties `ready`."""
        files = [{"file_id": identity, "attributes": task.attributes} for identity, task in ready.items()]
        batch = self.api.change("POST", f"{self.path}/file_batches", {"files": files})
        self._batches.append(str(batch["id"]))
        self._tasks |= ready
        ready.clear()

    def wait(self, others: dict[str, str], patience: float) -> None:
        """Until each batch, and each of `others`, has found its end; older versions end with them."""
        pause, limit, best = 0.25, time.monotonic() + patience, -len(others) - 1
        open_batches = dict.fromkeys(self._batches, 0)
        finished = 0
        while open_batches or others:
            for batch in list(open_batches):
                counts = self.api.call("GET", f"{self.path}/file_batches/{batch}")["file_counts"]
                open_batches[batch] = counts["total"] - counts["in_progress"]
                if counts["in_progress"] == 0:
                    finished += open_batches.pop(batch)
                    self._settle(batch)
            if others and not open_batches:
                there = {str(each["id"]) for each in files_of(self.api, self.store, filter="in_progress")}
                others = {identity: path for identity, path in others.items() if identity in there}
            done = finished + sum(open_batches.values())
            self.progress.indexed(done)
            if done - len(others) > best:
                best, limit, pause = done - len(others), time.monotonic() + patience, 0.25
            elif time.monotonic() > limit:
                break
            if open_batches or others:
                time.sleep(pause)
                pause = min(2.0, pause * 1.5)
        self.report.waiting = [task.document.path for task in self._tasks.values()] + list(others.values())

    def _settle(self, batch: str) -> None:
        for entry in self.api.pages(f"{self.path}/file_batches/{batch}/files"):
            task = self._tasks.pop(str(entry["id"]), None)
            if task is None:
                continue
            outdated = task.useless
            if entry["status"] == "completed":
                (self.report.changed if task.older else self.report.added).append(task.document.path)
                outdated += task.older
            else:
                self.report.failed.append(_failure(task.document.path, entry))
            for identity in outdated:
                self.delete(identity)

    def delete(self, identity: str) -> None:
        """The file, out of every store. One that is gone is fine."""
        try:
            self.api.change("DELETE", f"/v1/files/{quote(identity, safe='')}")
        except CliError as error:
            if error.status != 404:
                raise


def _failure(path: str, entry: Entry) -> Failed:
    if entry["status"] == "cancelled":
        return Failed(path, "CANCELLED", "It was called off.")
    error: dict[str, Any] = entry.get("last_error") or {}
    reason = error.get("reason") or error.get("code") or "FAILED"
    return Failed(path, str(reason), str(error.get("message") or "It could not be indexed."))
