"""Labels: named by a column, or recognised where many rows share a few short answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from training_service.datasets.rows import Kind, Row

_LONGEST = 64
_ROWS_A_LABEL = 3


def with_labels(rows: Sequence[Row]) -> list[Row]:
    """The same rows; those of a recognised classification have their answers as labels."""
    if any(row.label for row in rows) or not is_classification(rows):
        return list(rows)
    return [replace(row, label=row.answer.strip()) for row in rows]


def is_classification(rows: Sequence[Row]) -> bool:
    """Whether answers are few, short and shared: three rows to an answer on average."""
    if not rows or any(row.kind is Kind.PREFERENCE for row in rows):
        return False
    answers = Counter(row.answer.strip() for row in rows)
    if any(len(answer) > _LONGEST or "\n" in answer for answer in answers):
        return False
    return len(answers) * _ROWS_A_LABEL <= len(rows)
