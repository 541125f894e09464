"""Two arms' opinions made one: a convex combination of absolute scores.

`score = (1 - weight) * text + weight * vector`. Both are from 0 to 1 and mean the same for every query, so
the sum does too, and a threshold on it is worth something. A passage that one arm did not find has that
arm's true score filled in, not zero: else it would be punished for the depth at which the arm stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from types import MappingProxyType

DEFAULT_WEIGHT = 0.2
LANGUAGE_WEIGHTS: Mapping[str, float] = MappingProxyType({"en": 0.55, "": 0.55, "zh": 0.0})
"""Measured with all-MiniLM-L6-v2, nDCG@10 of BM25 alone, of vectors alone, and of both with this weight:
SciFact .697, .645, .742; XQuAD English .968, .943, .981; XQuAD Chinese .962, .243, .962. The model knows
English only, so in Chinese BM25 is left alone. In other languages .2 takes nothing away even where vectors
are useless (.964 in Chinese), and gives something where they are not. With another model, tune the store.
The experiment is told in docs/adr/0014-search.md.
"""


@dataclass(frozen=True, slots=True)
class Weights:
    """How much the vectors count, from 0 to 1. Without arguments, the platform's weights."""

    default: float = DEFAULT_WEIGHT
    """In languages that are not named."""
    by_language: Mapping[str, float] = field(default_factory=lambda: LANGUAGE_WEIGHTS)
    """By ISO 639-1 of the query; empty for one that is unknown."""

    def of(self, language: str) -> float:
        """The weight for a query in this language."""
        return self.by_language.get(language, self.default)


def fuse(text: Mapping[str, float], vector: Mapping[str, float], weight: float) -> list[tuple[str, float]]:
    """All that either arm scored, the best first; equals by id, so that an answer is the same each time."""
    scores = sorted(_sum(text, vector, weight).items())
    scores.sort(key=itemgetter(1), reverse=True)
    return scores


def worth_scoring(
    text: Mapping[str, float], vector: Mapping[str, float], weight: float, limit: int, floor: float
) -> list[str]:
    """Passages that only the vectors found and whose text score may put them among the first `limit`.

    No passage that the text arm left out scores above `floor`, the last that it found. One that stays behind
    the first `limit` even with that need not be scored: the first `limit` are the same, and exact.
    """
    least = sorted(_sum(text, vector, weight).values(), reverse=True)
    bar = least[limit - 1] if len(least) >= limit else 0.0
    room = (1 - weight) * floor
    return [one for one, score in vector.items() if one not in text and room + weight * score >= bar]


def _sum(text: Mapping[str, float], vector: Mapping[str, float], weight: float) -> dict[str, float]:
    rest = 1 - weight
    scores = {one: rest * score for one, score in text.items()}
    for one, score in vector.items():
        scores[one] = scores.get(one, 0.0) + weight * score
    return scores
