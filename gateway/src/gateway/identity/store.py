"""What identity asks of the place where API keys are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.identity.api_keys import ApiKey


@dataclass(frozen=True, slots=True)
class Attempt:
    """One idempotent creation: who asked under which key, and for what.

    `token` is a digest of tenant, subject and Idempotency-Key; `fingerprint` of the request's content.
    Both are 32 bytes. `expires_at` is in Unix seconds.
    """

    token: bytes
    fingerprint: bytes
    sealed: bytes
    """The shown key, encrypted so that only a repeat of the same request can open it."""
    expires_at: float


@dataclass(frozen=True, slots=True)
class Created:
    """A stored key, and the first attempt's record when this was a repeat of it."""

    key: ApiKey
    repeat_of: Attempt | None


class KeyStore(Protocol):
    """Stored API keys. Every method but `changes` and `find` is bound to one tenant."""

    async def create(self, key: ApiKey, attempt: Attempt | None, *, max_keys: int, now: float) -> Created:
        """Stores a key, and its attempt, in one transaction; a repeated attempt stores nothing.

        Raises CONFLICT when the tenant already has `max_keys` usable keys.
        """
        ...

    async def get(self, tenant: str, key_id: str) -> ApiKey | None:
        """One key of a tenant, revoked ones too."""
        ...

    async def list(self, tenant: str, *, after: str | None, limit: int) -> Sequence[ApiKey]:
        """A tenant's keys, newest first, from behind the key `after`."""
        ...

    async def revoke(self, tenant: str, key_id: str, *, at: float) -> ApiKey | None:
        """Marks a key revoked and returns it; a revoked one stays as it was; None when there is none."""
        ...

    async def changes(self, after: int, limit: int) -> Sequence[ApiKey]:
        """Keys of all tenants whose revision is above `after`, in that order."""
        ...

    async def find(self, key_id: str) -> ApiKey | None:
        """A key of any tenant by its id: only to check a presented credential."""
        ...
