"""One table for the terminal and the page; the goals, met or not, beside the figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Table:
    """A heading, columns and rows of text."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """As Markdown, numbers to the right."""
        lines = [f"### {self.title}", "", "| " + " | ".join(self.columns) + " |"]
        lines.append("|" + "---|" + "---:|" * (len(self.columns) - 1))
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        return "\n".join(lines) + "\n"

    def plain(self) -> str:
        """For a terminal."""
        every = [list(self.columns), *(list(row) for row in self.rows)]
        widths = [max(len(row[i]) for row in every) for i in range(len(self.columns))]
        lines = [self.title, ""]
        for row in every:
            cells = [
                row[0].ljust(widths[0]),
                *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
            ]
            lines.append("  ".join(cells).rstrip())
        return "\n".join(lines) + "\n"


def machine_line(machine: dict[str, Any]) -> str:
    """One sentence about where the figures come from."""
    amx = "with AMX" if machine["amx"] else "without AMX"
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return (
        f"{machine['processor']}, {machine['cores']} cores, {amx} ({', '.join(machine['features'])}), "
        f"{machine['memory_gib']} GiB, load before the run {machine['load_before']}; "
        f"Python {machine['python']}, {packages}."
    )


def rewrite(page: Path, section: str, text: str) -> None:
    """Replaces what stands between the page's markers `<!-- SECTION -->` and `<!-- /SECTION -->`."""
    old = page.read_text()
    begin, end = f"<!-- {section} -->", f"<!-- /{section} -->"
    head, found, rest = old.partition(begin)
    if not found or end not in rest:
        raise RuntimeError(f"{page} has no section {section}")
    page.write_text(f"{head}{begin}\n{text.strip()}\n{end}{rest.partition(end)[2]}")


def save(path: Path, results: dict[str, Any]) -> None:
    """As JSON that reads well in a diff."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
