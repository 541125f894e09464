"""Feedback in, feedback out."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.feedback.ports import Added, FeedbackStore
from gateway.feedback.types import Attempt, Feedback, Given
from gateway.identity.principal import Principal, require
from gateway.identity.roles import FEEDBACK_READ, FEEDBACK_WRITE
from servicekit.errors import Reason, SixfoldError
from servicekit.logs import get_logger

_log = get_logger("gateway.feedback")
_SWEEP_SECONDS = 3600.0
_SWEEP_ROWS = 500


@dataclass(frozen=True, slots=True)
class FeedbackRules:
    """Bounds."""

    max_correction: int
    """Characters."""
    keep_seconds: float


class FeedbackService:
    """The tenant is the caller's, always.

    A request id is taken as it is given: what was answered just now, or long ago, need not be in the records.
    Who learns from feedback joins it to requests by tenant and id: feedback on another tenant's request, or
    on none, touches nothing.
    """

    def __init__(
        self, store: FeedbackStore, rules: FeedbackRules, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock

    async def give(self, caller: Principal, given: Given, idempotency_key: str | None) -> Added:
        """Keeps it. Raises PERMISSION_DENIED, INVALID_REQUEST, and ALREADY_EXISTS for an Idempotency-Key that
        was used for something else."""
        require(caller, FEEDBACK_WRITE)
        given.check(max_correction=self._rules.max_correction)
        attempt = None
        if idempotency_key is not None:
            attempt = Attempt(_token(caller, idempotency_key), given.fingerprint())
        feedback = Feedback(
            id=f"fb_{secrets.token_hex(12)}",
            tenant=caller.tenant,
            given=given,
            subject=caller.subject,
            created_at=self._clock(),
        )
        return await self._store.add(feedback, attempt)

    async def show(self, caller: Principal, feedback_id: str) -> Feedback:
        """One of the tenant's. Raises NOT_FOUND, for another tenant's too."""
        require(caller, FEEDBACK_READ)
        found = await self._store.get(caller.tenant, feedback_id)
        if found is None:
            raise SixfoldError(Reason.NOT_FOUND, "There is no feedback of that id.", param="feedback_id")
        return found

    async def list(
        self, caller: Principal, *, request_id: str | None, after: str | None, ascending: bool, limit: int
    ) -> tuple[Sequence[Feedback], bool]:
        """A page of the tenant's, and whether there is more behind it."""
        require(caller, FEEDBACK_READ)
        found = await self._store.page(
            caller.tenant, request_id=request_id, after=after, ascending=ascending, limit=limit + 1
        )
        return found[:limit], len(found) > limit

    async def sweep(self) -> None:
        """Removes what is old, again and again, until cancelled."""
        while True:
            try:
                before = self._clock() - self._rules.keep_seconds
                gone = _SWEEP_ROWS
                while gone == _SWEEP_ROWS:
                    gone = await self._store.sweep(before=before, limit=_SWEEP_ROWS)
            except SixfoldError as error:
                _log.warning("old feedback was not removed", reason=error.reason.value)
            except Exception:
                _log.exception("removing old feedback failed")
            await asyncio.sleep(_SWEEP_SECONDS)


def _token(caller: Principal, key: str) -> str:
    """Nobody else's key gives the same."""
    taken = hashlib.sha256()
    for part in (caller.tenant, caller.subject, key):
        taken.update(len(part.encode()).to_bytes(8, "big") + part.encode())
    return taken.hexdigest()
