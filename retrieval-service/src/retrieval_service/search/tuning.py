"""The vectors' weight for each language, from queries that somebody judged, and how good it is.

Every query was asked with every weight of `GRID`, 0 and 1 among them, and has an nDCG@10 for each. A weight
is not judged by its own mean alone but by those around it too: with few queries, single peaks are chance.
On SciFact and XQuAD that gives more on queries left out (with 60 judged ones: .738 for .735, .979 for .978,
.962 for .961) and a better worst case.

What is reported for the chosen weights is measured on queries that did not choose them: each fifth of the
queries with the weights that the other four fifths chose.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log2

STEPS = 20
GRID = tuple(step / STEPS for step in range(STEPS + 1))
FOLDS = 5
ENOUGH = 10
"""Queries of a language that may have a weight of its own."""
AROUND = 2
"""Neighbours on each side by which a weight is judged."""
DEPTH = 10


@dataclass(frozen=True, slots=True)
class Judged:
    """One query: its language (ISO 639-1 or empty), and its nDCG@10 at each weight of `GRID`."""

    language: str
    ndcg: Sequence[float]


@dataclass(frozen=True, slots=True)
class Tuning:
    """Weights by language, empty for all that are not named, and mean nDCG@10."""

    weights: Mapping[str, float]
    text: float
    """Of BM25 alone."""
    vector: float
    """Of vectors alone."""
    fused: float
    """Of both, on queries left out of the choice."""


def ndcg(ranked: Sequence[str], relevant: Collection[str]) -> float:
    """How well the first ten are ranked, from 0 to 1, all relevant ones being equally so."""
    gain = sum(1 / log2(place + 2) for place, name in enumerate(ranked[:DEPTH]) if name in relevant)
    ideal = sum(1 / log2(place + 2) for place in range(min(DEPTH, len(relevant))))
    return gain / ideal if ideal else 0.0


def tune(judged: Sequence[Judged]) -> Tuning:
    """Weights for these queries, of which there is one at least."""
    return Tuning(
        choose(judged),
        mean(one.ndcg[0] for one in judged),
        mean(one.ndcg[-1] for one in judged),
        held_out(judged),
    )


def choose(judged: Sequence[Judged]) -> dict[str, float]:
    """By language; "" for all that are not named."""
    weights = {"": _best(judged)}
    for language in sorted({one.language for one in judged} - {""}):
        mine = [one for one in judged if one.language == language]
        if len(mine) >= ENOUGH:
            weights[language] = _best(mine)
    return weights


def held_out(judged: Sequence[Judged]) -> float:
    """Mean nDCG@10 of queries with weights that others chose. Of a single query, with its own."""
    folds = min(FOLDS, len(judged))
    if folds < 2:
        return mean(one.ndcg[step_of(choose(judged), one)] for one in judged)
    scores: list[float] = []
    for fold in range(folds):
        weights = choose([one for number, one in enumerate(judged) if number % folds != fold])
        scores += [one.ndcg[step_of(weights, one)] for one in judged[fold::folds]]
    return mean(scores)


def step_of(weights: Mapping[str, float], judged: Judged) -> int:
    """Place in `GRID` of the weight that this query gets."""
    return round(weights.get(judged.language, weights[""]) * STEPS)


def mean(values: Iterable[float]) -> float:
    """Of none, 0."""
    numbers = list(values)
    return sum(numbers) / len(numbers) if numbers else 0.0


def _best(judged: Sequence[Judged]) -> float:
    """The best with its neighbours; of equals the middle one, which is the least a matter of chance."""
    means = [mean(one.ndcg[step] for one in judged) for step in range(STEPS + 1)]
    smooth = [_around(means, step) for step in range(STEPS + 1)]
    good = [step for step, value in enumerate(smooth) if value >= max(smooth) - 1e-9]
    return GRID[good[len(good) // 2]]


def _around(means: Sequence[float], step: int) -> float:
    """Mean of a weight and its neighbours; beyond an end, the end counts again."""
    places = (min(max(step + shift, 0), STEPS) for shift in range(-AROUND, AROUND + 1))
    return mean(means[place] for place in places)
