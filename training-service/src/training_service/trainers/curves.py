"""A training's losses as a table, in the columns of OpenAI's result files."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence


def write_curves(losses: Sequence[tuple[int, float]], validation: Sequence[tuple[int, float]]) -> str:
    """CSV with a line a step: `step`, `train_loss`, `valid_loss`; empty where nothing was measured."""
    trained, validated = dict(losses), dict(validation)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["step", "train_loss", "valid_loss"])
    for step in sorted(trained.keys() | validated.keys()):
        writer.writerow([step, _shown(trained.get(step)), _shown(validated.get(step))])
    return table.getvalue()


def _shown(loss: float | None) -> str:
    return "" if loss is None else f"{loss:.6g}"
