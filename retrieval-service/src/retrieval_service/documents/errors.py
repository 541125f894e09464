"""Why a file cannot enter a store. The words are shown to its owner and hold nothing of the document."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, NamedTuple

Code = Literal["server_error", "unsupported_file", "invalid_file"]
"""OpenAI's `last_error.code`."""


class FileReason(StrEnum):
    """Stable: programs branch on these."""

    EMPTY = "EMPTY"
    NO_TEXT = "NO_TEXT"
    """Read, but there is no text in it: a scanned page, say."""
    UNSUPPORTED_FORMAT = "UNSUPPORTED_FORMAT"
    WRONG_EXTENSION = "WRONG_EXTENSION"
    """The content is of no supported kind that fits its name."""
    PASSWORD_PROTECTED = "PASSWORD_PROTECTED"  # noqa: S105
    CORRUPT = "CORRUPT"
    UNKNOWN_ENCODING = "UNKNOWN_ENCODING"
    TOO_LARGE = "TOO_LARGE"
    """Larger than a limit, before or after unpacking: a zip bomb ends here."""
    FORBIDDEN_CONTENT = "FORBIDDEN_CONTENT"
    """XML entities and the like."""
    PARSER_TIMEOUT = "PARSER_TIMEOUT"
    PARSER_MEMORY = "PARSER_MEMORY"
    PARSER_CRASHED = "PARSER_CRASHED"
    CONTENT_MISSING = "CONTENT_MISSING"
    """The object store does not have it, or has something else."""
    EMBEDDING_FAILED = "EMBEDDING_FAILED"
    INDEX_FAILED = "INDEX_FAILED"
    GAVE_UP = "GAVE_UP"
    """Tried as often as is allowed."""


CODES: dict[FileReason, Code] = {
    FileReason.EMPTY: "invalid_file",
    FileReason.NO_TEXT: "invalid_file",
    FileReason.UNSUPPORTED_FORMAT: "unsupported_file",
    FileReason.WRONG_EXTENSION: "unsupported_file",
    FileReason.PASSWORD_PROTECTED: "invalid_file",
    FileReason.CORRUPT: "invalid_file",
    FileReason.UNKNOWN_ENCODING: "invalid_file",
    FileReason.TOO_LARGE: "invalid_file",
    FileReason.FORBIDDEN_CONTENT: "invalid_file",
    FileReason.PARSER_TIMEOUT: "invalid_file",
    FileReason.PARSER_MEMORY: "invalid_file",
    FileReason.PARSER_CRASHED: "invalid_file",
    FileReason.CONTENT_MISSING: "server_error",
    FileReason.EMBEDDING_FAILED: "server_error",
    FileReason.INDEX_FAILED: "server_error",
    FileReason.GAVE_UP: "server_error",
}


class FileFault(NamedTuple):
    """A reason with its sentence."""

    reason: FileReason
    message: str

    @property
    def code(self) -> Code:
        """OpenAI's word for it."""
        return CODES[self.reason]


class DocumentError(Exception):
    """This file cannot be indexed, now or later: trying again with the same bytes changes nothing."""

    def __init__(self, reason: FileReason, message: str) -> None:
        super().__init__(message)
        self.fault = FileFault(reason, message)
