"""Zip containers: sizes are added up before anything is unpacked, and no part unpacks to more than that."""

from __future__ import annotations

import posixpath
import zipfile
import zlib
from typing import BinaryIO
from urllib.parse import unquote

from retrieval_service.documents.errors import DocumentError, FileReason
from retrieval_service.parsing.limits import ParserLimits

_SMALL = 16 << 20
_ENCRYPTED = 0x1


class Archive:
    """The parts of a zipped document. Archives within it are never opened."""

    def __init__(self, file: BinaryIO, limits: ParserLimits) -> None:
        """Raises DocumentError: CORRUPT, TOO_LARGE or PASSWORD_PROTECTED."""
        try:
            self._zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, ValueError, EOFError, OSError, NotImplementedError):
            raise _corrupt() from None
        entries = self._zip.infolist()
        if len(entries) > limits.archive_entries:
            raise _too_large(f"It has more than {limits.archive_entries} parts.")
        unpacked = sum(entry.file_size for entry in entries)
        packed = sum(entry.compress_size for entry in entries)
        if unpacked > limits.unpacked_bytes:
            raise _too_large(f"Unpacked it is larger than {limits.unpacked_bytes} bytes.")
        file.seek(0, 2)
        # Entries may share their packed bytes, so the file's own size is what counts.
        if unpacked > _SMALL and unpacked > limits.compression_ratio * min(packed, file.tell()):
            raise _too_large(f"Unpacked it is more than {limits.compression_ratio} times larger.")
        if any(entry.flag_bits & _ENCRYPTED for entry in entries):
            raise DocumentError(FileReason.PASSWORD_PROTECTED, "It is protected with a password.")
        self._names = {entry.filename: entry for entry in entries}

    @property
    def names(self) -> list[str]:
        """Of all parts."""
        return list(self._names)

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def read(self, name: str) -> bytes:
        """One part. Raises DocumentError(CORRUPT) if it is missing, damaged or not as large as it says."""
        try:
            return self._zip.read(self._names[name])
        except (
            KeyError,
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            OSError,
            NotImplementedError,
            RuntimeError,
        ):
            raise _corrupt() from None


def resolve(base: str, target: str) -> str:
    """The part that a link within part `base` means."""
    target = unquote(target.split("#", 1)[0])
    if target.startswith("/"):
        return target[1:]
    return posixpath.normpath(posixpath.join(posixpath.dirname(base), target))


def _corrupt() -> DocumentError:
    return DocumentError(FileReason.CORRUPT, "It is a damaged or incomplete zip container.")


def _too_large(message: str) -> DocumentError:
    return DocumentError(FileReason.TOO_LARGE, message)
