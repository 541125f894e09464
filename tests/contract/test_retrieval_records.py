"""The retrieval service's records, on SQLite and on a real PostgreSQL: the same promises, events included."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest
from parts.postgres import Postgres
from sqlalchemy import delete, select

from retrieval_service.adapters.records import SqlRecords, SqlUpkeep
from retrieval_service.adapters.records.base import Bounds
from retrieval_service.adapters.records.tables import metadata
from retrieval_service.documents.attributes import Attributes
from retrieval_service.documents.errors import FileFault, FileReason
from retrieval_service.stores import ids
from retrieval_service.stores.records import Added, Attempt, OriginalGone, Outcome, Repeated
from retrieval_service.stores.types import (
    DAY_US,
    Attachment,
    Chunking,
    Counts,
    FileRef,
    FileState,
    NewFile,
    Page,
    Store,
)
from servicekit.bus.topics import DOCUMENTS
from servicekit.errors import Reason, SixfoldError
from servicekit.outbox.tables import INBOX, OUTBOX
from servicekit.store import Store as Database
from sixfold.events.v1 import document_pb2

T = "acme"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One database for all tests: each finds its tables empty."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('records')}/retrieval.db"
        return
    server: Postgres = request.getfixturevalue("postgres_server")
    made = server.new_database()
    yield made
    server.drop_database(made)


class Kept:
    """Records with a clock of the test's own."""

    def __init__(self, database: Database) -> None:
        self.now = 1_800_000_000_000_000
        self.rung = 0
        self.database = database
        bounds = Bounds(files_a_store=50, stores_a_tenant=20)
        self.records = SqlRecords(database, bounds=bounds, clock=self.clock, announced=self._ring)
        self.upkeep = SqlUpkeep(database, bounds=bounds, clock=self.clock)

    def clock(self) -> int:
        self.now += 1000
        return self.now

    def _ring(self) -> None:
        self.rung += 1

    async def new_store(self, tenant: str = T, **changes: Any) -> Store:
        now = self.clock()
        fields: dict[str, Any] = {
            "tenant": tenant, "id": ids.store_id(), "name": "文档 docs", "description": "",
            "created_us": now, "last_active_us": now, "expires_after_days": 0, "metadata": {"a": "b"},
            "weights": {}, "threshold": None, "embedding_model": "minilm",
        } | changes  # fmt: skip
        view = await self.records.create_store(tenant, Store(**fields), (), attempt())
        return view.store

    async def add(
        self, store: Store, *files: NewFile, batch: bool = False, tenant: str = T, try_: Attempt | None = None
    ) -> Added:
        added = await self.records.add_files(
            tenant, store.id, files or (new_file(),), batch=batch, attempt=try_ or attempt()
        )
        assert added is not None
        return added

    async def index(self, attachment: Attachment, **changes: Any) -> Attachment:
        """The whole way of a file."""
        tenant, store = attachment.tenant, attachment.store_id
        await self.records.accept(tenant, f"evt_{secrets.token_hex(8)}", store, attachment.id)
        assert await self.records.begin(tenant, store, attachment.id) is not None
        done = await self.records.complete(tenant, store, attachment.id, outcome(attachment, **changes))
        assert done is not None
        return done.attachment

    async def events(self) -> list[tuple[str, Any]]:
        """Those that wait in the outbox, in order."""
        kinds: dict[str, Any] = {
            "document.added": document_pb2.DocumentAdded,
            "document.removed": document_pb2.DocumentRemoved,
            "document.indexed": document_pb2.DocumentIndexed,
        }
        async with self.database.read() as connection:
            rows = (await connection.execute(select(OUTBOX).order_by(OUTBOX.c.id))).mappings().all()
        assert all(row["tenant"] and row["source"] == "retrieval-service" for row in rows)
        return [(row["type"], kinds[row["type"]].FromString(bytes(row["data"]))) for row in rows]


@pytest.fixture
async def kept(url: str) -> AsyncIterator[Kept]:
    database = await Database.open(url, migrations="retrieval_service:migrations")
    async with database.begin() as connection:
        for table in (*metadata.tables.values(), OUTBOX, INBOX):
            await connection.execute(delete(table))
    yield Kept(database)
    await database.close()


