"""What was found and done, for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sixfold_cli.documents.ingest import Report
from sixfold_cli.documents.walk import Skipped
from sixfold_cli.options import print_table

_MOST = 20
"""Lines of one kind that people are shown."""


def report_json(report: Report, store: dict[str, Any], skipped: Sequence[Skipped], seconds: float) -> object:
    """The whole report."""
    return {
        "store": {"id": store["id"], "name": store.get("name")},
        **asdict(report),
        "skipped": [asdict(each) for each in skipped],
        "seconds": round(seconds, 3),
    }


def show_report(report: Report, store: dict[str, Any], skipped: Sequence[Skipped], seconds: float) -> None:
    """The same in lines, the longest lists cut."""
    counts = {
        "added": report.added, "changed": report.changed, "unchanged": report.unchanged,
        "removed": report.removed,
    }  # fmt: skip
    said = ", ".join(f"{len(paths)} {word}" for word, paths in counts.items() if paths or word == "added")
    print(f"{store.get('name') or store['id']}: {said}   ({seconds:.1f} s)")
    _list("skipped", [(each.path, each.message) for each in skipped])
    _list("failed", [(each.path, f"{each.reason}: {each.message}") for each in report.failed])
    _list("still waiting to be indexed", [(path, "") for path in report.waiting])


def _list(word: str, rows: Sequence[tuple[str, str]]) -> None:
    if rows:
        print_table((f"{word} {len(rows)}", ""), [(f"  {path}", why) for path, why in rows[:_MOST]])
    if len(rows) > _MOST:
        print(f"  … and {len(rows) - _MOST} more; --json lists them all")
