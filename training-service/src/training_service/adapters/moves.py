"""Releases as events tell them: what the registry has yet to show of each released name, in order.

What is not shown within `days` is given up.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, and_, delete, func, insert, or_, select, tuple_, update

from servicekit.bus import Event
from servicekit.outbox import inbox
from servicekit.store import Store
from sixfold.events.v1 import release_pb2
from training_service import metrics
from training_service.adapters.tables import MOVES, REGISTRAR

GROUP = "training-service-registry"
PROMOTED, CANARY = "promoted", "canary"
_MOST = 200


@dataclass(frozen=True, slots=True)
class Move:
    """One step of a release that changed where a name leads."""

    revision: int
    release_id: str
    status: str
    champion: str
    """What answers to the name from then on."""
    candidate: str
    policy: str
    policy_sha256: str
    approved_by: Sequence[str]

    @property
    def challenger(self) -> str:
        """What may answer tomorrow; empty outside a canary."""
        return self.candidate if self.status == CANARY else ""


@dataclass(frozen=True, slots=True)
class Standing:
    """A name: its newest move, and those that are not shown yet, the oldest first."""

    tenant: str
    alias: str
    newest: Move
    moves: Sequence[Move]
    registered: bool
    """Whether the registry knows the name already."""


class Moves:
    """A handler of release events, and the list of what waits. However they come, the newest holds."""

    def __init__(self, store: Store, *, days: float) -> None:
        self._store = store
        self._seconds = days * 86400

    async def __call__(self, event: Event) -> None:
        """An event that comes again has no second effect."""
        if event.type != "release.changed":
            return
        told = event.parse(release_pb2.ReleaseChanged)
        if not told.route_revision:
            return
        values = {
            "tenant": event.tenant,
            "alias": told.alias,
            "revision": told.route_revision,
            "release_id": told.release_id,
            "status": told.status,
            "champion": told.candidate if told.status == PROMOTED else told.champion,
            "candidate": told.candidate,
            "policy": told.policy,
            "policy_sha256": told.policy_sha256,
            "approved_by": json.dumps(list(told.approved_by)),
            "at": event.time.timestamp(),
            "shown": False,
            "registered": False,
        }
        async with self._store.begin() as connection:
            if not await inbox.first_time(connection, GROUP, event.id):
                return
            old = and_(MOVES.c.shown.is_(False), MOVES.c.at < time.time() - self._seconds)
            await connection.execute(delete(MOVES).where(old))
            same = [MOVES.c[each] == values[each] for each in ("tenant", "alias", "revision")]
            await connection.execute(delete(MOVES).where(*same))
            await connection.execute(insert(MOVES).values(values))

    async def waiting(self) -> Sequence[Standing]:
        """Names with something to show, those that wait longest first."""
        hidden = MOVES.c.shown.is_(False)
        due = (
            select(MOVES.c.tenant, MOVES.c.alias)
            .where(hidden)
            .group_by(MOVES.c.tenant, MOVES.c.alias)
            .order_by(func.min(MOVES.c.at))
            .limit(_MOST)
        )
        async with self._store.read() as connection:
            count = select(func.count()).select_from(MOVES).where(hidden)
            metrics.MOVES_WAITING.set((await connection.execute(count)).scalar_one())
            names = [(row.tenant, row.alias) for row in await connection.execute(due)]
            if not names:
                return []
            theirs = select(MOVES).where(tuple_(MOVES.c.tenant, MOVES.c.alias).in_(names))
            rows = (await connection.execute(theirs.order_by(MOVES.c.revision))).all()
        by_name: dict[tuple[str, str], list[Row[Any]]] = {}
        for row in rows:
            by_name.setdefault((row.tenant, row.alias), []).append(row)
        return [_standing(by_name[each]) for each in names if each in by_name]

    async def shown(self, standing: Standing, *, registered: bool) -> None:
        """Nothing of this is left to do. Of what is shown, only a name's newest move is kept."""
        mine = and_(MOVES.c.tenant == standing.tenant, MOVES.c.alias == standing.alias)
        revisions = [move.revision for move in standing.moves]
        async with self._store.begin() as connection:
            these = and_(mine, MOVES.c.revision.in_(revisions))
            await connection.execute(update(MOVES).where(these).values(shown=True))
            newest = and_(mine, MOVES.c.revision == standing.newest.revision)
            known = registered or standing.registered
            await connection.execute(update(MOVES).where(newest).values(registered=known))
            older = and_(mine, MOVES.c.shown.is_(True), MOVES.c.revision < standing.newest.revision)
            await connection.execute(delete(MOVES).where(older))

    async def lead(self, owner: str, seconds: float) -> bool:
        """Whether this owner alone may write to the registry, for so long from now."""
        now = time.time()
        free = or_(
            REGISTRAR.c.owner == owner,
            REGISTRAR.c.expires_at < now,
            REGISTRAR.c.expires_at > now + 10 * seconds,  # a clock that was set back
        )
        async with self._store.begin() as connection:
            taken = await connection.execute(
                update(REGISTRAR)
                .where(REGISTRAR.c.id == 1, free)
                .values(owner=owner, expires_at=now + seconds)
            )
        return taken.rowcount == 1

    async def yield_lead(self, owner: str) -> None:
        """Somebody else may go on at once."""
        async with self._store.begin() as connection:
            await connection.execute(
                update(REGISTRAR).where(REGISTRAR.c.owner == owner).values(owner="", expires_at=0.0)
            )


def _standing(rows: Sequence[Row[Any]]) -> Standing:
    """Of one name's rows, the oldest first."""
    return Standing(
        tenant=rows[-1].tenant,
        alias=rows[-1].alias,
        newest=_move(rows[-1]),
        moves=tuple(_move(row) for row in rows if not row.shown),
        registered=any(row.registered for row in rows),
    )


def _move(row: Row[Any]) -> Move:
    return Move(
        revision=row.revision,
        release_id=row.release_id,
        status=row.status,
        champion=row.champion,
        candidate=row.candidate,
        policy=row.policy,
        policy_sha256=row.policy_sha256,
        approved_by=json.loads(row.approved_by),
    )
