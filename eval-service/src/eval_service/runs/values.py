"""A run's values by criterion and item, so that two runs can be compared on the same items."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from eval_service.statistics.result import Paired

PASSED = "passed"
"""Whether an item passed every criterion that passes or fails."""
LATENCY = "latency_seconds"
PARAMETERS = "parameters"
"""Size of the model: one value for the whole run, not one an item."""


@dataclass(frozen=True, slots=True)
class Series:
    """One criterion's values, by item. An item's key is made of its row: the same row has the same key."""

    values: Mapping[str, float]
    higher_is_better: bool = True


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of a finished run."""

    run_id: str
    eval_id: str
    model: str
    """The model's own name, as it answered; empty where the rows held the answers."""
    version: str
    series: Mapping[str, Series] = field(default_factory=dict)
    parameters: int = 0
    """Of the model; 0 when unknown."""

    def to_json(self) -> dict[str, Any]:
        """For the object store."""
        return {
            "run_id": self.run_id,
            "eval_id": self.eval_id,
            "model": self.model,
            "version": self.version,
            "parameters": self.parameters,
            "series": {
                name: {"higher_is_better": each.higher_is_better, "values": dict(each.values)}
                for name, each in self.series.items()
            },
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Measured:
        """The way back."""
        return cls(
            run_id=told["run_id"],
            eval_id=told["eval_id"],
            model=told["model"],
            version=told["version"],
            parameters=told["parameters"],
            series={
                name: Series(each["values"], each["higher_is_better"])
                for name, each in told["series"].items()
            },
        )


def matched(base: Series, candidate: Series) -> tuple[list[float], list[float]]:
    """The values of the items that both have, in one order."""
    keys = sorted(base.values.keys() & candidate.values.keys())
    return [base.values[key] for key in keys], [candidate.values[key] for key in keys]


def compared(base: Measured, candidate: Measured, names: Iterable[str] = ()) -> dict[str, Paired]:
    """Criterion by criterion, for those that both have."""
    from eval_service.statistics.paired import compare  # numpy, which an idle service does not hold

    wanted = list(names) or sorted(base.series.keys() & candidate.series.keys())
    found: dict[str, Paired] = {}
    for name in wanted:
        one, two = matched(base.series[name], candidate.series[name])
        if one:
            found[name] = compare(one, two, higher_is_better=candidate.series[name].higher_is_better)
    return found
