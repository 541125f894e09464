"""A data set in lines: its parts, what was left out and why, what a person should know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from sixfold_cli.client import Api
from sixfold_cli.errors import CliError
from sixfold_cli.jobs.sources import DATASETS
from sixfold_cli.jobs.words import moment

Dataset = Mapping[str, Any]
_MOST = 20


def lines(api: Api, found: Dataset) -> list[str]:
    """Without its card."""
    shown = [
        f"{found['name']}  {found['id']}  {found.get('kind') or '-'}  {found['status']}",
        f"  version {found.get('version') or '-'}  ·  made {moment(found.get('created_at'))}",
        f"  rows: {counts(found)}",
    ]
    left = found.get("left_out") or {}
    if left:
        reasons = ", ".join(f"{number} {cause}" for cause, number in sorted(left.items()))
        shown.append(f"  left out: {sum(left.values())} ({reasons})")
        shown += [f"    {line}" for line in left_out(card(api, str(found["id"])))[:_MOST]]
    shown += [f"  warning: {each}" for each in found.get("warnings") or []]
    if error := found.get("error"):
        shown.append(f"  error: {error.get('message') or error.get('code')}")
    return shown


def counts(found: Dataset) -> str:
    """ "240 train, 30 validation, 30 test"."""
    rows = found.get("rows") or {}
    parts = [f"{rows[part]} {part}" for part in ("train", "validation", "test") if rows.get(part)]
    return ", ".join(parts) or "none yet"


def card(api: Api, identity: str) -> str:
    """As Markdown; empty while there is none."""
    try:
        pieces = api.content(f"{DATASETS}/{quote(identity, safe='')}/card")
        return b"".join(pieces).decode("utf-8", "replace")
    except CliError as error:
        if error.status in (404, 409):
            return ""
        raise


def left_out(text: str) -> list[str]:
    """The rows that a card names under its heading, each with file, line and reason."""
    _, _, section = text.partition("\n## Left out\n")
    section = section.partition("\n## ")[0]
    return [line[2:] for line in section.splitlines() if line.startswith("- ")]
