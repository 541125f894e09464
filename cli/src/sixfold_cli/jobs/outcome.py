"""How a command ends when what it waited for has ended: a result, or an error with the way on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from sixfold_cli.errors import CliError, Exit
from sixfold_cli.jobs.views import view
from sixfold_cli.options import print_json


def settle(raw: Mapping[str, Any], *, json: bool) -> None:
    """Returns for what succeeded. As JSON the object is printed in any case, and the exit code tells."""
    found = view(raw)
    if json:
        print_json(raw)
    if found.status == "succeeded":
        return
    if json:
        raise typer.Exit(Exit.FAILED)
    error = raw.get("error") or {}
    state = found.state.replace("_", " ")
    message = f"{found.id} {'is' if state in ('failed', 'cancelled') else 'was'} {state}"
    raise CliError(
        f"{message}: {found.error}" if found.error else f"{message}.",
        _ways_on(found.kind, found.id),
        reason=str(error.get("code") or found.state).upper(),
    )


def _ways_on(kind: str, identity: str) -> str:
    if kind == "training":
        return f"`sixfold jobs show {identity}` has its diary."
    if kind == "eval run":
        return f"`sixfold jobs show {identity}` shows what it measured."
    return ""
