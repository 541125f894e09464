"""A kept response, and what keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Kept:
    """A response as it was given. Times are Unix seconds."""

    id: str
    tenant: str
    created_at: float
    expires_at: float
    previous: str
    """The id of the response that it follows; empty for none."""
    fingerprint: bytes
    """SHA-256 of the request's body where the caller sent an Idempotency-Key; empty otherwise."""
    body: bytes
    """The response object as JSON."""
    items: bytes
    """The items of its own input as a JSON array."""

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return len(self.body) + len(self.items)


class ResponseStore(Protocol):
    """Records of responses. No query runs without a tenant, and nothing that has expired is found."""

    async def add(self, kept: Kept) -> None:
        """Durable when it returns; one that is already there stays as it is."""
        ...

    async def get(self, tenant: str, response_id: str, *, now: float) -> Kept | None: ...

    async def chain(self, tenant: str, response_id: str, *, limit: int, now: float) -> Sequence[Kept]:
        """This response and those that it follows, newest first, `limit` at most."""
        ...

    async def page(
        self, tenant: str, *, after: str, limit: int, ascending: bool, now: float
    ) -> Sequence[Kept]:
        """Those behind `after` by the time at which they were made; `limit` at most, without their items."""
        ...

    async def delete(self, tenant: str, response_id: str) -> bool:
        """Whether there was one."""
        ...

    async def sweep(self, *, now: float, limit: int) -> int:
        """Deletes what has expired, `limit` at most, whosever it is; gives how many."""
        ...
