"""What lineage needs of the outside: records of requests, and the services that know the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.jobs.audit_types import AuditEntry, Wanted
from gateway.jobs.releases_types import Release
from gateway.jobs.types import Listed, Page
from gateway.lineage.types import Data, Evaluation, Record, Trained
from gateway.routing.ports import Asker


class RequestStore(Protocol):
    """Records of requests, by tenant."""

    async def keep(self, records: Sequence[Record]) -> None:
        """Keeps them, all or none. Of one id the first answer stays; only a failure gives way to what came
        later. Keeping the same twice changes nothing."""
        ...

    async def find(self, tenant: str, id: str) -> Record | None:
        """One of the tenant's: by the request's id, else the first whose answer carries it."""
        ...

    async def oldest_of(self, newest: int) -> float | None:
        """When the oldest of the `newest` records was made, of all tenants; None while there are fewer."""
        ...

    async def sweep(self, *, before: float, limit: int) -> int:
        """Removes what was made before that time, at most `limit`; says how many."""
        ...


class Origins(Protocol):
    """The training service on one asker's behalf. NOT_FOUND for what is not there, or not the tenant's."""

    async def trained(self, asker: Asker, model: str, *, deadline: float) -> Trained: ...
    async def data(self, asker: Asker, dataset_id: str, *, deadline: float) -> Data: ...


class Judgements(Protocol):
    """The eval service on one asker's behalf. NOT_FOUND as above."""

    async def release(self, asker: Asker, release_id: str, *, deadline: float) -> Release: ...
    async def evaluation(self, asker: Asker, run_id: str, *, deadline: float) -> Evaluation: ...
    async def audit(
        self, asker: Asker, page: Page, wanted: Wanted, *, deadline: float
    ) -> Listed[AuditEntry]: ...
