"""API keys: their form, their digest, and what is known of one.

A key is `sk-sixfold-<12 hex id>-<43 characters of secret>`. The secret has 256 random bits, so one SHA-256
of the whole key is enough to store: there is nothing to guess, and checking stays cheap.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from typing import Literal

from gateway.identity.principal import KeyLimits, Principal

PREFIX = b"sk-sixfold-"
_FORM = re.compile(rb"sk-sixfold-([0-9a-f]{12})-[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One stored key. Times are Unix seconds."""

    id: str
    tenant: str
    name: str
    role: str
    scopes: frozenset[str]
    digest: bytes = field(repr=False)
    """SHA-256 of the whole key."""
    created_at: float
    created_by: str
    expires_at: float | None = None
    revoked_at: float | None = None
    limits: KeyLimits | None = None
    revision: int = 0
    """Grows with every change of any key, in commit order: what snapshots read on from."""

    def matches(self, digest: bytes) -> bool:
        """Whether `digest` is this key's, in constant time."""
        return hmac.compare_digest(self.digest, digest)

    def status(self, now: float) -> Literal["active", "expired", "revoked"]:
        """`active`, `expired` or `revoked` at `now`."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= now:
            return "expired"
        return "active"

    def principal(self) -> Principal:
        """The caller this key stands for."""
        return Principal(
            self.tenant,
            f"key:{self.id}",
            self.role,
            self.scopes,
            "key",
            self.id,
            self.expires_at,
            self.limits,
        )


def new_key() -> tuple[str, str]:
    """A fresh key: its public id, and the whole key that is shown once."""
    key_id = secrets.token_hex(6)
    return key_id, f"sk-sixfold-{key_id}-{secrets.token_urlsafe(32)}"


def key_id_of(key: bytes) -> str | None:
    """The id inside a well-formed key, or None."""
    found = _FORM.fullmatch(key)
    return found.group(1).decode("ascii") if found else None


def digest_of(key: bytes) -> bytes:
    """What is stored of a key: SHA-256 of all of it, 32 bytes."""
    return hashlib.sha256(key).digest()