def attempt(request_id: str = "", fingerprint: bytes = b"") -> Attempt:
    return Attempt(
        request_id or secrets.token_hex(8),
        hashlib.sha256(fingerprint).digest(),
        lambda result: repr(result).encode(),
    )


def new_file(
    file_id: str = "", content: bytes = b"text", attributes: Attributes | None = None, **cut: int
) -> NewFile:
    digest = hashlib.sha256(content).hexdigest()
    file_id = file_id or f"file-{secrets.token_hex(12)}"
    return NewFile(
        FileRef(file_id, "日本.txt", len(content), digest, f"{T}/{file_id}/{digest}", 1_800_000_000),
        attributes if attributes is not None else {"year": 2024.0, "draft": False, "kind": "note"},
        Chunking(cut.get("max_tokens", 200), cut.get("overlap_tokens", 40)),
    )


def outcome(attachment: Attachment, **changes: Any) -> Outcome:
    fields: dict[str, Any] = {
        "passages": 3, "pages": 2, "usage_bytes": 1000, "language": "en", "digest": attachment.file.sha256,
        "embedding_model": "minilm", "embedding_version": "v1", "index_id": attachment.id,
    } | changes  # fmt: skip
    return Outcome(**fields)


async def test_what_goes_in_comes_out(kept: Kept) -> None:
    store = await kept.new_store(description="d", expires_after_days=3)
    view = await kept.records.store(T, store.id)
    assert view is not None
    assert (view.store, view.counts, view.usage_bytes) == (store, Counts(), 0)
    new = new_file()
    (attached,) = (await kept.add(store, new)).attachments
    assert attached == await kept.records.attachment(T, store.id, new.file.id)
    assert (attached.file, attached.attributes, attached.chunking) == (new.file, new.attributes, new.chunking)
    assert attached.state is FileState.IN_PROGRESS
    done = await kept.index(attached)
    assert done == await kept.records.attachment(T, store.id, new.file.id)
    assert (done.state, done.passages, done.pages, done.embedding) == (FileState.COMPLETED, 3, 2, "minilm@v1")
    view = await kept.records.store(T, store.id)
    assert view is not None
    assert (view.counts, view.usage_bytes) == (Counts(completed=1), 1000)
    assert view.store.embedding_version == "v1"
    kinds = await kept.events()
    assert [kind for kind, _ in kinds] == ["document.added", "document.indexed"]
    assert kinds[0][1].attachment_id == kinds[1][1].attachment_id == attached.id
    assert (kinds[1][1].status, kinds[1][1].passages, kinds[1][1].embedding_model) == (
        "completed", 3, "minilm@v1",
    )  # fmt: skip
    assert kept.rung


async def test_another_tenant_finds_nothing_and_changes_nothing(kept: Kept) -> None:
    records = kept.records
    store = await kept.new_store()
    added = await kept.add(store, batch=True)
    assert added.batch is not None
    await kept.index(added.attachments[0])
    file_id = added.attachments[0].file.id
    assert await records.store("other", store.id) is None
    assert await records.list_stores("other", Page(), "") == ([], False)
    assert await records.update_store("other", store.id, {"name": "x"}, attempt()) is None
    assert not await records.delete_store("other", store.id, attempt())
    assert await records.add_files("other", store.id, [new_file()], batch=False, attempt=attempt()) is None
    assert await records.attachment("other", store.id, file_id) is None
    assert await records.answering("other", store.id, file_id) is None
    assert await records.list_files("other", store.id, Page()) == ([], False)
    assert await records.update_file("other", store.id, file_id, {}, attempt()) is None
    assert await records.remove_file("other", store.id, file_id, attempt()) is None
    assert (await records.remove_document("other", file_id, attempt())).stores == 0
    assert await records.batch("other", store.id, added.batch.id) is None
    assert await records.cancel_batch("other", store.id, added.batch.id, attempt()) is None
    assert await records.live("other", store.id) == []
    assert not await records.waits("other", store.id, added.attachments[0].id)
    assert await records.same_text("other", store.id, added.attachments[0].file.sha256, but="") is None
    assert await kept.upkeep.indexed("other", store.id) is None
    assert await kept.upkeep.requeue("other", store.id, [added.attachments[0].id]) == []
    view = await records.store(T, store.id)
    assert view is not None
    assert (view.store.name, view.counts.completed) == (store.name, 1)


