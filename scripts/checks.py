"""Runs the project's checks, all or the ones named, shows what each took, and fails if any failed.

    python scripts/checks.py              every check, then every test
    python scripts/checks.py lint types   only those

pytest's closing line, and what it says of real parts, is repeated at the very end, after the table.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
PYTHON = str(BIN / "python")

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
    if not names:  # the quick tests and the others in one session: one closing line for all
        commands = {name: commands[name] for name in commands if name not in ("unit", "tests")}
        commands["pytest"] = [pytest()]
    took: dict[str, tuple[bool, float]] = {}
    closing = ""
    for name, steps in commands.items():
        print(f"\n== {name}", flush=True)
        start = time.monotonic()
        ok = True
        for step in steps:
            passed, last = run(step)
            ok &= passed
            closing = last if "pytest" in step else closing
        took[name] = (ok, time.monotonic() - start)
    report(took, closing)
    return 0 if all(ok for ok, _ in took.values()) else 1


def run(command: Command) -> tuple[bool, str]:
    """Runs one command, shows its output as it comes; whether it succeeded, and its last line."""
    shown = " ".join(
        str(Path(part).relative_to(ROOT)) if part.startswith(str(ROOT)) else part for part in command
    )
    print(f"+ {shown}", flush=True)
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}
    last = parts = ""
    try:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, text=True, errors="replace",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
    except OSError as error:
        print(f"cannot run {shown}: {error.strerror}", flush=True)
        return False, last
    assert process.stdout
    for line in process.stdout:
        print(line, end="", flush=True)
        last = line.rstrip() or last
        if line.startswith(("SKIPPED PARTS", "every real part ran")):  # tests/parts/report.py
            parts = line
    return process.wait() == 0, parts + last


def report(took: Mapping[str, tuple[bool, float]], closing: str) -> None:
    total = sum(seconds for _, seconds in took.values())
    print("\n== what each took", flush=True)
    for name, (ok, seconds) in took.items():
        print(f"  {name:<10} {seconds:7.1f} s  {'ok' if ok else 'FAILED'}")
    print(f"  {'in all':<10} {total:7.1f} s")
    if failed := [name for name, (ok, _) in took.items() if not ok]:
        print(f"FAILED: {', '.join(failed)}  (one alone: .venv/bin/python scripts/checks.py {failed[0]})")
    if closing:
        print(closing)


if __name__ == "__main__":
    sys.exit(main())
