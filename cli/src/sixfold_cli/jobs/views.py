"""One look at anything that takes its time: a training, an eval run, a batch, a data set, a release."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sixfold_cli.jobs.words import percent, span

Raw = Mapping[str, Any]
ENDED = ("succeeded", "failed", "cancelled")
"""Statuses behind which nothing follows."""


@dataclass(frozen=True)
class View:
    """What all of them have in common. Times are Unix seconds."""

    id: str
    kind: str
    name: str
    status: str
    """queued | running | paused | succeeded | failed | cancelled, in words of one set for all kinds."""
    state: str
    """The same in the kind's own word, such as `canary`."""
    fraction: float
    """From 0 to 1."""
    said: str
    """Figures of this moment, for people."""
    created_at: float
    error: str = ""

    @property
    def ended(self) -> bool:
        return self.status in ENDED


def view(raw: Raw) -> View:
    """By what the object calls itself."""
    return _KINDS[str(raw["object"])](raw)


def _training(raw: Raw) -> View:
    told = raw.get("sixfold") or {}
    status = str(told.get("status") or raw["status"])
    asked = f"{raw.get('model')} · {(raw.get('method') or {}).get('type', 'supervised')}"
    return View(
        id=str(raw["id"]),
        kind="training",
        name=str(raw.get("fine_tuned_model") or asked),
        status="running" if status == "validating_files" else status,
        state=status,
        fraction=1.0 if status == "succeeded" else float(told.get("progress") or 0),
        said=steps(told.get("metrics") or {}, ended=status in ENDED),
        created_at=float(raw["created_at"]),
        error=_error(raw),
    )


def steps(metrics: Mapping[str, float], *, ended: bool = False) -> str:
    """ "step 34/120 · loss 2.31 · validation 1.92 · 12 s left" of a training's metrics."""
    parts = []
    if metrics.get("steps"):
        parts.append(f"step {metrics.get('step', 0):.0f}/{metrics['steps']:.0f}")
    for name, word in (("loss", "loss"), ("validation_loss", "validation"), ("reward_accuracies", "right")):
        if name in metrics:
            parts.append(f"{word} {metrics[name]:.3g}")
    if not ended and metrics.get("eta_seconds"):
        parts.append(f"{span(metrics['eta_seconds'])} left")
    return " · ".join(parts)


_RUN = {"in_progress": "running", "completed": "succeeded", "canceled": "cancelled"}


def _run(raw: Raw) -> View:
    status = _RUN.get(str(raw["status"]), str(raw["status"]))
    counts = raw.get("result_counts") or {}
    total, said = int(counts.get("total") or 0), ""
    if total:
        said = f"{counts['passed']} of {total} passed"
        if counts.get("errored"):
            said += f" · {counts['errored']} without an answer"
    return View(
        id=str(raw["id"]),
        kind="eval run",
        name=str(raw.get("name") or raw.get("model") or "-"),
        status=status,
        state=str(raw["status"]),
        fraction=1.0 if status == "succeeded" else float((raw.get("sixfold") or {}).get("progress") or 0),
        said=said,
        created_at=float(raw["created_at"]),
        error=_error(raw),
    )


_BATCH = {
    "validating": "queued", "in_progress": "running", "finalizing": "running", "cancelling": "running",
    "completed": "succeeded", "expired": "failed",
}  # fmt: skip


def _batch(raw: Raw) -> View:
    counts = raw.get("request_counts") or {}
    total, done = int(counts.get("total") or 0), int(counts.get("completed") or 0)
    bad = int(counts.get("failed") or 0)
    faults = [each for each in (raw.get("errors") or {}).get("data") or [] if isinstance(each, dict)]
    told = "; ".join(
        f"line {each['line']}: {each.get('message')}" if each.get("line") else str(each.get("message"))
        for each in faults[:5]
    )
    return View(
        id=str(raw["id"]),
        kind="batch",
        name=str(raw.get("endpoint") or "-"),
        status=_BATCH.get(str(raw["status"]), str(raw["status"])),
        state=str(raw["status"]),
        fraction=(done + bad) / total if total else 0.0,
        said=f"{done} of {total} answered" + (f" · {bad} failed" if bad else "") if total else "",
        created_at=float(raw["created_at"]),
        error=told,
    )


def _dataset(raw: Raw) -> View:
    rows, status = raw.get("rows") or {}, str(raw["status"])
    said = " + ".join(f"{rows[part]} {part}" for part in ("train", "validation", "test") if rows.get(part))
    left = sum((raw.get("left_out") or {}).values())
    return View(
        id=str(raw["id"]),
        kind="data set",
        name=str(raw.get("name") or "-"),
        status=status,
        state=status,
        fraction=1.0 if status == "succeeded" else float(raw.get("progress") or 0),
        said=said + (f" · {left} left out" if left else ""),
        created_at=float(raw["created_at"]),
        error=_error(raw),
    )


_RELEASE = {"promoted": "succeeded", "refused": "failed", "rolled_back": "failed"}


def _release(raw: Raw) -> View:
    state, seen = str(raw["status"]), raw.get("canary") or {}
    said = ""
    if state == "canary":
        said = f"{percent(raw.get('share') or 0)} of requests"
    if seen:
        said += (
            f" · {seen['metric']}: champion {seen['champion_good']:g} of {seen['champion_answers']}, "
            f"candidate {seen['candidate_good']:g} of {seen['candidate_answers']}"
        )
    return View(
        id=str(raw["id"]),
        kind="release",
        name=f"{raw['alias']} → {raw['candidate']}",
        status=_RELEASE.get(state, "running"),
        state=state,
        fraction=1.0 if state == "promoted" else float(raw.get("share") or 0),
        said=said.removeprefix(" · "),
        created_at=float(raw["created_at"]),
        error=str(raw.get("reason") or "") if state in ("refused", "rolled_back") else "",
    )


_KINDS: Mapping[str, Callable[[Raw], View]] = {
    "fine_tuning.job": _training,
    "eval.run": _run,
    "batch": _batch,
    "dataset": _dataset,
    "release": _release,
}


def _error(raw: Raw) -> str:
    error = raw.get("error") or {}
    return str(error.get("message") or error.get("code") or "")


def age(seconds: float) -> str:
    """How long ago, in one unit."""
    return span(max(0.0, time.time() - seconds)) if seconds else "-"
