"""What a report says, as plain data: the JSON report itself, and what the page is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from eval_service.runs.items import Item
from eval_service.runs.values import Measured, compared

if TYPE_CHECKING:
    from eval_service.runs.summary import Summary

_EXAMPLES = 20
_CHARS = 600


def of_run(run: Mapping[str, Any], summary: Summary, items: Sequence[Item]) -> dict[str, Any]:
    """`run` has id, name, model, model_version and data_sha256."""
    failed = [item for item in items if not item["passed"]]
    return {
        "run": dict(run),
        "counts": dict(summary.counts),
        "usage": dict(summary.usage),
        "figures": [asdict(figure) for figure in summary.figures],
        "tables": {name: [dict(row) for row in table] for name, table in summary.tables.items()},
        "failures": [_example(item) for item in failed[:_EXAMPLES]],
    }


def of_comparison(
    base: Mapping[str, Any], candidate: Mapping[str, Any], pair: tuple[Measured, Measured]
) -> dict[str, Any]:
    """Two runs' reports, compared on the items that both have."""
    return {
        "base": base,
        "candidate": candidate,
        "comparisons": [{"name": name, **each._asdict()} for name, each in sorted(compared(*pair).items())],
    }


def _example(item: Item) -> dict[str, Any]:
    return {
        "index": item["index"],
        "row": _short(item["row"]),
        "answer": _short(item["sample"].get("output_text", "")),
        "reason": item["reason"],
        "results": [
            {"name": each["name"], "passed": each.get("passed"), "said": each.get("error", each.get("score"))}
            for each in item["results"]
        ],
    }


def _short(value: Any) -> Any:
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= _CHARS else text[:_CHARS] + "…"
