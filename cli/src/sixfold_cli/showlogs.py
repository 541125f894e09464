"""`sixfold logs`: the end of one log or of all together, and what comes after."""

from __future__ import annotations

import sys
import time
from collections import deque
from pathlib import Path

from sixfold_cli.console import Console
from sixfold_cli.errors import CliError, Exit
from sixfold_cli.home import Home
from sixfold_cli.logfile import Tail, for_people, severity
from sixfold_cli.services import NAMES

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def show(home: Home, service: str | None, *, count: int, follow: bool, level: int, raw: bool) -> None:
    """Prints the last `count` lines at `level` or above, merged by time, and follows until Ctrl-C."""
    files = _files(home, service)
    console = Console(sys.stdout)

    def put(name: str, line: str) -> None:
        if raw:
            console.write(line)
        else:
            for part in for_people(line):
                console.service(name, part)

    last: deque[tuple[str, str]] = deque(maxlen=count)
    for _, name, line in sorted(_old_lines(files, level, count), key=lambda each: each[0]):
        last.append((name, line))
    for name, line in last:
        put(name, line)
    tails = {name: Tail(path) for name, path in files.items()} if follow else {}
    while follow:
        for name, tail in tails.items():
            for line in tail.lines():
                if _wanted(line, level):
                    put(name, line)
        time.sleep(0.2)


def _files(home: Home, service: str | None) -> dict[str, Path]:
    there = {path.stem: path for path in sorted(home.logs.glob("*.log"))}
    if service is None:
        chosen = {name: path for name, path in there.items() if name in NAMES}
    else:
        chosen = {service: there[service]} if service in there else {}
    if not chosen:
        raise CliError(
            f"there is no log of {service}." if service else f"there are no logs under {home.logs}.",
            f"There are: {', '.join(there)}."
            if there
            else "Nothing was started on this home yet: `sixfold up`.",
            reason="NO_LOG",
            code=Exit.FAILED if there else Exit.NOT_RUNNING,
        )
    return chosen


def _old_lines(files: dict[str, Path], level: int, count: int) -> list[tuple[str, str, str]]:
    """(time, name, line) of the last lines of each file. A line without a time keeps its neighbour's."""
    found: list[tuple[str, str, str]] = []
    for name, path in files.items():
        lines: deque[tuple[str, str, str]] = deque(maxlen=count)
        when = ""
        with path.open(errors="replace") as file:
            for line in file:
                if line.startswith('{"time":"'):
                    when = line[9:32]
                if _wanted(line, level):
                    lines.append((when, name, line.rstrip("\n")))
        found += lines
    return found


def _wanted(line: str, level: int) -> bool:
    found = severity(line)
    return found >= level or (found == 0 and level <= 20 and bool(line.strip()))
