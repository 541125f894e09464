"""Files and uploads as OpenAI's clients read them, and the fields that describe a new one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from gateway.files.names import clean_filename
from gateway.files.types import PURPOSES, FileRecord, NewFile, Purpose, UploadPart
from gateway.files.uploads import Shown
from gateway.openai import fields

_MIN_EXPIRY, _MAX_EXPIRY = 3600, 2_592_000


def write_file(file: FileRecord) -> dict[str, Any]:
    """OpenAI's file object, with the digest of the content beside it."""
    shown: dict[str, Any] = {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": int(file.created_at),
        "filename": file.filename,
        "purpose": file.purpose,
        "status": file.status,
        "sha256": file.sha256,
    }
    if file.expires_at is not None:
        shown["expires_at"] = int(file.expires_at)
    return shown


def write_upload(shown: Shown) -> dict[str, Any]:
    """OpenAI's upload object."""
    upload = shown.upload
    return {
        "id": upload.id,
        "object": "upload",
        "bytes": upload.bytes,
        "created_at": int(upload.created_at),
        "expires_at": int(upload.expires_at),
        "filename": upload.filename,
        "purpose": upload.purpose,
        "status": upload.state,
        "file": None if shown.file is None else write_file(shown.file),
    }


def write_part(part: UploadPart) -> dict[str, Any]:
    """OpenAI's upload part object."""
    return {
        "id": part.id,
        "object": "upload.part",
        "created_at": int(part.created_at),
        "upload_id": part.upload_id,
    }


def parse_purpose(value: str) -> Purpose:
    """What a file is for. Raises INVALID_REQUEST."""
    for purpose in PURPOSES:
        if purpose == value:
            return purpose
    raise fields.invalid("purpose", f"must be one of {', '.join(PURPOSES)}.")


def parse_expiry(anchor: str | None, seconds: str | None) -> int | None:
    """Seconds after which a file expires, None for never. Raises INVALID_REQUEST."""
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        raise fields.invalid("expires_after[anchor]", "must be 'created_at'.")
    if seconds is None:
        raise fields.missing("expires_after[seconds]")
    if (
        not (seconds.isascii() and seconds.isdigit() and len(seconds) < 10)
        or not _MIN_EXPIRY <= int(seconds) <= _MAX_EXPIRY
    ):
        raise fields.invalid(
            "expires_after[seconds]", f"must be a whole number from {_MIN_EXPIRY} to {_MAX_EXPIRY}."
        )
    return int(seconds)


def parse_new_file(said: Mapping[str, str], filename: str | None) -> NewFile:
    """What the fields of a form say of its file. Raises INVALID_REQUEST."""
    if "purpose" not in said:
        raise fields.missing("purpose")
    return NewFile(
        clean_filename(filename or ""),
        parse_purpose(said["purpose"]),
        parse_expiry(said.get("expires_after[anchor]"), said.get("expires_after[seconds]")),
    )


def same_file(wanted: NewFile, sha256: str) -> bytes:
    """What makes two requests for a file the same."""
    said = (wanted.filename, wanted.purpose, wanted.expires_after, sha256)
    return hashlib.sha256(repr(said).encode()).digest()
