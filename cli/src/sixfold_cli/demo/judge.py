"""Both models are measured on golden rows, side by side, and the gate decides."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sixfold_cli.client import Api
from sixfold_cli.demo.asking import ANSWER_TOKENS, Form
from sixfold_cli.demo.tell import Teller, progress
from sixfold_cli.errors import CliError
from sixfold_cli.jobs.measure import figure
from sixfold_cli.jobs.views import view
from sixfold_cli.jobs.watch import Watch
from sixfold_cli.jobs.words import small

RELEASES = "/v1/releases"
_GATE_SECONDS = 120.0
CRITERION = "intent"

POLICY = """\
# What a model must show before it may answer to the demo's name. Written by `sixfold demo`.
minimum_items: {items}
# Chance of calling a rule kept that is not, over all rules together.
alpha: 0.05
rules:
  # More golden rows right than what answers today: McNemar's exact test on the same rows.
  - {{name: better, criterion: passed, require: better}}
  # Where training and serving share a machine, times scatter: not twice as slow, by a paired bootstrap.
  - {{name: latency, criterion: latency_seconds, require: not_worse, margin: 1.0, relative: true}}
  # Known, not sampled.
  - {{name: size, criterion: parameters, require: not_worse, margin: 0.10, relative: true, unknown: pass}}
approvals: {{people: 1, role: admin}}
canary:
  metric: feedback
  require: better
  alpha: 0.05
  # Shares of the callers, and how many judged answers of the candidate lead to the next.
  steps:
    - {{share: 0.25, answers: 6}}
    - {{share: 0.50, answers: 40}}
  most_answers: 200
  guards:
    - {{metric: errors, margin: 0.02}}
"""


@dataclass(frozen=True)
class Asked:
    """One model, asked in one way."""

    label: str
    model: str
    form: Form


@dataclass(frozen=True)
class Measured:
    """What a run found. `share` is that of right answers, with its 95% interval."""

    label: str
    run_id: str
    right: int
    items: int
    share: float
    low: float
    high: float

    def words(self) -> str:
        """ "113 of 120 right, 94% [88%, 97%]"."""
        return f"{self.right} of {self.items} right, {self.share:.0%} [{self.low:.0%}, {self.high:.0%}]"


def create_eval(api: Api, name: str, intents: Sequence[str]) -> str:
    """What is measured: whether the answer is the row's intent. Its id."""
    criterion = {
        "type": "labels", "name": CRITERION, "reference": "{{item.answer}}", "labels": list(intents),
    }  # fmt: skip
    config = {"type": "custom", "item_schema": {"type": "object"}, "include_sample_schema": True}
    body = {"name": name, "data_source_config": config, "testing_criteria": [criterion]}
    return str(api.change("POST", "/v1/evals", body)["id"])


def measure(
    api: Api, teller: Teller, eval_id: str, dataset_id: str, asked: Sequence[Asked], *, silent: bool
) -> list[Measured]:
    """A run each, over the same test part. They run one after the other."""
    paths: dict[str, str] = {}
    for each in asked:
        order = {"name": each.label, "data_source": _source(each, dataset_id)}
        run = api.change("POST", f"/v1/evals/{eval_id}/runs", order)
        paths[each.label] = f"/v1/evals/{eval_id}/runs/{run['id']}"
    with progress(teller, silent=silent) as display:
        ended = Watch(api, paths, display).run()
    return [_measured(label, run) for label, run in ended.items()]


def compare(api: Api, eval_id: str, base: Measured, candidate: Measured) -> str:
    """The paired comparison in a sentence."""
    path = f"/v1/evals/{eval_id}/runs/{candidate.run_id}/comparison?base_run_id={base.run_id}"
    for each in api.call("GET", path)["data"]:
        if each["name"] == "passed":
            return (
                f"{each['difference']:+.0%} [{each['low']:+.0%}, {each['high']:+.0%}], "
                f"{small(each['p_value'])}: "
                f"{each['wins']} rows only the candidate has right, {each['losses']} only the other"
            )
    return "no comparison"


def save_report(api: Api, eval_id: str, base: Measured, candidate: Measured, target: Path) -> None:
    """The candidate's page beside the other's."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = f"/v1/evals/{eval_id}/runs/{candidate.run_id}/report?base_run_id={base.run_id}"
    with target.open("wb") as file:
        for piece in api.content(path):
            file.write(piece)


def release(api: Api, alias: str, candidate: str, run_ids: Sequence[str], policy: str) -> dict[str, Any]:
    """Asks for it, and waits for what the gate says."""
    body = {"alias": alias, "candidate": candidate, "run_ids": list(run_ids), "policy": policy}
    made = api.change("POST", RELEASES, body)
    limit = time.monotonic() + _GATE_SECONDS
    while made["status"] == "evaluating":
        if time.monotonic() > limit:
            raise CliError(
                "the gate has not decided in time.", f"See `sixfold jobs watch {made['id']}`.", reason="GATE"
            )
        time.sleep(0.5)
        made = api.call("GET", f"{RELEASES}/{made['id']}")
    decided: dict[str, Any] = made
    return decided


def tell_gate(teller: Teller, found: Mapping[str, Any]) -> None:
    """Rule by rule."""
    teller.rows(
        [
            f"{'kept  ' if verdict['passed'] else 'broken'}  {verdict['rule']}: {verdict['reason']}"
            for verdict in found["verdicts"]
        ]
    )


def _source(asked: Asked, dataset_id: str) -> dict[str, Any]:
    turns = asked.form.turns("{{item.question}}")
    template = [{"type": "message", "role": turn["role"], "content": turn["content"]} for turn in turns]
    return {
        "type": "completions",
        "source": {"type": "dataset", "id": dataset_id, "part": "test"},
        "model": asked.model,
        "input_messages": {"type": "template", "template": template},
        "sampling_params": {
            "temperature": 0,
            "max_completion_tokens": ANSWER_TOKENS,
            "response_format": {"type": "choice", "choices": list(asked.form.intents)},
        },
    }


def _measured(label: str, run: Mapping[str, Any]) -> Measured:
    found, numbers = view(run), figure(run, "passed")
    if found.status != "succeeded" or numbers is None:
        raise CliError(
            f"the run '{label}' ended as {found.state}: {found.error or 'no reason was given'}",
            f"`sixfold jobs watch {found.id}` shows it.",
            reason="EVAL",
        )
    return Measured(
        label, str(run["id"]), int(numbers["passed"]), int(numbers["items"]),
        float(numbers["value"]), float(numbers["low"]), float(numbers["high"]),
    )  # fmt: skip
