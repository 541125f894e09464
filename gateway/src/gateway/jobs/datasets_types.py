"""Data sets: rows that were read, checked, split and frozen. Times are Unix seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from gateway.jobs.types import JobStatus
from gateway.retrieval.types import FileRef

Kind = Literal["supervised", "preference"]
Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")
CARD = "card"
"""Lies beside the parts."""


@dataclass(frozen=True, slots=True)
class OfFile:
    """A file, by its id."""

    file_id: str


@dataclass(frozen=True, slots=True)
class OfFeedback:
    """What people said about answers. Bounds of 0 are none, and no model is every model."""

    kinds: Sequence[str] = ()
    """"correction", "thumbs", "score"; none means corrections."""
    since: float = 0
    until: float = 0
    model: str = ""


@dataclass(frozen=True, slots=True)
class OfDataset:
    """A data set, or one part of it."""

    dataset_id: str
    part: Part | None = None


Asked = OfFile | OfFeedback | OfDataset
"""Where rows come from, as a caller says it."""
Source = FileRef | OfFeedback | OfDataset
"""The same, with the place of a file that is the caller's."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is done to rows. Shares are from 0 to 0.5."""

    kind: Kind | None = None
    """None takes what the rows are."""
    validation_share: float = 0
    test_share: float = 0
    seed: int = 0
    keep_personal_data: bool = False
    keep_near_duplicates: bool = False
    strict: bool = False
    """Whether a row that cannot be used ends all; otherwise it is left out and counted."""


@dataclass(frozen=True, slots=True)
class Order:
    """A data set to make."""

    name: str
    sources: Sequence[Source]
    options: Options = field(default_factory=Options)
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dataset:
    """As it stands."""

    id: str
    name: str
    status: JobStatus
    job_id: str
    created_at: float
    version: str = ""
    """SHA-256 over all rows in order, in hex; empty before it is made."""
    kind: Kind | None = None
    rows: Mapping[str, int] = field(default_factory=dict)
    """By part."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """By UPPER_SNAKE cause."""
    warnings: Sequence[str] = ()
    reason: str = ""
    """UPPER_SNAKE, when it could not be made."""
    message: str = ""
    object_keys: Mapping[str, str] = field(default_factory=dict)
    """By part, and "card"."""
    metadata: Mapping[str, str] = field(default_factory=dict)
