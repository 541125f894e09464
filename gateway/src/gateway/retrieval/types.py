"""Stores, their files, batches and what searches find. Times are Unix seconds, sizes bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from gateway.retrieval.filters import Value

Attributes = Mapping[str, Value]
FileStatus = Literal["in_progress", "completed", "failed", "cancelled"]
StoreStatus = Literal["in_progress", "completed", "expired"]


@dataclass(frozen=True, slots=True)
class FileRef:
    """A file of the tenant's, and where its content is."""

    id: str
    filename: str
    bytes: int
    sha256: str
    object_key: str
    created_at: int


@dataclass(frozen=True, slots=True)
class Chunking:
    """How a document is cut; 0 takes the service's default."""

    max_tokens: int = 0
    overlap_tokens: int = 0
    is_static: bool = False
    """Whether the caller chose both numbers."""


@dataclass(frozen=True, slots=True)
class FileToAdd:
    """A file on its way into a store."""

    file: FileRef
    attributes: Attributes = field(default_factory=dict)
    chunking: Chunking = field(default_factory=Chunking)


@dataclass(frozen=True, slots=True)
class Counts:
    """Files by where they are."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Store:
    """A set of documents that is searched together."""

    id: str
    name: str
    description: str
    created_at: int
    last_active_at: int
    usage_bytes: int
    counts: Counts
    status: StoreStatus
    expires_after_days: int
    """Days after the last activity; 0 for never."""
    expires_at: int
    """0 for never."""
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FileError:
    """Why a file is not in the index."""

    code: str
    """OpenAI's word: server_error, unsupported_file or invalid_file."""
    reason: str
    """UPPER_SNAKE, stable."""
    message: str


@dataclass(frozen=True, slots=True)
class StoreFile:
    """A file in a store."""

    id: str
    store_id: str
    filename: str
    created_at: int
    usage_bytes: int
    status: FileStatus
    error: FileError | None
    chunking: Chunking
    attributes: Attributes
    batch_id: str
    passages: int
    pages: int
    language: str
    duplicate_of: str
    """The file with the same text in whose stead it is not indexed twice; empty for none."""
    sha256: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Files that were attached together."""

    id: str
    store_id: str
    created_at: int
    counts: Counts
    status: FileStatus


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document, with its place."""

    id: str
    index: int
    """Its number in the file, from 0."""
    text: str
    page_first: int
    """From 1; 0 where the format has no pages."""
    page_last: int
    headings: tuple[str, ...]
    """Outermost first."""
    char_start: int
    char_end: int
    language: str
    """ISO 639-1; empty when unknown."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that answers a query. Scores are from 0 to 1 and mean the same for every query."""

    file_id: str
    filename: str
    store_id: str
    score: float
    attributes: Attributes
    passage: Passage
    text_score: float = 0.0
    vector_score: float = 0.0


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found, best first."""

    hits: tuple[Hit, ...]
    relevant: bool
    """Whether the best hit is good enough to answer from."""
    vectors_used: bool
    """Whether the vector arm took part; it does not while the embedding model is away."""
    has_more: bool
    embedding_model: str
    """Name and version."""


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list, by the time at which its members were made."""

    limit: int = 20
    after: str = ""
    """The last id of the page before."""
    before: str = ""
    """The first id of the page after."""
    ascending: bool = False


class Stores(NamedTuple):
    """A page of stores."""

    data: tuple[Store, ...]
    has_more: bool


class StoreFiles(NamedTuple):
    """A page of a store's files."""

    data: tuple[StoreFile, ...]
    has_more: bool


class Passages(NamedTuple):
    """A page of a file's passages, in the order of the document."""

    data: tuple[Passage, ...]
    next_page: str
    """Empty on the last page."""


class Added(NamedTuple):
    """What attaching files gave."""

    files: tuple[StoreFile, ...]
    batch: Batch | None
