"""What callers may read of the audit: their own tenant's, with the scope for it."""

from __future__ import annotations

from typing import Protocol

from gateway.identity.principal import require
from gateway.identity.roles import AUDIT_READ
from gateway.jobs.audit_types import AuditEntry, Wanted
from gateway.jobs.types import Listed, Page
from gateway.openai import fields
from gateway.retrieval.ids import RELEASE, is_id
from gateway.retrieval.service import Call
from gateway.routing.ports import Asker


class Auditing(Protocol):
    """The eval service on one asker's behalf. Raises SixfoldError; NOT_FOUND for a cursor of nobody's."""

    async def audit(
        self, asker: Asker, page: Page, wanted: Wanted, *, deadline: float
    ) -> Listed[AuditEntry]: ...


class AuditService:
    """The audit of the caller's tenant. Raises SixfoldError."""

    def __init__(self, auditing: Auditing, *, deadline: float) -> None:
        """`deadline` is how many seconds one call to the eval service may take."""
        self._auditing = auditing
        self._deadline = deadline

    async def list(self, call: Call, page: Page, wanted: Wanted) -> Listed[AuditEntry]:
        """A page of lines. A release that cannot be one has none."""
        require(call.caller, AUDIT_READ)
        release, _, _ = page.after.partition("-")
        if page.after and not is_id(RELEASE, release):
            raise fields.invalid("after", "is no id of a line of the audit.")
        if wanted.release_id and not is_id(RELEASE, wanted.release_id):
            return Listed([], False)
        return await self._auditing.audit(call.asker, page, wanted, deadline=self._deadline)