async def test_two_tenants_have_the_same_file_and_the_same_name(kept: Kept) -> None:
    mine, theirs = await kept.new_store(T), await kept.new_store("other")
    new = new_file("file-same")
    (one,) = (await kept.add(mine, new)).attachments
    (two,) = (await kept.add(theirs, new, tenant="other")).attachments
    await kept.index(one)
    assert await kept.records.same_text("other", theirs.id, new.file.sha256, but="") is None
    await kept.index(two)
    await kept.records.remove_document(T, "file-same", attempt())
    assert await kept.records.attachment(T, mine.id, "file-same") is None
    kept_file = await kept.records.attachment("other", theirs.id, "file-same")
    assert kept_file is not None
    assert kept_file.state is FileState.COMPLETED
    await kept.add(theirs, new_file("file-same", b"newer"), tenant="other")  # not tombstoned there


async def test_the_same_request_id_gets_the_first_answer_for_a_day(kept: Kept) -> None:
    store, again = await kept.new_store(), attempt("req-1", b"add")
    first = await kept.add(store, new_file("file-1"), try_=again)
    with pytest.raises(Repeated) as repeated:
        await kept.add(store, new_file("file-1"), try_=again)
    assert repeated.value.answer == repr(first).encode()
    assert len(await kept.events()) == 1
    with pytest.raises(SixfoldError) as refused:
        await kept.add(store, new_file("file-2"), try_=attempt("req-1", b"another"))
    assert refused.value.reason is Reason.INVALID_REQUEST
    elsewhere = await kept.new_store("other")
    await kept.add(elsewhere, tenant="other", try_=attempt("req-1", b"add"))  # another tenant's own name
    kept.now += DAY_US
    await kept.upkeep.trim()
    await kept.add(store, new_file("file-2"), try_=attempt("req-1", b"another"))


async def test_one_of_two_simultaneous_calls_with_one_request_id_has_the_effect(kept: Kept) -> None:
    store, again = await kept.new_store(), attempt("req-1", b"add")
    ended = await asyncio.gather(
        *(kept.add(store, new_file(), try_=again) for _ in range(4)), return_exceptions=True
    )
    assert sum(isinstance(each, Added) for each in ended) == 1
    assert sum(isinstance(each, Repeated) for each in ended) == 3
    view = await kept.records.store(T, store.id)
    assert view is not None
    assert view.counts.total == 1


@pytest.mark.parametrize("ascending", [False, True])
async def test_cursors_walk_a_list_both_ways_without_gaps(kept: Kept, ascending: bool) -> None:
    store = await kept.new_store()
    added = await kept.add(store, *(new_file() for _ in range(7)))
    order = [each.file.id for each in added.attachments]
    if not ascending:
        order.reverse()

    async def page(limit: int, after: str = "", before: str = "") -> tuple[list[str], bool]:
        found, more = await kept.records.list_files(T, store.id, Page(limit, after, before, ascending))
        return [each.file.id for each in found], more

    assert await page(3) == (order[:3], True)
    assert await page(3, order[2]) == (order[3:6], True)
    assert await page(3, order[5]) == (order[6:], False)
    assert await page(3, order[6]) == ([], False)
    assert await page(2, before=order[5]) == (order[3:5], True)
    assert await page(9, before=order[5]) == (order[:5], False)
    assert await page(9, order[0], order[3]) == (order[1:3], False)
    with pytest.raises(SixfoldError) as refused:
        await page(3, "file-nobody")
    assert (refused.value.reason, refused.value.param) == (Reason.INVALID_REQUEST, "after")
    stores = [store.id, *[(await kept.new_store(name=f"s{n}")).id for n in range(3)]]
    newest, more = await kept.records.list_stores(T, Page(2), "")
    assert ([view.store.id for view in newest], more) == (stores[:1:-1], True)
    named, _ = await kept.records.list_stores(T, Page(), "s1")
    assert [view.store.id for view in named] == [stores[2]]


