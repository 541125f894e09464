"""Releases and routes. A step, its route, its event and its lines in the audit are one transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import and_, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from eval_service.adapters.records import audit
from eval_service.adapters.records.once import Attempt, first_try, keep_answer, now_us, paged
from eval_service.adapters.records.tables import (
    canary_answers,
    canary_feedback,
    releases,
    route_head,
    routes,
)
from eval_service.release.audit import NOBODY, Actor, entries
from eval_service.release.canary import FEEDBACK
from eval_service.release.states import Release, State, move
from servicekit import outbox
from servicekit.bus import Event
from servicekit.bus.topics import RELEASES
from servicekit.errors import Reason, SixfoldError
from servicekit.store import Store
from sixfold.events.v1 import release_pb2

SOURCE = "eval-service"
_BODY: TypeAdapter[Release] = TypeAdapter(Release)
_ROUTED = (State.CANARY, State.PROMOTED, State.ROLLED_BACK)


@dataclass(frozen=True, slots=True)
class Route:
    """Where requests for a name go."""

    tenant: str
    alias: str
    champion: str
    candidate: str
    share: float
    salt: str
    release_id: str
    revision: int


@dataclass(frozen=True, slots=True)
class UnderWay:
    """How many releases have not come to their end."""

    states: Mapping[State, int]
    shares: Mapping[float, int]
    """Canaries by the share of requests that goes to the candidate."""


class ReleaseRecords:
    """Another tenant's release is NOT_FOUND.

    `announced` is called after a transaction with an event, `stepped` after a step with what was (None for a
    new release) and what is.
    """

    def __init__(
        self,
        store: Store,
        *,
        announced: Callable[[], None] = lambda: None,
        stepped: Callable[[Release | None, Release], None] = lambda before, after: None,
    ) -> None:
        self._store = store
        self._announced = announced
        self._stepped = stepped

    async def create(self, release: Release, attempt: Attempt, *, role: str = "") -> Release:
        """CONFLICT while another release of the alias is on its way. `role` is its subject's."""
        tenant = release.tenant
        try:
            async with self._store.begin() as connection:
                await first_try(connection, tenant, attempt)
                route = await _route(connection, tenant, release.alias)
                if route is not None:
                    if route.champion == release.candidate:
                        raise SixfoldError(
                            Reason.CONFLICT, "The candidate answers to this name already.", param="candidate"
                        )
                    release = replace(release, champion=route.champion)
                await connection.execute(insert(releases).values(_values(release)))
                await self._note(connection, None, release, Actor(release.subject, role))
                await keep_answer(connection, tenant, attempt, release)
        except IntegrityError:
            raise SixfoldError(
                Reason.CONFLICT, "Another release of this name is on its way.", param="alias"
            ) from None
        self._announced()
        self._stepped(None, release)
        return release

    async def get(self, tenant: str, id: str) -> Release:
        """NOT_FOUND."""
        async with self._store.read() as connection:
            return await _release(connection, tenant, id)

    async def list(
        self, tenant: str, alias: str, *, after: str, limit: int, ascending: bool
    ) -> tuple[Sequence[Release], bool]:
        """A page, of one alias if it is given."""
        query = select(releases).where(releases.c.tenant == tenant)
        if alias:
            query = query.where(releases.c.alias == alias)
        async with self._store.read() as connection:
            found, more = await paged(
                connection, query, releases, after=after, limit=limit, ascending=ascending
            )
        return [_BODY.validate_json(bytes(row.body)) for row in found], more

    async def in_state(self, state: State, *, limit: int = 1000) -> Sequence[Release]:
        """Of all tenants: for the service's own rounds."""
        async with self._store.read() as connection:
            query = select(releases.c.body).where(releases.c.state == state.value, releases.c.is_active)
            found = await connection.execute(query.order_by(releases.c.changed_us).limit(limit))
            return [_BODY.validate_json(bytes(row.body)) for row in found]

    async def under_way(self) -> UnderWay:
        """Of all tenants: for the service's own figures."""
        async with self._store.read() as connection:
            states = await connection.execute(
                select(releases.c.state, func.count()).where(releases.c.is_active).group_by(releases.c.state)
            )
            shares = await connection.execute(
                select(routes.c.share, func.count()).where(routes.c.candidate != "").group_by(routes.c.share)
            )
            return UnderWay(
                {State(state): int(number) for state, number in states},
                {float(share): int(number) for share, number in shares},
            )

    async def change(
        self,
        tenant: str,
        id: str,
        decide: Callable[[Release], Release],
        *,
        actor: Actor = NOBODY,
        attempt: Attempt | None = None,
    ) -> Release:
        """Takes a release on, as `decide` says of how it stands now. What it raises changes nothing.

        Two at once happen one after the other, and the second decides on what the first has left.
        """
        async with self._store.begin() as connection:
            if attempt is not None:
                await first_try(connection, tenant, attempt)
            release = await _release(connection, tenant, id, lock=True)
            changed = await self._apply(connection, release, decide, actor)
            if attempt is not None:
                await keep_answer(connection, tenant, attempt, changed)
        self._announced()
        self._stepped(release, changed)
        return changed

    async def roll_back(
        self, tenant: str, alias: str, decide: Callable[[Release], Release], *, actor: Actor, attempt: Attempt
    ) -> Release:
        """The name's canary, or what was promoted last, or what is on its way. NOT_FOUND for nothing."""
        async with self._store.begin() as connection:
            await first_try(connection, tenant, attempt)
            id = await self._to_roll_back(connection, tenant, alias)
            release = await _release(connection, tenant, id, lock=True)
            changed = await self._apply(connection, release, decide, actor)
            await keep_answer(connection, tenant, attempt, changed)
        self._announced()
        self._stepped(release, changed)
        return changed

    async def route(self, tenant: str, alias: str) -> Route | None:
        """Where this name leads; None before its first release."""
        async with self._store.read() as connection:
            return await _route(connection, tenant, alias)

    async def revision(self) -> int:
        """Of the newest change of any route."""
        async with self._store.read() as connection:
            return int((await connection.execute(select(route_head.c.revision))).scalar_one())

    async def all_routes(self, tenant: str = "") -> tuple[Sequence[Route], int]:
        """Every route (of one tenant, if it is given) and the revision, as they are together."""
        query = select(routes).order_by(routes.c.tenant, routes.c.alias)
        if tenant:
            query = query.where(routes.c.tenant == tenant)
        async with self._store.read() as connection:
            # The revision first: a change between the two is then told twice rather than never.
            head = int((await connection.execute(select(route_head.c.revision))).scalar_one())
            return [Route(**row._mapping) for row in await connection.execute(query)], head

    async def note_answer(
        self, group: str, event: Event, alias: str, model: str, request_id: str, value: float | None
    ) -> bool:
        """An answer that a canary's models gave; others are not kept. Says whether it was new."""
        async with self._store.read() as connection:
            release = await _canary(connection, event.tenant, alias)
        if release is None or model not in (release.champion, release.candidate):
            return False
        async with self._store.begin() as connection:
            if not await outbox.inbox.first_time(connection, group, event.id):
                return False
            row = {
                "tenant": event.tenant,
                "request_id": request_id,
                "release_id": release.id,
                "arm": int(model == release.candidate),
                "value": value,
                "known_us": now_us(),
            }
            await _insert_once(connection, canary_answers, row)
        return True

    async def note_feedback(
        self, group: str, event: Event, feedback_id: str, request_id: str, value: float
    ) -> bool:
        """What a person thought, while a canary of the tenant runs. Says whether it was new."""
        async with self._store.read() as connection:
            running = select(releases.c.id).where(
                releases.c.tenant == event.tenant, releases.c.state == State.CANARY.value
            )
            if (await connection.execute(running.limit(1))).one_or_none() is None:
                return False
        async with self._store.begin() as connection:
            if not await outbox.inbox.first_time(connection, group, event.id):
                return False
            row = {
                "tenant": event.tenant,
                "feedback_id": feedback_id,
                "request_id": request_id,
                "value": value,
                "known_us": now_us(),
            }
            await _insert_once(connection, canary_feedback, row)
        return True

    async def observations(self, release: Release, metric: str, *, limit: int) -> Sequence[tuple[int, float]]:
        """`(arm, value)` in the order in which they became known; the first word on an answer counts."""
        mine = and_(canary_answers.c.tenant == release.tenant, canary_answers.c.release_id == release.id)
        async with self._store.read() as connection:
            if metric != FEEDBACK:
                query = (
                    select(canary_answers.c.arm, canary_answers.c.value)
                    .where(mine, canary_answers.c.value.is_not(None))
                    .order_by(canary_answers.c.known_us, canary_answers.c.request_id)
                    .limit(limit)
                )
                return [(row.arm, row.value) for row in await connection.execute(query)]
            both = (
                select(
                    canary_answers.c.request_id,
                    canary_answers.c.arm,
                    canary_answers.c.known_us.label("answered_us"),
                    canary_feedback.c.value,
                    canary_feedback.c.known_us,
                )
                .join(
                    canary_feedback,
                    and_(
                        canary_feedback.c.tenant == canary_answers.c.tenant,
                        canary_feedback.c.request_id == canary_answers.c.request_id,
                    ),
                )
                .where(mine)
                .order_by(canary_feedback.c.known_us, canary_feedback.c.feedback_id)
                .limit(4 * limit)
            )
            first: dict[str, Any] = {}
            for row in await connection.execute(both):
                first.setdefault(row.request_id, row)
        known = sorted(first.values(), key=lambda row: (max(row.answered_us, row.known_us), row.request_id))
        return [(row.arm, row.value) for row in known[:limit]]

    async def _apply(
        self,
        connection: AsyncConnection,
        release: Release,
        decide: Callable[[Release], Release],
        actor: Actor,
    ) -> Release:
        changed = decide(release)
        if changed == release:
            return release
        if changed.state in (State.CANARY, State.PROMOTED) and release.state != State.CANARY:
            route = await _route(connection, release.tenant, release.alias)
            if route is not None and route.champion != changed.champion:
                # What people and the gate said stays with it.
                stands = replace(changed, state=release.state, share=release.share)
                changed = move(
                    stands, State.REFUSED, f"'{release.alias}' is answered by another model meanwhile."
                )
        changed = replace(changed, revision=release.revision + 1, changed_at=now_us() / 1e6)
        swapped = await connection.execute(
            update(releases)
            .where(
                releases.c.tenant == release.tenant,
                releases.c.id == release.id,
                releases.c.revision == release.revision,
            )
            .values(_values(changed))
        )
        if swapped.rowcount != 1:
            raise SixfoldError(Reason.CONFLICT, "The release moved on meanwhile.")
        route_revision = await self._direct(connection, release, changed)
        await self._note(connection, release, changed, actor, route_revision)
        return changed

    async def _direct(self, connection: AsyncConnection, before: Release, after: Release) -> int:
        """The route that follows from a step, and its revision; 0 where nothing follows."""
        same = before.state == after.state and before.share == after.share
        if after.state not in _ROUTED or same:
            return 0
        if after.state is State.ROLLED_BACK and before.state not in (State.CANARY, State.PROMOTED):
            return 0  # nobody was ever sent its way
        canary = after.state is State.CANARY
        head = await connection.execute(
            update(route_head).values(revision=route_head.c.revision + 1).returning(route_head.c.revision)
        )
        revision = int(head.scalar_one())
        values = {
            "champion": after.candidate if after.state is State.PROMOTED else after.champion,
            "candidate": after.candidate if canary else "",
            "share": after.share if canary else 0.0,
            "salt": after.salt,
            "release_id": after.id,
            "revision": revision,
        }
        make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        put = make(routes).values(tenant=after.tenant, alias=after.alias, **values)
        await connection.execute(put.on_conflict_do_update(index_elements=["tenant", "alias"], set_=values))
        return revision

    async def _note(
        self,
        connection: AsyncConnection,
        before: Release | None,
        after: Release,
        actor: Actor,
        route_revision: int = 0,
    ) -> None:
        """The event and the lines in the audit."""
        was = before.state.value if before is not None else ""
        message = release_pb2.ReleaseChanged(
            release_id=after.id,
            alias=after.alias,
            status=after.state.value,
            previous_status=was,
            champion=after.champion,
            candidate=after.candidate,
            share=after.share,
            revision=after.revision,
            reason=after.reason,
            subject=actor.subject,
            route_revision=route_revision,
            policy=after.policy,
            policy_sha256=hashlib.sha256(after.policy_text.encode()).hexdigest(),
            approved_by=[word.subject for word in after.approvals if word.approved],
        )
        await outbox.add(
            connection,
            RELEASES,
            Event.new("release.changed", message, source=SOURCE, subject=after.id, tenant=after.tenant),
        )
        await audit.write(connection, after, entries(before, after, actor))

    async def _to_roll_back(self, connection: AsyncConnection, tenant: str, alias: str) -> str:
        mine = (releases.c.tenant == tenant, releases.c.alias == alias)
        canary = await _canary(connection, tenant, alias)
        if canary is not None:
            return canary.id
        route = await _route(connection, tenant, alias)
        if route is not None:
            promoted = (
                select(releases.c.id)
                .where(
                    *mine,
                    releases.c.state == State.PROMOTED.value,
                    releases.c.candidate == route.champion,
                )
                .order_by(releases.c.changed_us.desc())
                .limit(1)
            )
            found = (await connection.execute(promoted)).scalar_one_or_none()
            if found is not None:
                return str(found)
        waiting = select(releases.c.id).where(*mine, releases.c.is_active)
        found = (await connection.execute(waiting)).scalar_one_or_none()
        if found is None:
            raise SixfoldError(Reason.NOT_FOUND, "Nothing of this name can be rolled back.", param="alias")
        return str(found)


