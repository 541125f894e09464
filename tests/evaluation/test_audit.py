"""The audit over its real tables: written with its cause, read in pages, and never changed; steps at once."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from eval_service.adapters.records import Attempt, Audit, ReleaseRecords
from eval_service.adapters.records.audit import Line, Wanted
from eval_service.gate.decide import Verdict
from eval_service.gate.policy import parse
from eval_service.release.audit import Actor
from eval_service.release.canary import Reading
from eval_service.release.states import Approval, Release, State, approved, judged, read, rolled_back
from servicekit.errors import Reason, SixfoldError
from servicekit.store import Store

MIGRATIONS = "eval_service:migrations"
POLICY = """
rules: [{name: better, criterion: passed, require: better}]
approvals: {people: 2, role: admin}
canary: {steps: [{share: 0.2, answers: 5}]}
"""
OPEN = [Verdict("better", True, "Shown.")]
BETTER = [Reading("feedback", 90, 40, 50, 38, 0.1, 0.5)]
Step = Callable[[Release], Release]


class House:
    """Two processes' records on one database."""

    def __init__(self, *stores: Store) -> None:
        self.stores = stores
        self.one, self.two = (ReleaseRecords(store) for store in stores)
        self.audit = Audit(stores[0])
        self._count = 0

    def attempt(self) -> Attempt:
        self._count += 1
        return Attempt(f"try-{self._count}", b"x" * 32, lambda _: b"")

    async def release(self, alias: str, tenant: str = "acme", candidate: str = "new") -> Release:
        """One that waits for two people."""
        self._count += 1
        now = time.time()
        made = Release(
            f"rel_{self._count:024x}",
            tenant,
            alias,
            "old",
            candidate,
            "two",
            POLICY,
            ("a", "b"),
            "ada",
            now,
            now,
        )
        await self.one.create(made, self.attempt(), role="admin")
        return await self.one.change(tenant, made.id, lambda it: judged(it, parse(POLICY), OPEN, []))

    async def lines(self, tenant: str = "acme", **wanted: Any) -> list[Line]:
        """All that are wanted, the oldest first, two a page."""
        found: list[Line] = []
        more = True
        while more:
            after = found[-1].id if found else ""
            page, more = await self.audit.list(tenant, Wanted(**wanted), after=after, limit=2, ascending=True)
            found += page
        return found

    async def actions(self, release_id: str) -> list[str]:
        return [line.entry.action for line in await self.lines(release_id=release_id)]


def yes(subject: str) -> Step:
    return lambda now: approved(now, parse(POLICY), Approval(subject, "admin", True, time.time()))


@pytest.fixture(params=["sqlite", "postgresql"])
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    url = (
        f"sqlite:///{tmp_path / 'eval.db'}"
        if request.param == "sqlite"
        else request.getfixturevalue("postgres_url")
    )
    stores = [await Store.open(url, migrations=MIGRATIONS) for _ in range(2)]
    yield House(*stores)
    for store in stores:
        await store.close()


async def test_lines_are_found_by_what_they_are_about(house: House) -> None:
    first = await house.release("support")
    for subject in ("ada", "bob"):
        actor = Actor(subject, "admin")
        await house.one.change("acme", first.id, yes(subject), actor=actor)
    before = time.time()
    second = await house.release("sales", candidate="other")
    await house.release("support", tenant="umbrella")
    assert await house.actions(first.id) == [
        "release.created",
        "gate.passed",
        "approved",
        "approved",
        "canary.step",
    ]
    assert {line.release_id for line in await house.lines(alias="sales")} == {second.id}
    assert [line.entry.actor.subject for line in await house.lines(action="approved")] == ["ada", "bob"]
    assert {line.release_id for line in await house.lines(candidate="new")} == {first.id}
    assert {line.release_id for line in await house.lines(until_us=round(before * 1e6))} == {first.id}
    assert await house.lines(tenant="umbrella", release_id=first.id) == []
    assert len(await house.lines(tenant="umbrella")) == 2
    with pytest.raises(SixfoldError) as caught:
        stranger = (await house.lines(tenant="umbrella"))[0].id
        await house.audit.list("acme", Wanted(), after=stranger, limit=5, ascending=False)
    assert caught.value.reason is Reason.NOT_FOUND


async def test_nobody_changes_or_removes_a_line(house: House) -> None:
    made = await house.release("support")
    for statement in ("UPDATE audit_trail SET subject = 'eve'", "DELETE FROM audit_trail"):
        with pytest.raises(DBAPIError, match="only added to"):
            async with house.stores[0].begin() as connection:
                await connection.execute(text(statement))
    assert await house.actions(made.id) == ["release.created", "gate.passed"]


