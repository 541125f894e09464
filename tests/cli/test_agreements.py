"""What the command line makes by itself is what the services take and read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from eval_service.criteria import specs
from eval_service.runs.learned import to_item
from eval_service.runs.source import parse_source
from sixfold_cli.client import Api
from sixfold_cli.jobs import criteria, measure
from sixfold_cli.jobs.rows import read
from sixfold_cli.jobs.sources import Named
from sixfold_cli.jobs.tuning import METHODS
from training_service.datasets.rows import Place
from training_service.datasets.shapes import Limits, to_row
from training_service.trainers.plan import Method

NOBODY = cast(Api, None)
SHAPES: list[dict[str, Any]] = [
    {"text": "When?", "label": "hours"},
    {"prompt": "When?", "completion": "At nine."},
    {"prompt": "When?", "chosen": "At nine.", "rejected": "Never."},
    {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "When?"},
            {"role": "assistant", "content": "At nine."},
        ]
    },
]


def test_every_criterion_is_one_that_the_service_knows() -> None:
    asked = [kind.replace("MODEL", "default") for kind in criteria.KINDS] + ["similarity:0.9"]
    made = criteria.parse(asked, ["a", "b"])
    assert [spec.name for spec in specs.parse(made)] == [each["name"] for each in made]


@pytest.mark.parametrize("row", SHAPES, ids=lambda row: "+".join(row))
def test_a_row_here_is_the_item_that_a_data_set_would_make_of_it(row: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row))
    (item,) = read(NOBODY, Named("path", str(path), path.name), "test")
    kept = json.loads(to_row(row, Place("rows.jsonl", 1), Limits()).written())
    theirs = to_item(kept)
    assert item == {name: theirs[name] for name in ("messages", "question", "answer")}


@pytest.mark.parametrize("system", [None, "Be brief."])
@pytest.mark.parametrize("kind", ["dataset", "path"])
def test_a_run_is_one_that_the_service_takes(kind: str, system: str | None) -> None:
    turns = [{"role": "system", "content": system}] if system else []
    items = [
        {"messages": [*turns, {"role": "user", "content": text}], "question": text, "answer": text}
        for text in ("a", "b")
    ]
    named = Named(kind, f"ds_{'0' * 24}", "rows")
    wanted = measure.Wanted(
        "name",
        named,
        "test",
        items,
        criteria.parse(["label"], ["a", "b"]),
        ["m"],
        constrain=True,
        system=system,
    )
    order = measure.source(wanted, "m", "" if kind == "dataset" else f"file-{'0' * 24}")
    taken = parse_source(order)
    assert taken.source.type == ("dataset" if kind == "dataset" else "file_id")


def test_methods_are_those_of_the_trainer() -> None:
    assert set(METHODS) == {each.value for each in Method}
