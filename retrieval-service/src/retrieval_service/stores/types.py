"""Stores, the files attached to them, batches. Times are microseconds since 1970, so that they also order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from retrieval_service.documents.attributes import Attributes
from retrieval_service.documents.errors import FileFault

DAY_US = 86_400 * 1_000_000


class FileState(StrEnum):
    """Where a file is on its way into a store."""

    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Chunking:
    """How a document is cut, in tokens. `is_static` says that both numbers were the caller's choice."""

    max_tokens: int
    overlap_tokens: int
    is_static: bool = False


@dataclass(frozen=True, slots=True)
class FileRef:
    """A file as its owner keeps it. `created_at` is in Unix seconds."""

    id: str
    filename: str
    bytes: int
    sha256: str
    object_key: str
    created_at: int


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file to attach."""

    file: FileRef
    attributes: Attributes
    chunking: Chunking


@dataclass(frozen=True, slots=True)
class Store:
    """A set of documents with an index of its own."""

    tenant: str
    id: str
    name: str
    description: str
    created_us: int
    last_active_us: int
    expires_after_days: int
    metadata: Mapping[str, str]
    weights: Mapping[str, float]
    """Weight of the vectors by language, "" for every other; empty where the store was not tuned."""
    threshold: float | None
    """The score from which a hit is good enough to answer from, where the store was tuned."""
    embedding_model: str
    """Every vector of a store is this model's: those of two models cannot be compared."""
    embedding_version: str = ""
    """The model's version; empty until the first file is indexed."""

    @property
    def expires_us(self) -> int:
        """When it expires; 0 for never."""
        return self.last_active_us + self.expires_after_days * DAY_US if self.expires_after_days else 0

    def expired(self, now_us: int) -> bool:
        """Whether its time is over."""
        return 0 < self.expires_us <= now_us


@dataclass(frozen=True, slots=True)
class Counts:
    """Files by state."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.in_progress + self.completed + self.failed + self.cancelled


@dataclass(frozen=True, slots=True)
class StoreView:
    """A store and how its files stand."""

    store: Store
    counts: Counts = field(default_factory=Counts)
    usage_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file in a store."""

    tenant: str
    store_id: str
    id: str
    file: FileRef
    created_us: int
    state: FileState
    current: bool
    """False for one that answers only until its successor is indexed."""
    batch_id: str
    attributes: Attributes
    chunking: Chunking
    fault: FileFault | None = None
    passages: int = 0
    pages: int = 0
    usage_bytes: int = 0
    language: str = ""
    duplicate_of: str = ""
    """The file whose passages answer for this one too: the text is the same."""
    near_duplicate_of: str = ""
    """A file of the store that says nearly the same."""
    index_id: str = ""
    """The name under which both arms hold its passages: its own id, or that of its original."""
    attempts: int = 0
    embedding: str = ""
    """Name and version of the model that made its vectors."""
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """Files that were attached together."""

    tenant: str
    id: str
    store_id: str
    created_us: int
    cancelled: bool
    counts: Counts = field(default_factory=Counts)

    @property
    def state(self) -> FileState:
        """In progress while one of its files is."""
        if self.counts.in_progress:
            return FileState.IN_PROGRESS
        return FileState.CANCELLED if self.cancelled else FileState.COMPLETED


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list, ordered by the time at which its members were made, then by id."""

    limit: int = 20
    after: str = ""
    before: str = ""
    ascending: bool = False
