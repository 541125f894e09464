"""What all items together say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from eval_service.criteria.judge import LOWER_IS_BETTER
from eval_service.criteria.specs import Spec
from eval_service.runs.items import Item
from eval_service.runs.values import LATENCY, PASSED, Series
from eval_service.statistics.intervals import Interval, bootstrap_mean, wilson


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured figure with its 95% interval."""

    name: str
    value: float
    low: float
    high: float
    items: int
    passed: int = 0
    higher_is_better: bool = True


@dataclass(frozen=True, slots=True)
class Summary:
    """Of a run."""

    counts: Mapping[str, int]
    figures: Sequence[Figure]
    usage: Mapping[str, int]
    series: Mapping[str, Series]
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    """By criterion of the kind "labels": precision, recall, F1 and support of each label."""


def summarise(items: Sequence[Item], criteria: Sequence[Spec], *, seed: int = 0) -> Summary:
    """Of items in any order."""
    items = sorted(items, key=lambda item: item["index"])
    errored = sum(bool(item["reason"]) for item in items)
    passed = sum(bool(item["passed"]) for item in items)
    counts = {
        "total": len(items),
        "passed": passed,
        "failed": len(items) - passed - errored,
        "errored": errored,
    }
    series: dict[str, Series] = {}
    figures: list[Figure] = []
    tables: dict[str, Sequence[Mapping[str, Any]]] = {}
    for spec in criteria:
        higher = spec.type not in LOWER_IS_BETTER
        told = _results(items, spec.name)
        values = _values(items, told, decides=_decides(spec))
        series[spec.name] = Series(values, higher)
        figures.append(_figure(spec, told, values, higher, seed))
        if spec.type == "labels":
            pairs = [
                (each["details"]["expected"], each["details"]["label"])
                for each in told.values()
                if "details" in each
            ]
            f1, table = _macro_f1(pairs, seed)
            figures.append(Figure(f"{spec.name}.macro_f1", *f1, len(pairs)))
            tables[spec.name] = table
        if spec.type == "pairwise_model":
            biased = [bool(each["details"]["biased"]) for each in told.values() if "details" in each]
            bias = wilson(sum(biased), len(biased))
            figures.append(
                Figure(f"{spec.name}.position_bias", *bias, len(biased), sum(biased), higher_is_better=False)
            )
    # An item without an answer has not passed: a model must not gain by failing.
    series[PASSED] = Series({item["key"]: float(item["passed"]) for item in items})
    figures.append(Figure(PASSED, *wilson(passed, len(items)), len(items), passed))
    _measures(items, series, figures, seed)
    usage: Counter[str] = Counter()
    for item in items:
        for name, tokens in item["sample"].get("usage", {}).items():
            usage[name.removesuffix("_tokens")] += tokens
    return Summary(counts, figures, dict(usage), series, tables)


def _decides(spec: Spec) -> bool:
    """Whether an answer that is not there counts as 0: for what says how good it is, not for what it took."""
    return spec.type not in LOWER_IS_BETTER


def _results(items: Sequence[Item], name: str) -> dict[str, Mapping[str, Any]]:
    return {item["key"]: each for item in items for each in item["results"] if each["name"] == name}


def _values(
    items: Sequence[Item], told: Mapping[str, Mapping[str, Any]], *, decides: bool
) -> dict[str, float]:
    values: dict[str, float] = {}
    for item in items:
        each = told.get(item["key"])
        if each is None:
            if decides:
                values[item["key"]] = 0.0
        elif "error" not in each:
            # What passes or fails is compared as such.
            values[item["key"]] = float(each["score"])
    return values


def _figure(
    spec: Spec, told: Mapping[str, Mapping[str, Any]], values: Mapping[str, float], higher: bool, seed: int
) -> Figure:
    passed = sum(bool(each.get("passed")) for each in told.values())
    scores = list(values.values())
    binary = all(score in (0.0, 1.0) for score in scores)
    # Anything but 0 and 1 has no Wilson interval.
    interval: Interval = (
        wilson(int(sum(scores)), len(scores)) if binary and higher else bootstrap_mean(scores, seed=seed)
    )
    return Figure(spec.name, *interval, len(scores), passed, higher)


def _measures(items: Sequence[Item], series: dict[str, Series], figures: list[Figure], seed: int) -> None:
    """What every asked model shows: seconds, tokens."""
    asked = [item for item in items if item["sample"].get("model")]
    if not asked:
        return
    for name in (LATENCY, "prompt_tokens", "completion_tokens"):
        if name in series:
            continue  # a criterion of that name goes before
        values = {item["key"]: _measured(item["sample"], name) for item in asked}
        series[name] = Series(values, higher_is_better=False)
        interval = bootstrap_mean(list(values.values()), seed=seed)
        figures.append(Figure(name, *interval, len(values), higher_is_better=False))


def _measured(sample: Mapping[str, Any], name: str) -> float:
    return float(sample["seconds"] if name == LATENCY else sample["usage"][name])


def _macro_f1(pairs: Sequence[tuple[str, str]], seed: int) -> tuple[Interval, Sequence[Mapping[str, Any]]]:
    """The mean F1 of the labels that the rows name, its interval by resampling items, and the table."""
    names = sorted({wanted for wanted, _ in pairs})
    if not names:
        return Interval(0.0, 0.0, 0.0), []
    places = {name: place for place, name in enumerate(names)}
    wanted = np.array([places[each] for each, _ in pairs])
    said = np.array([places.get(each, -1) for _, each in pairs])
    table = []
    for name, place in places.items():
        hits = int(((wanted == place) & (said == place)).sum())
        given, there = int((said == place).sum()), int((wanted == place).sum())
        table.append(
            {
                "label": name,
                "precision": hits / given if given else 0.0,
                "recall": hits / there,
                "f1": 2 * hits / (given + there),
                "support": there,
            }
        )
    generator = np.random.default_rng(seed)
    drawn = []
    for _ in range(1000):
        picked = generator.integers(0, len(pairs), len(pairs))
        drawn.append(_mean_f1(wanted[picked], said[picked], len(names)))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(_mean_f1(wanted, said, len(names)), float(low), float(high)), table


def _mean_f1(wanted: np.ndarray, said: np.ndarray, labels: int) -> float:
    there = np.bincount(wanted, minlength=labels)
    given = np.bincount(said[said >= 0], minlength=labels)
    hits = np.bincount(wanted[wanted == said], minlength=labels)
    seen = there > 0
    return float((2 * hits[seen] / (given[seen] + there[seen])).mean())