async def test_attaching_again_changes_nothing_unless_something_changed(kept: Kept) -> None:
    store, new = await kept.new_store(), new_file("file-1")
    (first,) = (await kept.add(store, new)).attachments
    assert (await kept.add(store, new)).attachments[0].id == first.id  # on its way
    await kept.index(first)
    assert (await kept.add(store, new)).attachments[0].id == first.id  # there
    noted = await kept.add(store, replace(new, attributes={"year": 2025.0}))
    assert noted.attachments[0].id == first.id
    assert [each.attributes for each in noted.changed] == [{"year": 2025.0}]
    added = [kind for kind, _ in await kept.events() if kind == "document.added"]
    assert len(added) == 1

    (recut,) = (await kept.add(store, replace(new, chunking=Chunking(400, 0, True)))).attachments
    assert recut.id != first.id
    assert recut.state is FileState.IN_PROGRESS
    answering = await kept.records.answering(T, store.id, "file-1")
    assert answering is not None
    assert answering.id == first.id  # until the other is complete
    assert [each.id for each in await kept.records.live(T, store.id)] == [first.id]
    (again,) = (await kept.add(store, new_file("file-1", b"other content"))).attachments
    assert await kept.records.begin(T, store.id, recut.id) is None  # superseded before it was indexed
    done = await kept.index(again)
    assert [each.id for each in await kept.records.live(T, store.id)] == [done.id]
    assert await kept.upkeep.garbage(10) == [(T, store.id, first.id)]
    view = await kept.records.store(T, store.id)
    assert view is not None
    assert view.counts == Counts(completed=1)


async def test_a_failed_file_is_tried_again_when_it_is_attached_again(kept: Kept) -> None:
    store, new = await kept.new_store(), new_file("file-1")
    (first,) = (await kept.add(store, new, batch=True)).attachments
    await kept.records.accept(T, "evt_1", store.id, first.id)
    fault = FileFault(FileReason.NO_TEXT, "There is no text in the file.")
    assert await kept.records.fail(T, store.id, first.id, fault, seconds=1.5, dead=False)
    failed = await kept.records.attachment(T, store.id, "file-1")
    assert failed is not None
    assert (failed.state, failed.fault) == (FileState.FAILED, fault)
    kind, told = (await kept.events())[-1]
    assert (kind, told.status, told.reason, told.seconds) == ("document.indexed", "failed", "NO_TEXT", 1.5)
    assert not await kept.records.fail(T, store.id, first.id, fault, seconds=1, dead=False)  # once
    (second,) = (await kept.add(store, new)).attachments
    assert second.id != first.id


async def test_giving_up_puts_the_event_to_the_dead_letters(kept: Kept) -> None:
    store = await kept.new_store()
    (waiting,) = (await kept.add(store)).attachments
    async with kept.database.read() as connection:
        (event_id,) = (await connection.execute(select(OUTBOX.c.event_id))).scalars()
    await kept.records.accept(T, event_id, store.id, waiting.id)
    fault = FileFault(FileReason.GAVE_UP, "Tried too often.")
    assert await kept.records.fail(T, store.id, waiting.id, fault, seconds=1, dead=True)
    async with kept.database.read() as connection:
        rows = (await connection.execute(select(OUTBOX).where(OUTBOX.c.topic == f"{DOCUMENTS}.dead"))).all()
    assert [(row.event_id, row.type) for row in rows] == [(event_id, "document.added")]


