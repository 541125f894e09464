"""Options that many commands share, and how results are printed."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home", help="Folder of data, keys and logs.  [env: SIXFOLD_HOME; default: .sixfold]", metavar="DIR"
    ),
]
UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url", help="The gateway to talk to.  [env: SIXFOLD_URL; default: the one here]", metavar="URL"
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, errors too.")]


def hand_down(ctx: typer.Context, commands: Mapping[str, Sequence[str]], **given: object) -> None:
    """Options before a command's name count as if they had been given behind it. Groups name theirs."""
    said = {name: value for name, value in given.items() if value is not None}
    ctx.default_map = {name: {**said, **dict.fromkeys(inner, said)} for name, inner in commands.items()}


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    print(json.dumps(value, indent=2 if sys.stdout.isatty() else None, ensure_ascii=False))


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their widest cell."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    for row in (head, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
