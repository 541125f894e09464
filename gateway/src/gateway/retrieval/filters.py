"""Filters on attributes, as searches and the file_search tool take them.

    {"type": "and", "filters": [{"type": "eq", "key": "year", "value": 2024}, ...]}

A file without an attribute passes no comparison of it, `ne` and `nin` included.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from gateway.openai import fields

Value = str | float | bool
Operator = Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]

_OPERATORS: tuple[str, ...] = get_args(Operator)
_JOINS = ("and", "or")
MAX_DEPTH = 8
MAX_COMPARISONS = 64
MAX_VALUES = 256
MAX_KEY, MAX_TEXT = 64, 512
"""Characters of an attribute's name and of its text."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One attribute against values; several for `in` and `nin`, one otherwise."""

    key: str
    operator: Operator
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Compound:
    """Several filters, joined by "or" if `any`, by "and" otherwise."""

    any: bool
    filters: tuple[Filter, ...]


Filter = Comparison | Compound


def parse_filter(value: Any, path: str = "filters") -> Filter:
    """The filter that decoded JSON describes. Raises INVALID_REQUEST with the path of what is wrong."""
    return _Reader().read(value, path, 1)


class _Reader:
    def __init__(self) -> None:
        self._comparisons = 0

    def read(self, value: Any, path: str, depth: int) -> Filter:
        if not isinstance(value, dict):
            raise fields.wrong_type(path, "an object", value)
        kind = fields.one_of(
            fields.required_text(value, "type", f"{path}.type"), f"{path}.type", (*_JOINS, *_OPERATORS)
        )
        if kind in _JOINS:
            return self._compound(value, path, kind, depth)
        self._comparisons += 1
        if self._comparisons > MAX_COMPARISONS:
            raise fields.invalid(path, f"more than {MAX_COMPARISONS} comparisons.")
        return _comparison(value, path, kind)

    def _compound(self, value: dict[str, Any], path: str, kind: str, depth: int) -> Compound:
        _no_others(value, path, ("type", "filters"))
        if depth >= MAX_DEPTH:
            raise fields.invalid(path, f"nested deeper than {MAX_DEPTH} levels.")
        inner = fields.array(value, "filters", f"{path}.filters", longest=MAX_COMPARISONS)
        if inner is None:
            raise fields.missing(f"{path}.filters")
        if not inner:
            raise fields.invalid(f"{path}.filters", "must not be empty.")
        return Compound(
            kind == "or",
            tuple(self.read(entry, f"{path}.filters[{at}]", depth + 1) for at, entry in enumerate(inner)),
        )


def _comparison(value: dict[str, Any], path: str, kind: str) -> Comparison:
    _no_others(value, path, ("type", "key", "value"))
    key = fields.required_text(value, "key", f"{path}.key", longest=MAX_KEY)
    if "value" not in value:
        raise fields.missing(f"{path}.value")
    given, at = value["value"], f"{path}.value"
    operator: Operator = kind  # type: ignore[assignment]
    if kind in ("in", "nin"):
        if not isinstance(given, list):
            raise fields.wrong_type(at, "an array", given)
        if not 0 < len(given) <= MAX_VALUES:
            raise fields.invalid(at, f"must have 1 to {MAX_VALUES} entries.")
        return Comparison(
            key, operator, tuple(read_value(entry, f"{at}[{index}]") for index, entry in enumerate(given))
        )
    if kind in ("gt", "gte", "lt", "lte") and (isinstance(given, bool) or not isinstance(given, int | float)):
        raise fields.wrong_type(at, "a number", given)
    return Comparison(key, operator, (read_value(given, at),))


def read_value(value: Any, path: str) -> Value:
    """An attribute's value: text, a finite number, or a boolean. Raises INVALID_REQUEST."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            raise fields.invalid(path, f"longer than {MAX_TEXT} characters.")
        return _encodable(value, path)
    if isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise fields.invalid(path, "must be a finite number.")
        return number
    raise fields.wrong_type(path, "a string, a number or a boolean", value)


def _encodable(value: str, path: str) -> str:
    """JSON can hold half of a surrogate pair; no text can."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise fields.invalid(path, "is not Unicode text.") from None
    return value


def _no_others(value: dict[str, Any], path: str, known: tuple[str, ...]) -> None:
    for name in value:
        if name not in known:
            shown = name[:64] if name.isprintable() else "?"
            raise fields.invalid(f"{path}.{shown}", "there is no such field.")
