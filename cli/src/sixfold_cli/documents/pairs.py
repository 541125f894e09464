"""`key=value` on the command line: attributes of files, and the filters of a search."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sixfold_cli.errors import CliError, Exit

Value = str | float | bool
_FILTER = re.compile(r"([^!<>=]+)(!=|>=|<=|=|>|<)(.*)", re.S)
_OPERATORS = {"=": "eq", "!=": "ne", ">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}
KEPT = ("path", "sha256")
"""Attributes by which `ingest` recognises a file."""


def attributes(pairs: Sequence[str]) -> dict[str, Value]:
    """`team=sales`, `year=2026`, `public=true`."""
    found: dict[str, Value] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key.strip():
            raise _wrong(pair, "Say KEY=VALUE.")
        if key.strip() in KEPT:
            raise _wrong(pair, f"{' and '.join(KEPT)} are written by `sixfold ingest` itself.")
        found[key.strip()] = typed(value.strip())
    return found


def filters(conditions: Sequence[str]) -> dict[str, object] | None:
    """What the API takes for `team=sales` or `year>=2025`, all of which must hold; None without any."""
    tests: list[dict[str, object]] = []
    for condition in conditions:
        match = _FILTER.fullmatch(condition)
        if match is None:
            raise _wrong(condition, "Say KEY=VALUE, or one of != > >= < <= between them.")
        key, sign, value = match[1].strip(), match[2], typed(match[3].strip())
        tests.append({"type": _OPERATORS[sign], "key": key, "value": value})
    if len(tests) < 2:
        return tests[0] if tests else None
    return {"type": "and", "filters": tests}


def typed(text: str) -> Value:
    """true, false and numbers as such; everything else, and what stands in quotes, as text."""
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"-?\d{1,15}(\.\d{1,15})?", text):
        return float(text) if "." in text else int(text)
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _wrong(text: str, hint: str) -> CliError:
    return CliError(f"'{text}' is not understood.", hint, reason="BAD_ATTRIBUTE", code=Exit.USAGE)
