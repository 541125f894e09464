"""What a comparison says. Apart from how it is found, so that those who only pass it on need no numpy."""

from __future__ import annotations

from typing import NamedTuple


class Paired(NamedTuple):
    """How candidate and base differ, on the items that both answered."""

    difference: float
    """Mean of candidate minus base."""
    low: float
    """Of the 95% interval."""
    high: float
    p_value: float
    """Two-sided: how surprising this difference were if there were none."""
    test: str
    items: int
    wins: int
    """Items on which the candidate was better."""
    losses: int