async def test_a_batch_knows_how_its_files_stand(kept: Kept) -> None:
    store = await kept.new_store()
    known = await kept.index((await kept.add(store, new_file("file-known"))).attachments[0])
    files = [new_file(f"file-{n}", b"%d" % n) for n in range(3)]
    added = await kept.add(store, *files, new_file("file-known"), batch=True)
    assert added.batch is not None
    assert added.attachments[3].id == known.id
    assert (added.batch.counts, added.batch.state) == (
        Counts(in_progress=3, completed=1), FileState.IN_PROGRESS,
    )  # fmt: skip
    await kept.index(added.attachments[0])
    await kept.records.remove_file(T, store.id, "file-0", attempt())  # gone later: it was completed
    await kept.records.remove_file(T, store.id, "file-1", attempt())  # gone before: called off
    batch = await kept.records.batch(T, store.id, added.batch.id)
    assert batch is not None
    assert batch.counts == Counts(in_progress=1, completed=2, cancelled=1)
    listed, _ = await kept.records.list_files(T, store.id, Page(), batch_id=added.batch.id)
    assert {each.file.id for each in listed} == {"file-2", "file-known"}
    cancelled = await kept.records.cancel_batch(T, store.id, added.batch.id, attempt())
    assert cancelled is not None
    assert (cancelled.counts, cancelled.state) == (Counts(completed=2, cancelled=2), FileState.CANCELLED)
    last = await kept.records.attachment(T, store.id, "file-2")
    assert last is not None
    assert last.state is FileState.CANCELLED
    assert await kept.records.complete(T, store.id, last.id, outcome(last)) is None  # nothing of it counts
    known_still = await kept.records.attachment(T, store.id, "file-known")
    assert known_still is not None
    assert known_still.state is FileState.COMPLETED


async def test_what_was_removed_meanwhile_is_not_completed(kept: Kept) -> None:
    store = await kept.new_store()
    (waiting,) = (await kept.add(store)).attachments
    await kept.records.accept(T, "evt_1", store.id, waiting.id)
    assert await kept.records.begin(T, store.id, waiting.id) is not None
    assert await kept.records.remove_file(T, store.id, waiting.file.id, attempt()) is not None
    assert not await kept.records.waits(T, store.id, waiting.id)
    assert await kept.records.complete(T, store.id, waiting.id, outcome(waiting)) is None
    assert [kind for kind, _ in await kept.events()] == ["document.added", "document.removed"]


async def test_a_removed_document_stays_out(kept: Kept) -> None:
    one, two = await kept.new_store(), await kept.new_store()
    for store in (one, two):
        await kept.index((await kept.add(store, new_file("file-1"))).attachments[0])
    removed = await kept.records.remove_document(T, "file-1", attempt())
    assert set(removed.attachments) == {one.id, two.id}
    assert [await kept.records.live(T, store.id) for store in (one, two)] == [[], []]
    with pytest.raises(SixfoldError) as refused:
        await kept.add(one, new_file(), new_file("file-1"))
    assert (refused.value.reason, refused.value.param) == (Reason.NOT_FOUND, "files[1]")
    view = await kept.records.store(T, one.id)
    assert view is not None
    assert view.counts.total == 0  # all or nothing
    assert (await kept.records.remove_document(T, "file-1", attempt())).stores == 0
    assert len(await kept.upkeep.garbage(10)) == 2


async def test_a_duplicate_takes_over_when_its_original_goes(kept: Kept) -> None:
    store = await kept.new_store()
    (one, two, three) = (
        await kept.add(store, *(new_file(f"file-{n}") for n in range(3)))
    ).attachments  # fmt: skip
    one = await kept.index(one)
    found = await kept.records.same_text(T, store.id, one.file.sha256, but=two.file.id)
    assert found is not None
    assert found.id == one.id
    for each in (two, three):
        await kept.index(each, index_id=one.id, duplicate_of="file-0", usage_bytes=0)
    removed = await kept.records.remove_file(T, store.id, "file-0", attempt())
    assert removed is not None
    assert [(heir.file.id, heir.duplicate_of) for heir in removed.heirs] == [
        ("file-1", ""), ("file-2", "file-1"),
    ]  # fmt: skip
    assert await kept.upkeep.garbage(10) == []
    live = {each.file.id: each for each in await kept.records.live(T, store.id)}
    assert {each.index_id for each in live.values()} == {one.id}
    assert (live["file-1"].duplicate_of, live["file-2"].duplicate_of) == ("", "file-1")
    known = await kept.upkeep.indexed(T, store.id)
    assert known is not None
    assert known.complete == {one.id}
    await kept.records.remove_file(T, store.id, "file-2", attempt())
    assert await kept.upkeep.garbage(10) == []
    await kept.records.remove_file(T, store.id, "file-1", attempt())
    assert await kept.upkeep.garbage(10) == [(T, store.id, one.id)]
    await kept.upkeep.cleaned(T, store.id, [one.id])
    assert await kept.upkeep.garbage(10) == []


