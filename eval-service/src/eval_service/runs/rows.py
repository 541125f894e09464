"""Rows of a file, read and checked line by line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval_service.runs.learned import NoItem, to_item

MAX_LINE = 1_000_000
"""Bytes of one row."""
_NAMED = 5
"""Bad lines that a message names."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row. `key` is the same for the same row in every file: by it, runs are compared."""

    index: int
    key: str
    item: Mapping[str, Any]
    sample: Mapping[str, Any] | None


class BadRows(Exception):
    """The data cannot be used. `reason` is UPPER_SNAKE; the message names the lines."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def read(
    lines: Iterable[bytes],
    *,
    most: int,
    schema: Mapping[str, Any] | None = None,
    answered: bool = False,
    learned: bool = False,
) -> list[Row]:
    """The rows of a JSON Lines file: `{"item": {…}}`, with `"sample"` where rows hold their answers.

    A line without "item" is itself the item. With `learned` every line is a data set's row, whose answer is
    its sample. Raises BadRows: INVALID_ROW with the numbers of the lines,
    EMPTY_DATA, TOO_MANY_ROWS.
    """
    found: list[tuple[int, dict[str, Any]]] = []
    bad: list[tuple[int, str]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        told, why = _parse(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line, learned)
        if why:
            bad.append((number, why))
            if len(bad) > _NAMED:
                break
            continue
        found.append((number, told))
        if len(found) > most:
            raise BadRows("TOO_MANY_ROWS", f"There are more than {most:,} rows.")
    return _checked(found, bad, schema, answered)


def of(
    content: Sequence[Mapping[str, Any]], schema: Mapping[str, Any] | None, *, answered: bool
) -> list[Row]:
    """Rows that came with the request."""
    return _checked(list(enumerate(map(dict, content), 1)), [], schema, answered)


def digest(rows: Sequence[Row]) -> str:
    """SHA-256 over all rows in order: the same rows are the same data."""
    return hashlib.sha256("\n".join(row.key for row in rows).encode()).hexdigest()


def _parse(line: bytes, learned: bool) -> tuple[dict[str, Any], str]:
    if len(line) > MAX_LINE:
        return {}, f"it has more than {MAX_LINE:,} bytes"
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return {}, "it is no JSON"
    if not isinstance(told, dict):
        return {}, "it is no object"
    if learned:
        try:
            item = to_item(told)
        except NoItem as why:
            return {}, str(why)
        return {"item": item, "sample": {"output_text": item["answer"]}}, ""
    if "item" not in told:
        told = {"item": {name: value for name, value in told.items() if name != "sample"}, **_sample(told)}
    if not isinstance(told["item"], dict):
        return {}, "'item' is no object"
    if told.get("sample") is not None and not isinstance(told["sample"], dict):
        return {}, "'sample' is no object"
    return told, ""


def _sample(told: Mapping[str, Any]) -> dict[str, Any]:
    return {"sample": told["sample"]} if "sample" in told else {}


def _checked(
    found: list[tuple[int, dict[str, Any]]],
    bad: list[tuple[int, str]],
    schema: Mapping[str, Any] | None,
    answered: bool,
) -> list[Row]:
    from jsonschema import Draft202012Validator

    validator = Draft202012Validator(schema) if schema else None
    rows: list[Row] = []
    seen: dict[str, int] = {}
    for index, (number, told) in enumerate(found):
        sample = told.get("sample")
        try:
            if validator is not None and not validator.is_valid(told["item"]):
                bad.append((number, "the item does not follow the eval's schema"))
            elif answered and not isinstance((sample or {}).get("output_text"), str):
                bad.append((number, "it holds no answer in sample.output_text"))
        except RecursionError:
            bad.append((number, "the item cannot be checked"))
        # An answer belongs to the target, not to the row: two targets' rows have the same key.
        content = json.dumps(told["item"], sort_keys=True)
        key = hashlib.sha256(content.encode()).hexdigest()[:24]
        seen[key] = seen.get(key, 0) + 1
        rows.append(Row(index, f"{key}.{seen[key]}", told["item"], sample))
    if bad:
        named = "; ".join(f"line {number}: {why}" for number, why in bad[:_NAMED])
        more = " and more" if len(bad) > _NAMED else ""
        raise BadRows("INVALID_ROW", f"Rows cannot be used ({named}{more}).")
    if not rows:
        raise BadRows("EMPTY_DATA", "There is no row.")
    return rows
