"""How far jobs are: bars on a terminal, a line now and then elsewhere, nothing where nobody looks."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from sixfold_cli.jobs.views import View
from sixfold_cli.jobs.words import curve, percent

_QUIET, _SILENT = 5.0, 30.0
"""Seconds between two lines about a job: while its figures change, and while nothing does."""


class Display(Protocol):
    """Where progress goes."""

    def show(self, label: str, view: View, losses: list[float]) -> None:
        """One job as it stands."""

    def say(self, label: str, text: str) -> None:
        """A line of a job's diary."""


class Silent:
    """For `--json`."""

    def show(self, label: str, view: View, losses: list[float]) -> None:
        pass

    def say(self, label: str, text: str) -> None:
        pass


class Lines:
    """On standard error, so that results alone are on standard output."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[str, str, float]] = {}

    def show(self, label: str, view: View, losses: list[float]) -> None:
        state, text, at = self._last.get(label, ("", "", 0.0))
        said = words(view)
        if view.state == state and time.monotonic() - at < (_SILENT if said == text else _QUIET):
            return
        self._last[label] = (view.state, said, time.monotonic())
        self.say(label, said)

    def say(self, label: str, text: str) -> None:
        print(f"{label}: {text}", file=sys.stderr, flush=True)


def words(view: View) -> str:
    """A job's moment in one line."""
    parts = [view.state.replace("_", " ")]
    if not view.ended and view.fraction:
        parts.append(percent(view.fraction))
    return " · ".join([*parts, view.said] if view.said else parts)


@contextmanager
def showing(*, silent: bool) -> Iterator[Display]:
    """Progress of one or more jobs."""
    if silent:
        yield Silent()
    elif sys.stderr.isatty():
        with _board() as board:
            yield board
    else:
        yield Lines()


@contextmanager
def _board() -> Iterator[Display]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn

    console = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24 if console.width > 100 else 10),
        TextColumn("{task.fields[said]}", markup=False),
    )
    with Progress(*columns, console=console) as rich:

        class Board:
            def __init__(self) -> None:
                self._tasks: dict[str, TaskID] = {}

            def show(self, label: str, view: View, losses: list[float]) -> None:
                told = view.said if view.status == "running" and view.said else words(view)
                said = f"{told}  {curve(losses)}"
                if label not in self._tasks:
                    self._tasks[label] = rich.add_task(label, total=1.0, said=said)
                rich.update(self._tasks[label], completed=view.fraction, said=said, refresh=True)

            def say(self, label: str, text: str) -> None:
                rich.console.print(text, markup=False, style="dim")

        yield Board()