async def test_a_duplicate_does_not_stand_on_what_has_left(kept: Kept) -> None:
    store = await kept.new_store()
    one, two = (await kept.add(store, new_file("file-1"), new_file("file-2"))).attachments
    await kept.index(one)
    await kept.records.accept(T, "evt_2", store.id, two.id)
    await kept.records.remove_file(T, store.id, "file-1", attempt())
    with pytest.raises(OriginalGone):
        await kept.records.complete(T, store.id, two.id, outcome(two, index_id=one.id, duplicate_of="file-1"))
    assert await kept.records.waits(T, store.id, two.id)


async def test_near_texts_are_found_by_a_band(kept: Kept) -> None:
    store = await kept.new_store()
    one, two = (await kept.add(store, new_file("file-1"), new_file("file-2"))).attachments
    await kept.index(one, bands=["b1", "b2", "b2"], signature=b"\x01\x02")
    assert await kept.records.near_texts(T, store.id, ["b2", "b9"], but="file-2") == [("file-1", b"\x01\x02")]
    assert await kept.records.near_texts(T, store.id, ["b9"], but="file-2") == []
    assert await kept.records.near_texts(T, store.id, ["b1"], but="file-1") == []
    done = await kept.index(two, near_duplicate_of="file-1")
    assert done.near_duplicate_of == "file-1"
    await kept.records.remove_file(T, store.id, "file-1", attempt())
    assert await kept.records.near_texts(T, store.id, ["b1"], but="file-2") == []


async def test_an_event_is_accepted_once_and_waits_its_turn(kept: Kept) -> None:
    store, other = await kept.new_store(), await kept.new_store("other")
    large, small = (
        await kept.add(store, new_file("file-large", b"x" * 100), new_file("file-small", b"x"))
    ).attachments
    (theirs,) = (await kept.add(other, tenant="other")).attachments
    assert await kept.upkeep.queues() == []  # announced, not yet back from the bus
    assert await kept.records.accept(T, "evt_1", store.id, large.id)
    assert not await kept.records.accept(T, "evt_1", store.id, large.id)
    await kept.records.accept(T, "evt_2", store.id, small.id)
    await kept.records.accept("other", "evt_3", other.id, theirs.id)
    queues = {(queue.tenant, queue.store_id): queue.files for queue in await kept.upkeep.queues()}
    assert queues == {(T, store.id): 2, ("other", other.id): 1}
    assert await kept.upkeep.waiting() == 3

    async def following(skip: set[str], most: int | None = None) -> str | None:
        found = await kept.records.next_waiting(T, store.id, skip=skip, max_bytes=most)
        return found.id if found else None

    assert await following(set()) == small.id
    assert await following({small.id}) == large.id
    assert await following({small.id}, 50) is None
    begun = await kept.records.begin(T, store.id, small.id)
    assert begun is not None
    assert begun.attempts == 1
    await kept.records.postpone(T, store.id, small.id, seconds=60, counted=False)
    assert await following(set()) == large.id
    kept.now += 61_000_000
    assert await following(set()) == small.id
    begun = await kept.records.begin(T, store.id, small.id)
    assert begun is not None
    assert begun.attempts == 1  # an outage is not the file's fault
    await kept.records.postpone(T, store.id, small.id, seconds=0, counted=True)
    begun = await kept.records.begin(T, store.id, small.id)
    assert begun is not None
    assert begun.attempts == 2


