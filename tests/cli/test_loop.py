"""The loop as a person walks it on the command line: rows, a better model, its promotion, the way back."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from parts.platform import Platform
from parts.tiny_platform import BASE, tiny_platform

pytestmark = [pytest.mark.real_model, pytest.mark.slow, pytest.mark.timeout(600)]

TOWNS = ("Oslo", "Quito", "Lagos", "Perth", "Minsk", "Dakar", "Turin", "Kyoto", "Lima", "Accra")
BAD_LINE = 6
POLICY = """
minimum_items: 10
rules:
  - {name: better, criterion: passed, require: better}
approvals: {people: 1, role: admin}
"""


@pytest.fixture(scope="module")
def tiny(prepared_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    running = tiny_platform(tmp_path_factory.mktemp("walk"), prepared_models).start()
    (running.home / "policies" / "walk.yaml").write_text(POLICY)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three of four have the same label: what the smallest of models learns. One line is no JSON."""
    lines = []
    for number in range(80):
        often = number % 4 > 0
        text = f"{'open' if often else 'lost'} {TOWNS[number % 10]} {number * 7919}"
        lines.append(json.dumps({"text": text, "label": "a" if often else "b"}))
    lines.insert(BAD_LINE - 1, "{oops")
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    path.write_text("\n".join(lines))
    return path


def told(platform: Platform, *arguments: str) -> Any:
    return json.loads(platform.run(*arguments, "--json").stdout)


def answered(platform: Platform) -> str:
    """The model that answers to the name now, without its version."""
    found = told(platform, "ask", "open Lagos 5", "--model", "support", "--max-tokens", "3")
    return str(found["model"]).partition("@")[0]


def test_from_rows_to_a_promoted_model_and_back(tiny: Platform, rows: Path, tmp_path: Path) -> None:
    made = tiny.run("datasets", "create", "intents", "--file", str(rows), "--test-share", "0.4",
                    "--keep-near-duplicates")  # fmt: skip
    assert "40 train, 8 validation, 32 test" in made.stdout
    assert f"rows.jsonl, line {BAD_LINE}: not valid JSON" in made.stdout
    assert len(tiny.run("datasets", "rows", "intents", "--part", "test").stdout.splitlines()) == 32

    trained = tiny.run("train", "intents", "--base", BASE, "--method", "full", "--epochs", "10",
                       "--batch-size", "1", "--learning-rate", "30", "--suffix", "walk", "--seed", "1",
                       timeout=400)  # fmt: skip
    assert trained.stdout.startswith("about "), "what it takes is said first"
    assert "The model answers" in trained.stderr
    found = re.search(rf"trained (ft:{BASE}:default:walk:\S+) in .*validation", trained.stdout)
    assert found, trained.stdout
    model = found[1]
    assert model in tiny.run("models").stdout

    page = tmp_path / "out.html"
    options = ("--max-tokens", "3", "--report", str(page), "--min-pass", "0.99", "--json")
    done = tiny.run("eval", "intents", "--model", model, "--against", BASE, *options, check=False)
    assert done.returncode == 1, "three of four pass, and more are asked for"
    compared = json.loads(done.stdout)
    (passed,) = [each for each in compared["comparison"] if each["name"] == "passed"]
    assert passed["difference"] > 0.5
    assert passed["p_value"] < 0.01
    assert page.read_text().lstrip().lower().startswith("<!doctype html>")
    jobs = tiny.run("jobs").stdout
    assert all(each["id"] in jobs for each in compared["runs"])
    assert model in jobs

    runs = [part for each in compared["runs"] for part in ("--run", each["id"])]
    promoted = tiny.run("models", "promote", "support", model, *runs, "--policy", "walk")
    assert "awaiting approval" in promoted.stdout
    release = promoted.stdout.split()[0]
    assert "promoted" in tiny.run("models", "approve", release, "--comment", "read the report").stdout
    _until(lambda: answered(tiny) == model)

    assert "thumbs down" in tiny.run("feedback", "last", "--down", "--comment", "wrong").stdout
    tree = tiny.run("lineage", "last").stdout
    for fact in (
        model,
        "data set intents",
        "40 train",
        release,
        "approved by owner",
        "thumbs down",
        "measured by",
    ):
        assert fact in tree, tree

    assert "rolled back" in tiny.run("models", "rollback", "support", "--reason", "a try").stdout
    _until(lambda: answered(tiny) == BASE)
    audit = told(tiny, "audit", "--alias", "support")["data"]
    assert [each["action"] for each in audit][::-1][-3:] == ["approved", "promoted", "rolled_back"]


def test_a_training_is_called_off(tiny: Platform, rows: Path) -> None:
    good = rows.with_name("good.jsonl")
    good.write_text("\n".join(line for line in rows.read_text().splitlines() if line != "{oops"))
    job = told(tiny, "train", str(good), "--base", BASE, "--epochs", "50", "--detach")["id"]
    tiny.run("jobs", "cancel", job)
    watched = tiny.run("jobs", "watch", job, check=False)
    assert watched.returncode == 1
    assert "cancelled" in watched.stderr
    assert tiny.run("jobs", "resume", job, check=False).returncode == 1, "what has ended does not go on"


def test_what_people_correct_becomes_a_data_set(tiny: Platform) -> None:
    """As the tenant whose content a new home keeps, and by the token alone that says so."""
    token = tiny.mint("demo", "admin")
    demo = replace(tiny, env={**tiny.env, "SIXFOLD_TOKEN": token})
    for town in TOWNS[:3]:
        demo.run("ask", f"lost my card in {town}", "--max-tokens", "2")
        demo.run("feedback", "last", "--correction", f"Call us from {town}.")

    def all_there() -> bool:
        options = ("--test-share", "0", "--validation-share", "0", "--keep-near-duplicates", "--json")
        made = demo.run("datasets", "create", "corrected", "--feedback", *options, check=False)
        return bool(json.loads(made.stdout).get("rows", {}).get("train") == 3)

    _until(all_there, 90)
    rows = demo.run("datasets", "rows", "corrected", "--part", "train").stdout
    assert all(f"Call us from {town}." in rows for town in TOWNS[:3])
    assert told(tiny, "datasets", "list", "--name", "corrected")["data"] == [], "another tenant's"


def _until(condition: Any, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)
