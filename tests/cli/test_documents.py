"""`sixfold` with documents, over the real services."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from parts import documents, files
from parts.platform import Platform

from retrieval_service.parsing.kinds import EXTENSIONS
from sixfold_cli.docs_store import QUESTION
from sixfold_cli.documents.walk import KINDS


def test_the_command_line_knows_what_the_service_reads() -> None:
    assert set(EXTENSIONS) == KINDS


OFFICE = "# Offices\n\n## Lyon\n\nThe office in Lyon opens at {hour} in the morning.\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A handbook with things in it that are no documents, or broken ones."""
    top = tmp_path_factory.mktemp("in") / "handbook"
    (top / "travel").mkdir(parents=True)
    (top / ".git").mkdir()
    (top / "office.md").write_text(OFFICE.format(hour="seven"))
    trains = [files.PdfLine("Trips are booked by Ms. Okafor, and go by train.", 700)]
    (top / "travel" / "trains.pdf").write_bytes(files.pdf([[], trains]))
    (top / "travel" / "cars.docx").write_bytes(documents.word("Cars", "Company cars are painted turquoise."))
    (top / "scan.pdf").write_bytes(files.pdf([[]], scanned=True))
    (top / "logo.png").write_bytes(files.png())
    (top / "later.txt").touch()
    return top


@pytest.fixture(scope="module")
def brought(platform: Platform, folder: Path) -> Iterator[dict[str, Any]]:
    """The report of the first time."""
    done = platform.run(
        "ingest", str(folder), "--store", "handbook", "-a", "team=people", "--json", check=False
    )
    assert done.returncode == 1, "a file could not be read"
    yield json.loads(done.stdout)
    platform.run("stores", "delete", "handbook", "--files")


@pytest.mark.real_model
class TestFolder:
    def test_everything_is_in_or_said_why_not(self, platform: Platform, brought: dict[str, Any]) -> None:
        added = {"handbook/office.md", "handbook/travel/cars.docx", "handbook/travel/trains.pdf"}
        assert set(brought["added"]) == added
        assert [(each["path"], each["reason"]) for each in brought["failed"]] == [
            ("handbook/scan.pdf", "NO_TEXT")
        ]
        assert {each["path"]: each["reason"] for each in brought["skipped"]} == {
            "handbook/.git/": "HIDDEN",
            "handbook/later.txt": "EMPTY",
            "handbook/logo.png": "UNSUPPORTED",
        }
        shown = platform.run("files", "--store", "handbook").stdout
        assert "handbook/scan.pdf" in shown
        assert "handbook" in platform.run("stores").stdout

    def test_search_names_file_place_and_score(self, platform: Platform, brought: dict[str, Any]) -> None:
        shown = platform.run("search", "who books trips by train", "--store", "handbook", "-n", "1").stdout
        assert "handbook/travel/trains.pdf, page 2" in shown
        assert "Okafor" in shown
        shown = platform.run(
            "search", "office hours", "--store", "handbook", "-f", "team=people", "-n", "1"
        ).stdout
        assert "handbook/office.md · Offices › Lyon" in shown
        none = platform.run("search", "office hours", "--store", "handbook", "-f", "team=nobody").stdout
        assert none == "nothing was found\n"

    def test_an_answer_ends_with_its_sources(self, platform: Platform, brought: dict[str, Any]) -> None:
        question = "When does the office in Lyon open?"
        shown = platform.run("ask", "--store", "handbook", question, "--temperature", "0").stdout
        answer, _, sources = shown.partition("Sources:")
        assert "seven" in answer
        assert "[1] handbook/office.md · Offices › Lyon" in sources
        found = json.loads(platform.run("ask", "--store", "handbook", question, "--json").stdout)
        assert found["sources"][0]["attributes"]["team"] == "people"

    def test_again_is_cheap_and_follows_the_folder(
        self, platform: Platform, brought: dict[str, Any], folder: Path
    ) -> None:
        def ingest(*options: str) -> dict[str, Any]:
            arguments = (
                "ingest",
                str(folder),
                "--store",
                "handbook",
                "-a",
                "team=people",
                "--json",
                *options,
            )
            return dict(json.loads(platform.run(*arguments, check=False).stdout))

        before = len(platform.client().files.list().data)
        again = ingest()
        assert (again["added"], again["changed"], len(again["unchanged"])) == ([], [], 3)
        assert len(platform.client().files.list().data) == before, "nothing was uploaded"
        (folder / "office.md").write_text(OFFICE.format(hour="nine"))
        (folder / "travel" / "cars.docx").unlink()
        report = ingest("--prune")
        assert (report["changed"], report["removed"]) == (
            ["handbook/office.md"],
            ["handbook/travel/cars.docx"],
        )
        hits = platform.run("search", "when the office opens", "--store", "handbook", "--full").stdout
        assert "at nine" in hits
        assert "at seven" not in hits
        assert "turquoise" not in platform.run("search", "colour of cars", "--store", "handbook").stdout

    def test_a_store_that_is_not_there_is_one_line(self, platform: Platform) -> None:
        done = platform.run("ask", "--store", "nobody", "Who?", check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert "no store 'nobody'" in done.stderr


@pytest.mark.real_model
@pytest.mark.timeout(300)
def test_the_projects_own_pages_answer_the_first_question(platform: Platform) -> None:
    env = {**os.environ, "SIXFOLD_HOME": str(platform.home)}
    command = [sys.executable, "-m", "sixfold_cli.docs_store", platform.url]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = platform.run("ask", "--store", "docs", QUESTION, "--temperature", "0").stdout
    answer, _, sources = shown.partition("Sources:")
    assert "8080" in answer
    assert ".md" in sources
    platform.run("stores", "delete", "docs", "--files")
