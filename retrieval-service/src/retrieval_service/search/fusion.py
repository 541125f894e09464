"""Two arms' opinions made one: a convex combination of absolute scores.

`score = (1 - weight) * text + weight * vector`. Both are from 0 to 1 and mean the same for every query, so
the sum does too, and a threshold on it is worth something. A passage that one arm did not find has that
arm's true score filled in, not zero: else it would be punished for the depth at which the arm stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

DEFAULT_WEIGHT = 0.5


@dataclass(frozen=True, slots=True)
class Weights:
    """How much the vectors count, from 0 to 1, for queries in a language (ISO 639-1)."""

    default: float = DEFAULT_WEIGHT
    by_language: Mapping[str, float] = field(default_factory=dict)

    def of(self, language: str) -> float:
        """The weight for a query in this language; an empty one is unknown."""
        return self.by_language.get(language, self.default)


@dataclass(frozen=True, slots=True)
class Fused:
    """A passage with what each arm thinks of it."""

    passage_id: str
    score: float
    text: float
    vector: float


def fuse(text: Mapping[str, float], vector: Mapping[str, float], weight: float) -> list[Fused]:
    """All that either arm scored, the best first; equals by id, so that an answer is the same each time."""
    fused = []
    for passage_id in text.keys() | vector.keys():
        lexical, dense = text.get(passage_id, 0.0), vector.get(passage_id, 0.0)
        fused.append(Fused(passage_id, (1 - weight) * lexical + weight * dense, lexical, dense))
    fused.sort(key=lambda one: (-one.score, one.passage_id))
    return fused
