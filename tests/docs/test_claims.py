"""Every claim in the documents names a command, and every such command finds tests to run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from _pytest.mark.expression import Expression

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/promises.md", "CONTRIBUTING.md", "proto/README.md")


def commands(tool: str) -> list[str]:
    found = {
        c for page in PAGES for c in re.findall(rf"`({re.escape(tool)} [^`]*)`", (ROOT / page).read_text())
    }
    return sorted(found)


def test_every_promise_has_a_command() -> None:
    rows = [line for line in (ROOT / "docs/promises.md").read_text().splitlines() if line.startswith("| ")]
    assert len(rows) > 10
    assert all(re.search(r"`[^`]+` \|$", row) for row in rows[1:])


def test_every_path_named_exists() -> None:
    words = {w for c in commands(".venv/bin/pytest") for w in shlex.split(c)[1:] if "/" in w}
    assert len(words) > 8
    assert not [w for w in sorted(words) if not (ROOT / w).exists()]


@pytest.fixture(scope="module")
def collected() -> list[str]:
    """The id of every test there is."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    return [line for line in done.stdout.splitlines() if "::" in line]


@pytest.mark.parametrize("command", [c for c in commands(".venv/bin/pytest") if " -k " in c])
def test_the_command_finds_tests(command: str, collected: list[str]) -> None:
    words = shlex.split(command.replace("\\|", "|"))[1:]
    at = words.index("-k")
    paths, chosen = [word for word in words[:at] if word != "-q"], Expression.compile(words[at + 1])
    under = [each for each in collected if any(each.startswith(path) for path in paths)]

    def chosen_by_name(test: str) -> bool:
        return chosen.evaluate(lambda name, **_: name.lower() in test.lower())

    assert any(map(chosen_by_name, under))


def test_every_make_target_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = {t for c in commands("make") for t in c.split()[1:]}
    assert named
    missing = [target for target in sorted(named) if not re.search(rf"^{target}:", makefile, re.M)]
    assert not missing


def test_links_between_pages_lead_somewhere() -> None:
    pages = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("*/README.md"),
    ]
    broken = []
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)} → {target}")
    assert not broken
