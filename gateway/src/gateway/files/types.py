"""Files, uploads and their parts. Times are Unix seconds, sizes bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Purpose = Literal[
    "assistants", "batch", "fine-tune", "vision", "user_data", "evals", "batch_output", "fine-tune-results"
]
"""The last two are what jobs leave."""
PURPOSES: tuple[Purpose, ...] = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
"""What a caller may say that a file is for."""

FileState = Literal["pending", "stored", "deleting"]
UploadState = Literal["pending", "completed", "cancelled", "expired"]

BATCH_LIFETIME = 30 * 86_400
"""Seconds after which a file for a batch, or one that it left, goes when its owner says nothing else."""

ADOPTED = "adopted:"
"""Begins the names of creations that are made once and never again, not even when the file is deleted."""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file whose content is in the object store."""

    id: str
    tenant: str
    filename: str
    """For people; without any path."""
    bytes: int
    sha256: str
    object_key: str
    created_at: float
    purpose: Purpose
    expires_at: float | None = None
    status: Literal["processed"] = "processed"
    """OpenAI's word for a file that can be used, which every stored one can."""


@dataclass(frozen=True, slots=True)
class NewFile:
    """What a caller says of a file."""

    filename: str
    purpose: Purpose
    expires_after: int | None = None
    """Seconds from now."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that comes in parts."""

    id: str
    tenant: str
    filename: str
    purpose: Purpose
    bytes: int
    mime_type: str
    created_at: float
    expires_at: float
    state: UploadState = "pending"
    file_id: str | None = None
    file_expires_after: int | None = None


@dataclass(frozen=True, slots=True)
class UploadPart:
    """A piece of an upload."""

    id: str
    upload_id: str
    bytes: int
    object_key: str
    created_at: float


@dataclass(frozen=True, slots=True)
class Attempt:
    """One idempotent creation: under which name, and for what."""

    token: str
    fingerprint: bytes
    expires_at: float


@dataclass(frozen=True, slots=True)
class FileRules:
    """Bounds; bytes and seconds."""

    max_file: int = 512 * 1024 * 1024
    max_part: int = 64 * 1024 * 1024
    max_parts: int = 1000
    """Parts of one upload."""
    max_total: int = 100 * 1024 * 1024 * 1024
    """What a tenant's files may take together."""
    max_files: int = 100_000
    """How many files, and uploads under way, a tenant may have."""
    upload_lifetime: float = 3600
    """How long an upload takes parts."""
    pending: float = 2 * 3600
    """After which a file that is not there yet never comes: its sender or this process is gone."""
    remember_attempts: float = 86_400
    """For how long a repeated request gets the first answer again."""
