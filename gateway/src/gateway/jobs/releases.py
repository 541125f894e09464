"""What callers may do with releases. Who asks and who approves is who the token names, and nobody else."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.identity.principal import require
from gateway.identity.roles import RELEASES_APPROVE, RELEASES_READ, RELEASES_WRITE
from gateway.jobs.ports import Releasing
from gateway.jobs.releases_types import Release
from gateway.jobs.types import Listed, Page
from gateway.retrieval.ids import RELEASE, RUN, check_cursor, check_id
from gateway.retrieval.service import Call


class ReleasesService:
    """Releases of the caller's tenant. Every method raises SixfoldError."""

    def __init__(self, releasing: Releasing, *, deadline: float) -> None:
        """`deadline` is how many seconds one call to the eval service may take."""
        self._releasing = releasing
        self._deadline = deadline

    async def create(
        self, call: Call, *, alias: str, candidate: str, run_ids: Sequence[str], policy: str
    ) -> Release:
        """A candidate on its way. NOT_FOUND for a run that is not the tenant's."""
        require(call.caller, RELEASES_WRITE)
        for at, run_id in enumerate(run_ids):
            check_id(RUN, run_id, f"run_ids[{at}]")
        return await self._releasing.create_release(
            call.asker,
            call.change,
            alias=alias,
            candidate=candidate,
            run_ids=run_ids,
            policy=policy,
            subject=call.caller.subject,
            role=call.caller.role,
            deadline=self._deadline,
        )

    async def list(self, call: Call, page: Page, *, alias: str) -> Listed[Release]:
        """The tenant's releases; of one alias where it is not empty."""
        require(call.caller, RELEASES_READ)
        check_cursor(RELEASE, page.after, "after")
        return await self._releasing.list_releases(call.asker, page, alias=alias, deadline=self._deadline)

    async def get(self, call: Call, release_id: str) -> Release:
        """One release."""
        require(call.caller, RELEASES_READ)
        check_id(RELEASE, release_id)
        return await self._releasing.get_release(call.asker, release_id, deadline=self._deadline)

    async def approve(self, call: Call, release_id: str, *, approved: bool, comment: str) -> Release:
        """The caller's yes or no. The same person twice is one person."""
        require(call.caller, RELEASES_APPROVE)
        check_id(RELEASE, release_id)
        return await self._releasing.approve_release(
            call.asker,
            call.change,
            release_id,
            approved=approved,
            comment=comment,
            subject=call.caller.subject,
            role=call.caller.role,
            deadline=self._deadline,
        )

    async def roll_back(self, call: Call, alias: str, *, reason: str) -> Release:
        """Takes back what the alias has now. When it returns, new routes are on their way."""
        require(call.caller, RELEASES_WRITE)
        return await self._releasing.roll_back(
            call.asker,
            call.change,
            alias,
            reason=reason,
            subject=call.caller.subject,
            role=call.caller.role,
            deadline=self._deadline,
        )
