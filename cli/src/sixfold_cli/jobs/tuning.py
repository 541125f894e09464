"""A training as it is ordered, what it would take, and what came out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sixfold_cli.jobs.words import size, span

METHODS = ("supervised", "full", "dpo")


@dataclass(frozen=True)
class Order:
    """None leaves a number to the trainer."""

    base: str
    rows: str
    """The id of a data set or of a file."""
    validation: str | None = None
    method: str = "supervised"
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    """A multiplier of the recipe's own."""
    beta: float | None = None
    suffix: str | None = None
    seed: int | None = None

    def body(self) -> dict[str, Any]:
        """As `fine_tuning.jobs.create` and its estimate take it."""
        numbers = {
            "n_epochs": self.epochs,
            "batch_size": self.batch_size,
            "learning_rate_multiplier": self.learning_rate,
            "beta": self.beta,
        }
        given = {name: value for name, value in numbers.items() if value is not None}
        body = {
            "model": self.base,
            "training_file": self.rows,
            "validation_file": self.validation,
            "method": {"type": self.method, self.method: {"hyperparameters": given}},
            "suffix": self.suffix,
            "seed": self.seed,
        }
        return {name: value for name, value in body.items() if value is not None}


def estimate_words(found: Mapping[str, Any]) -> str:
    """ "about 45 s, 12,340 tokens, 1.2 GB of memory, 300 MB of disk"."""
    return (
        f"about {span(found['seconds'])}, {found['tokens']:,} tokens, "
        f"{size(found['memory_bytes'])} of memory, {size(found['disk_bytes'])} of disk"
    )


def summary(job: Mapping[str, Any], fall: str) -> str:
    """One line of what a finished training took and gave."""
    told = job.get("sixfold") or {}
    metrics = told.get("metrics") or {}
    began, ended = told.get("started_at"), job.get("finished_at")
    parts = [f"trained {job['fine_tuned_model']}"]
    if began and ended:
        parts[0] += f" in {span(ended - began)}"
    if job.get("trained_tokens"):
        parts.append(f"{job['trained_tokens']:,} tokens")
    if fall or "loss" in metrics:
        parts.append(fall or f"loss {metrics['loss']:.3g}")
    if "validation_loss" in metrics:
        parts.append(f"validation {metrics['validation_loss']:.3g}")
    return " · ".join(parts)
