"""Runs the project's checks, all or the ones named, shows what each took, and fails if any failed.

    python scripts/checks.py              every check, then every test
    python scripts/checks.py lint types   only those

All tests run as two sessions of pytest at once: those of `BESIDE` mostly wait, for brokers that are away,
for services that start, for jobs. What the second session says is shown when the first has ended. The
closing line of each, and what it says of real parts, is repeated at the very end, after the table, and the
sum of both; each must succeed.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
PYTHON = str(BIN / "python")

BESIDE = (
    "tests/cli",
    "tests/e2e/test_demo.py",
    "tests/evaluation",
    "tests/faults",
    "tests/retrieval",
    "tests/training",
)

Command = Sequence[str]


def mypy(*arguments: str) -> Command:
    return [PYTHON, "-m", "mypy", *arguments]


def checks() -> Mapping[str, Sequence[Command]]:
    """Name → the commands that must all succeed."""
    unit = [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("*/tests"))]
    packages = (
        "servicekit",
        "gateway",
        "model_service",
        "retrieval_service",
        "training_service",
        "eval_service",
        "sixfold_cli",
    )
    return {
        "lint": [
            [str(BIN / "ruff"), "check", "--quiet", "."],
            [str(BIN / "ruff"), "format", "--check", "--quiet", "."],
        ],
        "shell": [[str(BIN / "shellcheck"), *shell_scripts()]],
        "types": [
            mypy(*(part for name in packages for part in ("-p", name))),
            ["env", "MYPYPATH=tests", *mypy("scripts", "benchmarks", "tests/parts")],
        ],
        "layers": [[str(BIN / "lint-imports"), "--no-cache"]],
        "settings": [[PYTHON, "scripts/settings_page.py", "--check"]],
        "alone": [["bash", "scripts/alone.sh"]],
        "unit": [pytest(*unit)],
        "tests": [pytest("tests")],
    }


def shell_scripts() -> list[str]:
    found = [
        path
        for folder in ("scripts", "benchmarks", "deploy")
        for path in sorted(ROOT.glob(f"{folder}/**/*.sh"))
    ]
    return [str(path.relative_to(ROOT)) for path in (*found, ROOT / ".ci" / "run")]


def pytest(*paths: str) -> Command:
    colour = ["--color=yes"] if sys.stdout.isatty() else []
    return [PYTHON, "-m", "pytest", "-q", "--durations=5", *colour, *paths]


def main() -> int:
    known = checks()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="CHECK", help=", ".join(known))
    names = parser.parse_args().names
    if unknown := [name for name in names if name not in known]:
        parser.error(f"no check called {', '.join(unknown)}; there are {', '.join(known)}")
    commands = {name: known[name] for name in names or known}
    if not names:
        commands = {name: commands[name] for name in commands if name not in ("unit", "tests")}
    took: dict[str, tuple[bool, float]] = {}
    closing: list[str] = []
    for name, steps in commands.items():
        print(f"\n== {name}", flush=True)
        began = time.monotonic()
        ok = True
        for step in steps:
            passed, last = run(step)
            ok &= passed
            closing += [last] if "pytest" in step else []
        took[name] = (ok, time.monotonic() - began)
    if not names:
        print("\n== pytest", flush=True)
        began = time.monotonic()
        passed, closing = all_tests()
        took["pytest"] = (passed, time.monotonic() - began)
    report(took, closing)
    return 0 if all(ok for ok, _ in took.values()) else 1


def all_tests() -> tuple[bool, list[str]]:
    """Every test, in two sessions at once: whether both succeeded, and the closing lines of each."""
    ignored = [f"--ignore={folder}" for folder in BESIDE]
    with tempfile.TemporaryFile("w+", errors="replace") as kept:
        # A cache of its own: what failed last is remembered by the first session alone.
        beside = start(pytest("-p", "no:cacheprovider", *BESIDE), kept)
        try:
            passed, last = run(pytest(*ignored))
            print("\n== pytest, the session beside it", flush=True)
            passed_beside = beside.wait() == 0
        finally:
            if beside.poll() is None:
                beside.terminate()
                beside.wait()
        kept.seek(0)
        return passed and passed_beside, [last, shown(kept)]


def start(command: Command, output: int | IO[str]) -> subprocess.Popen[str]:
    """Begins a command; what it says, errors too, goes to `output`."""
    told = " ".join(
        str(Path(part).relative_to(ROOT)) if part.startswith(str(ROOT)) else part for part in command
    )
    print(f"+ {told}", flush=True)
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, errors="replace",
        stdout=output, stderr=subprocess.STDOUT,
    )  # fmt: skip


def run(command: Command) -> tuple[bool, str]:
    """Runs one command, shows its output as it comes; whether it succeeded, and its closing lines."""
    try:
        process = start(command, subprocess.PIPE)
    except OSError as error:
        print(f"cannot run {command[0]}: {error.strerror}", flush=True)
        return False, ""
    assert process.stdout
    closing = shown(process.stdout)
    return process.wait() == 0, closing


def shown(lines: Iterable[str]) -> str:
    """Prints what a command says; its last line, after the one about real parts if there is one."""
    last = parts = ""
    for line in lines:
        print(line, end="", flush=True)
        last = line.rstrip() or last
        if line.startswith(("SKIPPED PARTS", "every real part ran")):  # tests/parts/report.py
            parts = line
    return parts + last


def report(took: Mapping[str, tuple[bool, float]], closing: Sequence[str]) -> None:
    total = sum(seconds for _, seconds in took.values())
    print("\n== what each took", flush=True)
    for name, (ok, seconds) in took.items():
        print(f"  {name:<10} {seconds:7.1f} s  {'ok' if ok else 'FAILED'}")
    print(f"  {'in all':<10} {total:7.1f} s")
    if failed := [name for name, (ok, _) in took.items() if not ok]:
        alone = "unit tests" if failed[0] == "pytest" else failed[0]
        print(f"FAILED: {', '.join(failed)}  (one alone: .venv/bin/python scripts/checks.py {alone})")
    for lines in closing:
        print(lines)
    if len(closing) > 1:
        print(added_up(closing))


def added_up(closing: Sequence[str]) -> str:
    """The counts of several sessions' closing lines, as pytest would say them of one."""
    counts: Counter[str] = Counter()
    for lines in closing:
        found = re.findall(r"(\d+) (failed|passed|skipped|deselected|xfailed|xpassed|error)", lines)
        if not found:
            return "not every session told what it ran"
        counts.update({word: int(number) for number, word in found})
    order = ("failed", "error", "passed", "skipped", "deselected", "xfailed", "xpassed")
    return "all sessions: " + ", ".join(f"{counts[word]} {word}" for word in order if counts[word])


if __name__ == "__main__":
    sys.exit(main())
