"""What a canary has shown so far, by the always-valid test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FEEDBACK, ERRORS = "feedback", "errors"


@dataclass(frozen=True, slots=True)
class Reading:
    """One metric of a canary. More is always better: errors count as what did not fail."""

    metric: str
    champion_answers: int = 0
    candidate_answers: int = 0
    champion_good: float = 0.0
    candidate_good: float = 0.0
    low: float = -1.0
    high: float = 1.0

    def words(self) -> str:
        """For a person."""
        champion = self.champion_good / self.champion_answers if self.champion_answers else 0.0
        candidate = self.candidate_good / self.candidate_answers if self.candidate_answers else 0.0
        return (
            f"{self.metric}: {candidate:.3f} of {self.candidate_answers} answers against {champion:.3f} of "
            f"{self.champion_answers}, difference within [{self.low:+.3f}, {self.high:+.3f}]"
        )


def reading(metric: str, observations: Sequence[tuple[int, float]], *, alpha: float) -> Reading:
    """Of `(arm, value)` in the order in which they became known."""
    # numpy, which an idle service does not hold
    from eval_service.statistics.sequential import CANDIDATE, CHAMPION, difference

    bounds = difference(observations, alpha=alpha)
    champion = [value for arm, value in observations if arm == CHAMPION]
    candidate = [value for arm, value in observations if arm == CANDIDATE]
    return Reading(
        metric, len(champion), len(candidate), sum(champion), sum(candidate), bounds.low, bounds.high
    )


def feedback_value(kind: str, value: float, *, most: float = 1.0) -> float | None:
    """What a person's feedback says of an answer, from 0 to 1; None for what says nothing.

    A correction or a flag is a 0: the answer was not right. A score is a share of `most`.
    """
    if kind == "thumbs":
        return 1.0 if value > 0 else 0.0
    if kind == "score":
        return min(1.0, max(0.0, value / most))
    if kind in ("correction", "flag"):
        return 0.0
    return None


def failed(status: int) -> float | None:
    """Of an HTTP status: 1 for fine, 0 for failed, None for what was the caller's fault."""
    if status >= 500:
        return 0.0
    return 1.0 if 200 <= status < 300 else None
