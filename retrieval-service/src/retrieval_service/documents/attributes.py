"""Attributes of files, and the filters that searches put on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

Value = str | float | bool
Attributes = Mapping[str, Value]


class Operator(StrEnum):
    """How a value is compared."""

    EQ = "eq"
    NE = "ne"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    IN = "in"
    NIN = "nin"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One attribute against values. A file without the attribute passes none of them, NE and NIN included."""

    key: str
    operator: Operator
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Compound:
    """Several filters, joined by "or" if `any`, by "and" otherwise."""

    any: bool
    filters: Sequence[Filter]


Filter = Comparison | Compound
