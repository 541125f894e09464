"""BM25's numbers, as tantivy computes them, and how a score becomes absolute."""

from __future__ import annotations

from math import log

K1 = 1.2
B = 0.75
"""tantivy's, which cannot be set. On SciFact no other pair did better by more than .001."""


def idf(passages: int, having: int) -> float:
    """How telling a term is that `having` of all passages have."""
    having = min(having, passages)
    return log(1 + (passages - having + 0.5) / (having + 0.5))


def attainable(idfs: list[float]) -> float:
    """What no passage's score reaches: every term of the query in it, endlessly often."""
    return (K1 + 1) * sum(idfs)


def absolute(scores: list[float], most: float) -> list[float]:
    """Scores as shares of what their query could attain: from 0 to 1, comparable between queries."""
    return [min(score / most, 1.0) for score in scores] if most > 0 else [0.0] * len(scores)