async def test_a_step_that_fails_leaves_no_line(house: House) -> None:
    made = await house.release("support")
    with pytest.raises(SixfoldError):
        await house.one.change(
            "acme",
            made.id,
            lambda now: approved(now, parse(POLICY), Approval("eve", "member", True, 1.0)),
            actor=Actor("eve", "member"),
        )
    assert await house.actions(made.id) == ["release.created", "gate.passed"]


async def test_two_yeses_of_one_person_at_once_are_one_person(house: House) -> None:
    made = await house.release("support")

    async def say(records: ReleaseRecords, subject: str) -> None:
        await records.change("acme", made.id, yes(subject), actor=Actor(subject, "admin"))

    await asyncio.gather(say(house.one, "ada"), say(house.two, "ada"), say(house.one, "ada"))
    stands = await house.one.get("acme", made.id)
    assert (stands.state, [word.subject for word in stands.approvals]) == (State.AWAITING, ["ada"])
    said = await house.lines(release_id=made.id, action="approved")
    assert [line.entry.details["people_who_said_yes"] for line in said] == [1, 1, 1]
    await say(house.two, "bob")
    assert (await house.one.get("acme", made.id)).state is State.CANARY


async def test_two_people_at_once_are_two(house: House) -> None:
    for round_ in range(5):
        made = await house.release(f"name-{round_}")
        await asyncio.gather(
            house.one.change("acme", made.id, yes("ada"), actor=Actor("ada", "admin")),
            house.two.change("acme", made.id, yes("bob"), actor=Actor("bob", "admin")),
        )
        assert (await house.one.get("acme", made.id)).state is State.CANARY
        assert Counter(await house.actions(made.id))["canary.step"] == 1


async def test_a_promotion_and_a_rollback_at_once_leave_one_truth(house: House) -> None:
    """The canary decides for the candidate while two people take it back: release, route and audit agree."""
    orders = set()
    for round_ in range(12):
        alias = f"name-{round_}"
        made = await house.release(alias)
        for subject in ("ada", "bob"):
            await house.one.change("acme", made.id, yes(subject), actor=Actor(subject, "admin"))

        async def promote(release_id: str = made.id, late: float = round_ % 3 * 0.002) -> None:
            await asyncio.sleep(late)
            await house.one.change("acme", release_id, lambda now: read(now, parse(POLICY), BETTER))

        async def take_back(records: ReleaseRecords, subject: str, alias: str = alias) -> None:
            with contextlib.suppress(SixfoldError):  # the other one was first
                await records.roll_back(
                    "acme",
                    alias,
                    lambda now: rolled_back(now, "", subject),
                    actor=Actor(subject, "admin"),
                    attempt=house.attempt(),
                )

        await asyncio.gather(promote(), take_back(house.two, "eve"), take_back(house.one, "joe"))
        stands = await house.one.get("acme", made.id)
        route = await house.one.route("acme", alias)
        assert stands.state is State.ROLLED_BACK
        assert route is not None
        assert (route.champion, route.candidate, route.share) == ("old", "", 0.0)
        ends = (await house.actions(made.id))[5:]
        assert ends in (["rolled_back"], ["promoted", "rolled_back"])
        (back,) = await house.lines(release_id=made.id, action="rolled_back")
        assert back.entry.actor.subject in stands.reason
        orders.add(tuple(ends))
    assert orders  # both orders are fine; which of them came is the scheduler's


async def test_an_older_audit_is_taken_over(tmp_path: Path) -> None:
    """What the table of the first version knew, in the words of the second."""
    path = tmp_path / "eval.db"
    store = await Store.open(f"sqlite:///{path}", migrations=MIGRATIONS)
    house = House(store, store)
    made = await house.release("support")
    await store.close()
    with contextlib.closing(sqlite3.connect(path)) as old:
        old.executescript(
            "DROP TABLE audit_trail;"
            "CREATE TABLE audit"
            "  (tenant, release_id, revision, at_us, subject, action, before, after, share, reason);"
            "UPDATE eval_service_schema_version SET version_num = '0001';"
        )
        rows = [
            ("created", "", "evaluating", "ada"),
            ("step", "evaluating", "awaiting_approval", ""),
            ("approval", "awaiting_approval", "canary", "bob"),
            ("step", "canary", "rolled_back", "eve"),
        ]
        old.executemany(
            "INSERT INTO audit VALUES ('acme', ?, ?, ?, ?, ?, ?, ?, 0, 'Why.')",
            [
                (made.id, number, number, subject, action, before, after)
                for number, (action, before, after, subject) in enumerate(rows, 1)
            ],
        )
        old.commit()
    store = await Store.open(f"sqlite:///{path}", migrations=MIGRATIONS)
    lines = await House(store, store).lines()
    await store.close()
    assert [(line.entry.action, line.entry.actor.subject) for line in lines] == [
        ("release.created", "ada"),
        ("gate.passed", ""),
        ("approved", "bob"),
        ("rolled_back", "eve"),
    ]
    assert {(line.alias, line.candidate, line.release_id) for line in lines} == {("support", "new", made.id)}