async def test_a_deleted_store_is_gone_at_once_and_its_rows_follow(kept: Kept) -> None:
    store, stays = await kept.new_store(), await kept.new_store()
    added = await kept.add(store, *(new_file(f"file-{n}") for n in range(5)), batch=True)
    await kept.index(added.attachments[0])
    await kept.index((await kept.add(stays, new_file("file-0"))).attachments[0])
    assert await kept.records.delete_store(T, store.id, attempt())
    assert not await kept.records.delete_store(T, store.id, attempt())
    assert await kept.records.store(T, store.id) is None
    assert await kept.records.attachment(T, store.id, "file-0") is None
    assert await kept.records.begin(T, store.id, added.attachments[1].id) is None
    completed = await kept.records.complete(
        T, store.id, added.attachments[1].id, outcome(added.attachments[1])
    )
    assert completed is None
    assert await kept.upkeep.deleted(10) == [(T, store.id)]
    assert not await kept.upkeep.purge(T, store.id, 4)
    assert await kept.upkeep.purge(T, store.id, 4)
    await kept.upkeep.forget(T, store.id)
    assert await kept.upkeep.deleted(10) == []
    gone = [told.file_id for kind, told in await kept.events() if kind == "document.removed"]
    assert sorted(gone) == [f"file-{n}" for n in range(5)]
    assert len(await kept.records.live(T, stays.id)) == 1


async def test_stores_expire_some_days_after_their_last_activity(kept: Kept) -> None:
    store = await kept.new_store(expires_after_days=2)
    forever = await kept.new_store()
    assert not store.expired(kept.now + DAY_US)
    assert store.expired(kept.now + 2 * DAY_US)
    assert not forever.expired(kept.now + 2000 * DAY_US)
    await kept.records.touch(T, store.id, kept.now + DAY_US)
    assert await kept.upkeep.expire(kept.now + 2 * DAY_US, 10) == []
    await kept.records.touch(T, store.id, kept.now)  # never backwards
    assert await kept.upkeep.expire(kept.now + 4 * DAY_US, 10) == [(T, store.id)]
    assert await kept.records.store(T, store.id) is None
    assert [each.id for each in await kept.upkeep.stores(None, 10)] == [forever.id]
    assert await kept.upkeep.stores((T, forever.id), 10) == []


async def test_missing_files_are_queued_again(kept: Kept) -> None:
    store = await kept.new_store()
    one, two, three = (await kept.add(store, *(new_file(f"file-{n}") for n in range(3)))).attachments
    await kept.index(one)
    await kept.index(two, index_id=one.id, duplicate_of="file-0")
    await kept.index(three, digest="other")
    assert sorted(await kept.upkeep.requeue(T, store.id, [one.id])) == sorted([one.id, two.id])
    assert [each.id for each in await kept.records.live(T, store.id)] == [three.id]
    known = await kept.upkeep.indexed(T, store.id)
    assert known is not None
    assert (set(known.complete), set(known.pending)) == ({three.id}, {one.id, two.id})
    assert [queue.files for queue in await kept.upkeep.queues()] == [2]
    assert (await kept.index(two)).index_id == two.id


async def test_stores_and_files_have_their_bounds(kept: Kept) -> None:
    store = await kept.new_store()
    await kept.add(store, *(new_file() for _ in range(50)))
    with pytest.raises(SixfoldError) as refused:
        await kept.add(store)
    assert refused.value.reason is Reason.INVALID_REQUEST
    for _ in range(19):
        await kept.new_store()
    with pytest.raises(SixfoldError):
        await kept.new_store()
    await kept.new_store("other")


async def test_a_store_is_made_with_its_first_files_or_not_at_all(kept: Kept) -> None:
    await kept.records.remove_document(T, "file-gone", attempt())
    now = kept.clock()
    store = Store(T, ids.store_id(), "s", "", now, now, 0, {}, {}, None, "minilm")
    with pytest.raises(SixfoldError):
        await kept.records.create_store(T, store, [new_file("file-gone")], attempt())
    assert await kept.records.store(T, store.id) is None
    view = await kept.records.create_store(T, store, [new_file("file-1")], attempt())
    assert view.counts == Counts(in_progress=1)
    changed = await kept.records.update_store(
        T, store.id, {"name": "n", "metadata": {"k": "v"}, "weights": {"": 0.3}, "threshold": 0.4}, attempt()
    )
    assert changed is not None
    assert (changed.store.name, changed.store.metadata, changed.store.weights, changed.store.threshold) == (
        "n", {"k": "v"}, {"": 0.3}, 0.4,
    )  # fmt: skip
