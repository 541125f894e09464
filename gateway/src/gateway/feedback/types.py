"""Feedback on one answer."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass
from typing import Literal

from servicekit.errors import Reason, SixfoldError

Kind = Literal["thumbs", "score", "correction", "flag"]
KINDS: tuple[Kind, ...] = ("thumbs", "score", "correction", "flag")
REQUEST_ID = r"[A-Za-z0-9._:-]{1,64}"
"""What a request id looks like: ours, and those that callers give as x-request-id."""
MAX_COMMENT = 4_000
_REQUEST_ID = re.compile(REQUEST_ID)


@dataclass(frozen=True, slots=True)
class Given:
    """What a caller says of an answer; `check` tells whether that makes sense."""

    request_id: str
    kind: Kind
    value: float | None = None
    """1 or -1 for thumbs, 0 to 1 for a score; none for the other kinds."""
    correction: str = ""
    """The better answer; a correction has one, no other kind does."""
    comment: str = ""
    """Why, in a person's words or a code."""

    def check(self, *, max_correction: int) -> None:
        """Raises INVALID_REQUEST naming the field. `max_correction` is in characters."""
        if not _REQUEST_ID.fullmatch(self.request_id):
            raise _invalid("request_id", "the x-request-id of an answer.")
        if self.kind not in KINDS:
            raise _invalid("kind", f"one of {', '.join(KINDS)}.")
        self._check_value()
        if (self.kind == "correction") != bool(self.correction.strip()):
            raise _invalid("correction", "the better answer, and only for the kind correction.")
        for name, text, most in (
            ("correction", self.correction, max_correction),
            ("comment", self.comment, MAX_COMMENT),
        ):
            if len(text) > most:
                raise _invalid(name, f"at most {most} characters.")
            if not _is_text(text):
                raise _invalid(name, "text without NUL and without halves of characters.")

    def _check_value(self) -> None:
        value = self.value
        if self.kind == "thumbs":
            if value not in (1, -1):
                raise _invalid("value", "1 for thumbs up or -1 for thumbs down.")
        elif self.kind == "score":
            if value is None or not math.isfinite(value) or not 0 <= value <= 1:
                raise _invalid("value", "a number from 0, the worst, to 1, the best.")
        elif value is not None:
            raise _invalid("value", "nothing for this kind.")

    def fingerprint(self) -> bytes:
        """The same for the same content alone."""
        parts = [self.request_id, self.kind, self.value, self.correction, self.comment]
        return hashlib.sha256(json.dumps(parts).encode()).digest()


@dataclass(frozen=True, slots=True)
class Feedback:
    """Feedback as it is kept."""

    id: str
    """fb_ and 24 hexadecimal digits."""
    tenant: str
    given: Given
    subject: str
    """Who gave it."""
    created_at: float
    """Unix seconds."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A caller's Idempotency-Key, so that a repeat is known."""

    token: str
    fingerprint: bytes


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _invalid(param: str, expected: str) -> SixfoldError:
    return SixfoldError(Reason.INVALID_REQUEST, f"{param}: expected {expected}", param=param)
