"""What an eval found, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sixfold_cli.jobs import measure
from sixfold_cli.jobs.words import percent, small
from sixfold_cli.options import print_table

_MEASURED = ("latency_seconds", "prompt_tokens", "completion_tokens")
Run = Mapping[str, Any]


def show_runs(runs: Sequence[Run]) -> None:
    """A line a model: how many passed, with the interval in which the true share lies."""
    print_table(
        ("MODEL", "PASSED", "SHARE", "95% INTERVAL", "ERRORS", "SECONDS"), [_row(run) for run in runs]
    )
    for run in runs:
        others = [each for each in (run.get("sixfold") or {}).get("figures") or [] if _is_score(each)]
        for each in others:
            print(
                f"  {run['model']}: {each['name']} {each['value']:.3f} "
                f"({each['low']:.3f} to {each['high']:.3f})"
            )


def _row(run: Run) -> tuple[str, ...]:
    counts, found = run["result_counts"], measure.figure(run, "passed")
    between = f"{percent(found['low'])} to {percent(found['high'])}" if found else "-"
    took = measure.figure(run, "latency_seconds")
    return (
        str(run.get("model") or run.get("name") or "-"),
        f"{counts['passed']} of {counts['total']}",
        percent(measure.passed(run)),
        between,
        str(counts.get("errored", 0)),
        f"{took['value']:.2f}" if took else "-",
    )


def _is_score(figure: Mapping[str, Any]) -> bool:
    """What the table's columns do not say: scores that are more than passed or not."""
    name, value, items = figure["name"], figure["value"], figure["items"]
    if name in (*_MEASURED, "passed"):
        return False
    return bool(abs(value * items - figure["passed"]) > 1e-6)


def show_comparison(compared: Sequence[Mapping[str, Any]], base: str, candidate: str) -> None:
    """The paired comparison, the criteria first and then what the answers took."""
    print(f"{candidate} against {base}, on the same items:")
    rows = []
    for each in sorted(
        compared, key=lambda one: (one["name"] in _MEASURED, one["name"] != "passed", one["name"])
    ):
        rows.append(
            (
                f"  {each['name']}", f"{each['difference']:+.3f}",
                f"{each['low']:+.3f} to {each['high']:+.3f}",
                f"better on {each['wins']}, worse on {each['losses']} of {each['items']}",
                f"{small(each['p_value'])} ({each['test'].replace('_', ' ')})",
            )
        )  # fmt: skip
    print_table(("  CRITERION", "DIFFERENCE", "95% INTERVAL", "ITEMS", "TEST"), rows)