async def _release(connection: AsyncConnection, tenant: str, id: str, *, lock: bool = False) -> Release:
    query = select(releases.c.body).where(releases.c.tenant == tenant, releases.c.id == id)
    if lock:
        query = query.with_for_update()
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise SixfoldError(Reason.NOT_FOUND, "There is no such release.")
    return _BODY.validate_json(bytes(row.body))


async def _canary(connection: AsyncConnection, tenant: str, alias: str) -> Release | None:
    query = select(releases.c.body).where(
        releases.c.tenant == tenant, releases.c.alias == alias, releases.c.state == State.CANARY.value
    )
    row = (await connection.execute(query)).one_or_none()
    return _BODY.validate_json(bytes(row.body)) if row is not None else None


async def _route(connection: AsyncConnection, tenant: str, alias: str) -> Route | None:
    query = select(routes).where(routes.c.tenant == tenant, routes.c.alias == alias)
    row = (await connection.execute(query)).one_or_none()
    return Route(**row._mapping) if row is not None else None


async def _insert_once(connection: AsyncConnection, table: Any, row: dict[str, Any]) -> None:
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    await connection.execute(make(table).values(row).on_conflict_do_nothing())


def _values(release: Release) -> dict[str, Any]:
    return {
        "tenant": release.tenant,
        "id": release.id,
        "alias": release.alias,
        "candidate": release.candidate,
        "state": release.state.value,
        "is_active": release.state.active,
        "revision": release.revision,
        "created_us": round(release.created_at * 1e6),
        "changed_us": round(release.changed_at * 1e6),
        "body": _BODY.dump_json(release),
    }
