"""How far it is: a bar on a terminal, a line now and then elsewhere, nothing where nobody looks."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

_QUIET = 5.0
"""Seconds between two lines."""


class Progress(Protocol):
    """Two counts to the same total."""

    def uploaded(self, count: int) -> None: ...

    def indexed(self, count: int) -> None: ...


class Silent:
    """For `--json` and for the background."""

    def uploaded(self, count: int) -> None:
        pass

    def indexed(self, count: int) -> None:
        pass


class _Lines:
    def __init__(self, total: int) -> None:
        self._total, self._last, self._counts = total, time.monotonic(), [0, 0]

    def uploaded(self, count: int) -> None:
        self._say(0, count)

    def indexed(self, count: int) -> None:
        self._say(1, count)

    def _say(self, which: int, count: int) -> None:
        self._counts[which] = count
        if time.monotonic() - self._last >= _QUIET:
            self._last = time.monotonic()
            sent, done = self._counts
            print(f"{sent} of {self._total} uploaded, {done} indexed", file=sys.stderr, flush=True)


@contextmanager
def showing(total: int, *, silent: bool) -> Iterator[Progress]:
    """The progress of `total` files, on standard error."""
    if silent or not total:
        yield Silent()
    elif not sys.stderr.isatty():
        yield _Lines(total)
    else:
        with _bars(total) as bars:
            yield bars


@contextmanager
def _bars(total: int) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as RichProgress

    columns = (TextColumn("{task.description:<9}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with RichProgress(*columns, console=Console(stderr=True)) as rich:
        sent, done = rich.add_task("uploaded", total=total), rich.add_task("indexed", total=total)

        class Bars:
            def uploaded(self, count: int) -> None:
                rich.update(sent, completed=count)

            def indexed(self, count: int) -> None:
                rich.update(done, completed=count)

        yield Bars()
