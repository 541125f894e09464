"""One eval over rows with known answers: made, run for one model or two, compared."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sixfold_cli.client import Api
from sixfold_cli.errors import CliError
from sixfold_cli.jobs.rows import Item, labels_of, written
from sixfold_cli.jobs.sources import Named

_PATIENCE = 30.0
_BRIEF, _USUAL = 48, 256
"""Tokens of an answer: where only labels are wanted, and otherwise."""


@dataclass(frozen=True)
class Wanted:
    """What is to be measured."""

    name: str
    rows: Named
    part: str
    items: Sequence[Item]
    """The rows as they were read here."""
    criteria: Sequence[Mapping[str, Any]]
    models: Sequence[str]
    """One; or the one to compare with, and the one that is compared."""
    constrain: bool = False
    """Whether an answer can be nothing but one of the labels."""
    max_tokens: int | None = None
    temperature: float = 0.0
    system: str | None = None


@dataclass(frozen=True)
class Started:
    """An eval with its runs, by model, in the order asked for."""

    eval_id: str
    file_id: str
    """Of rows that were sent from here; empty where a data set's are read where they are."""
    runs: Mapping[str, str]

    def path(self, run_id: str) -> str:
        return f"/v1/evals/{self.eval_id}/runs/{run_id}"


def start(api: Api, wanted: Wanted) -> Started:
    """Orders the runs. Rows of a data set are read where they are, others are sent."""
    file_id = ""
    if not _in_place(wanted):
        file_id = str(api.upload("rows.jsonl", io.BytesIO(written(wanted.items)), "evals")["id"])
    body = {
        "name": wanted.name,
        "data_source_config": {
            "type": "custom",
            "item_schema": {"type": "object", "required": ["messages", "question", "answer"]},
            "include_sample_schema": True,
        },
        "testing_criteria": list(wanted.criteria),
    }
    made = api.change("POST", "/v1/evals", body, patience=_PATIENCE)
    runs: dict[str, str] = {}
    for model in wanted.models:
        order = {"name": model, "data_source": source(wanted, model, file_id)}
        run = api.change("POST", f"/v1/evals/{made['id']}/runs", order, patience=_PATIENCE)
        runs[model] = str(run["id"])
    return Started(str(made["id"]), file_id, runs)


def source(wanted: Wanted, model: str, file_id: str) -> dict[str, Any]:
    """A run's `data_source`. `file_id` is empty where a data set's rows are asked where they are."""
    labels_only = all(each["type"] == "labels" for each in wanted.criteria)
    params: dict[str, Any] = {
        "temperature": wanted.temperature,
        "max_completion_tokens": wanted.max_tokens or (_BRIEF if labels_only else _USUAL),
    }
    if wanted.constrain:
        params["response_format"] = {"type": "choice", "choices": labels_of(wanted.items)}
    asked: dict[str, Any] = {"type": "item_reference", "item_reference": "item.messages"}
    if not file_id and wanted.system is not None:
        asked = {"type": "template", "template": _asked_with(wanted.system)}
    sent = {"type": "file_id", "id": file_id}
    there = {"type": "dataset", "id": wanted.rows.value, "part": wanted.part}
    return {
        "type": "completions",
        "source": sent if file_id else there,
        "model": model,
        "input_messages": asked,
        "sampling_params": params,
    }


def _in_place(wanted: Wanted) -> bool:
    """Whether a data set's rows can be asked as they lie there: a system's turn goes before one question."""
    if wanted.rows.kind != "dataset":
        return False
    if wanted.system is None:
        return True
    # What looks like a place of a template would be taken for one.
    plain = "{{" not in wanted.system
    return plain and all([turn["role"] for turn in each["messages"]][1:] == ["user"] for each in wanted.items)


def _asked_with(system: str) -> list[dict[str, str]]:
    question = {"type": "message", "role": "user", "content": "{{item.question}}"}
    return [{"type": "message", "role": "system", "content": system}, question]


def compare(api: Api, started: Started) -> list[dict[str, Any]]:
    """The second run minus the first, criterion by criterion."""
    base, candidate = started.runs.values()
    found = api.call("GET", f"{started.path(candidate)}/comparison?base_run_id={base}")
    return list(found["data"])


def save_report(api: Api, started: Started, target: Path) -> None:
    """The page of the last run, beside the first where there are two."""
    *others, run = started.runs.values()
    beside = f"?base_run_id={others[0]}" if others else ""
    try:
        with target.open("wb") as file:
            for piece in api.content(f"{started.path(run)}/report{beside}"):
                file.write(piece)
    except OSError as error:
        raise CliError(f"{target}: {error.strerror}.", reason="UNWRITABLE") from None


def figure(run: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """One of a run's figures."""
    figures: list[dict[str, Any]] = (run.get("sixfold") or {}).get("figures") or []
    return next((each for each in figures if each["name"] == name), None)


def passed(run: Mapping[str, Any]) -> float:
    """The share of items that passed every criterion."""
    counts = run["result_counts"]
    return float(counts["passed"]) / max(1, int(counts["total"]))
