"""The end of the story: what was, what is, what it took, and where one answer comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sixfold_cli.demo.judge import Measured
from sixfold_cli.demo.tell import clock
from sixfold_cli.jobs.words import size


@dataclass
class Facts:
    """What the table shows. Questions are counted, runs are measured on golden rows."""

    questions: int = 0
    before: int = 0
    after: int = 0
    corrected: int = 0
    learned: bool = True
    """Whether the corrections are in the model that answers after."""
    after_short: int | None = None
    """Without the examples, where they were given."""
    runs: list[Measured] = field(default_factory=list)
    tokens_before: float = 0.0
    """Of a question as it was put first, on average."""
    tokens_after: float = 0.0
    bytes: dict[str, int] = field(default_factory=dict)
    steps: list[tuple[str, float]] = field(default_factory=list)
    seconds: float = 0.0


def lines(facts: Facts) -> list[str]:
    """Two columns, and a line under each part."""
    rows: list[tuple[str, str]] = [("On golden rows, which nobody learned from", "right, with 95% interval")]
    rows += [(run.label, run.words()) for run in facts.runs]
    rows += [
        ("", ""),
        (f"The same {facts.questions} questions, through the same name", "right"),
        ("before", f"{facts.before} of {facts.questions}"),
        (
            f"after ({facts.corrected} of them were corrected, and learned)" if facts.learned else "after",
            f"{facts.after} of {facts.questions}",
        ),
    ]
    if facts.after_short is not None:
        rows.append(("after, the task in one sentence", f"{facts.after_short} of {facts.questions}"))
    if facts.tokens_after:
        rows += [("", ""), ("A question's tokens", "")]
        rows.append(("with an example of each intent", f"{facts.tokens_before:.0f}"))
        rows.append(("in one sentence", f"{facts.tokens_after:.0f}"))
    rows += [("", ""), ("Bytes", ""), *((name, size(count)) for name, count in facts.bytes.items())]
    rows += [("", ""), ("Time", "min:s"), *((title, clock(took)) for title, took in facts.steps)]
    rows.append(("all of it", clock(facts.seconds)))
    return columns(rows)


def columns(rows: Sequence[tuple[str, str]]) -> list[str]:
    """The first as wide as its widest cell; an empty row is an empty line."""
    width = max(len(left) for left, _ in rows)
    return [f"{left.ljust(width)}  {right}".rstrip() for left, right in rows]


def gaps(lineage: Mapping[str, Any]) -> list[str]:
    """What is missing on the way from an answer back to its data; empty when the circle is closed."""
    training, release = lineage.get("training") or {}, lineage.get("release") or {}
    has = {
        "the model": (lineage.get("model") or {}).get("name"),
        "the training job": training.get("job_id"),
        "the run in the registry": training.get("run_id"),
        "the data set": (lineage.get("dataset") or {}).get("id"),
        "the evaluation": lineage.get("evaluations"),
        "the release": release.get("id"),
        "the approval": release.get("approvals"),
    }
    return [what for what, found in has.items() if not found]


def as_json(facts: Facts) -> dict[str, Any]:
    """For programs."""
    return {
        "questions": {
            "count": facts.questions,
            "before": facts.before,
            "after": facts.after,
            "after_short": facts.after_short,
        },
        "corrected": facts.corrected,
        "golden": {
            run.label: {"right": run.right, "items": run.items, "low": run.low, "high": run.high}
            for run in facts.runs
        },
        "bytes": facts.bytes,
        "steps": [{"step": title, "seconds": round(took, 1)} for title, took in facts.steps],
        "seconds": round(facts.seconds, 1),
    }
