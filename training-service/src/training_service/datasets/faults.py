"""What is wrong with a row, or with all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from training_service.datasets.rows import Place

_NAMED = 5


class Cause(StrEnum):
    """Why a row is left out. Stable: programs branch on these."""

    BAD_JSON = "BAD_JSON"
    BAD_SHAPE = "BAD_SHAPE"
    BAD_ROLE = "BAD_ROLE"
    EMPTY_PROMPT = "EMPTY_PROMPT"
    EMPTY_ANSWER = "EMPTY_ANSWER"
    SAME_ANSWERS = "SAME_ANSWERS"
    TOO_LONG = "TOO_LONG"
    CONTEXT_LENGTH_EXCEEDED = "CONTEXT_LENGTH_EXCEEDED"
    WRONG_KIND = "WRONG_KIND"
    INJECTED_INSTRUCTIONS = "INJECTED_INSTRUCTIONS"
    DUPLICATE = "DUPLICATE"
    NEAR_DUPLICATE = "NEAR_DUPLICATE"
    LEAKED = "LEAKED"


@dataclass(eq=False)
class RowFault(Exception):
    """One row that cannot be used. The message names no content of it."""

    cause: Cause
    message: str
    place: Place

    def told(self) -> str:
        """For a person."""
        return f"{self.place.source}, line {self.place.line}: {self.message}"


class Reason(StrEnum):
    """Why no data set can be made, or none can be trained on."""

    EMPTY_DATASET = "EMPTY_DATASET"
    ALL_DUPLICATES = "ALL_DUPLICATES"
    ONE_LABEL = "ONE_LABEL"
    BAD_ROWS = "BAD_ROWS"
    UNREADABLE_FILE = "UNREADABLE_FILE"
    MIXED_KINDS = "MIXED_KINDS"
    TOO_MANY_ROWS = "TOO_MANY_ROWS"


@dataclass(eq=False)
class SetFault(Exception):
    """The whole cannot be used."""

    reason: Reason
    message: str


def bad_rows(faults: Sequence[RowFault]) -> SetFault:
    """Rows that must be put right first, the first few of them named with their lines."""
    named = "; ".join(fault.told() for fault in faults[:_NAMED])
    more = f" and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
    return SetFault(Reason.BAD_ROWS, f"{len(faults)} rows cannot be used: {named}{more}.")
