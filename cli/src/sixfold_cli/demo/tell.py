"""Says what happens, in short lines, and keeps how long each step took."""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

from sixfold_cli.jobs.progress import Display, Silent, showing
from sixfold_cli.jobs.views import View
from sixfold_cli.jobs.words import curve

_WIDTH = 100
_LONG = 30.0
"""Seconds without a line, at most, while a training runs."""


@dataclass
class Teller:
    """Numbered steps on `out`, with the time since the start beside each."""

    out: TextIO = field(default_factory=lambda: sys.stdout)
    began: float = field(default_factory=time.monotonic)
    steps: list[tuple[str, float]] = field(default_factory=list)
    """(name, seconds) of each step that is over."""
    current: str = ""

    @contextmanager
    def step(self, name: str, title: str) -> Iterator[None]:
        """One step of the story. `name` is short, for the table."""
        number, start = len(self.steps) + 1, time.monotonic()
        self.current = title
        self._write(f"\n{number:>2}. {title}   [{clock(start - self.began)}]")
        yield
        self.steps.append((name, time.monotonic() - start))

    def say(self, text: str) -> None:
        """A sentence or two."""
        self._write(textwrap.fill(text, _WIDTH, initial_indent="    ", subsequent_indent="    "))

    def rows(self, lines: list[str]) -> None:
        """Lines that stay as they are."""
        if lines:
            self._write("\n".join(f"    {line}" for line in lines))

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.began

    def _write(self, text: str) -> None:
        print(text, file=self.out, flush=True)


def clock(seconds: float) -> str:
    """ "3:07"."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


@contextmanager
def progress(teller: Teller, *, silent: bool) -> Iterator[Display]:
    """Of jobs: bars on a terminal, otherwise a line for every tenth of the way."""
    if silent:
        yield Silent()
    elif sys.stderr.isatty():
        with showing(silent=False) as display:
            yield display
    else:
        yield _Tenths(teller)


class _Tenths:
    def __init__(self, teller: Teller) -> None:
        self._teller = teller
        self._told: dict[str, int] = {}
        self._last = time.monotonic()

    def show(self, label: str, view: View, losses: list[float]) -> None:
        tenth, now = int(view.fraction * 10), time.monotonic()
        further = tenth > self._told.get(label, 0) or (view.state == "running" and now - self._last > _LONG)
        if not view.said or view.ended or not further:
            return
        self._told[label], self._last = tenth, now
        self._teller.rows([f"{label}: {view.said}  {curve(losses)}".rstrip()])

    def say(self, label: str, text: str) -> None:
        """The diary stays with the job."""
