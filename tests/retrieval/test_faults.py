"""What a retrieval-service survives: kills, events twice, a full disk, damaged indexes."""

from __future__ import annotations

import asyncio
import json
import random
import resource
import secrets
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from parts.embedder import WordEmbedder
from parts.retrieval import COMPLETED, IN_PROGRESS, Retrieval, RetrievalProcess, until

from retrieval_service.adapters.chroma import ChromaClient, open_vectors
from retrieval_service.adapters.lexical import open_lexical
from servicekit.bus import Event, open_bus
from servicekit.bus.topics import DOCUMENTS
from servicekit.errors import Reason, SixfoldError
from sixfold.events.v1 import document_pb2
from sixfold.retrieval.v1 import retrieval_service_pb2 as pb
from sixfold.retrieval.v1 import store_pb2

Make = Callable[..., RetrievalProcess]


async def uploads(client: Retrieval, count: int) -> list[store_pb2.FileRef]:
    """Files that have nothing in common but the word "common"."""
    return [
        await client.upload(f"common subject{n} {secrets.token_hex(40)}\n".encode(), f"{n}.txt")
        for n in range(count)
    ]


async def all_ended(client: Retrieval, store: str, seconds: float = 90) -> store_pb2.Store:
    async def look() -> store_pb2.Store | None:
        try:
            found: store_pb2.Store = (await client.call(pb.GetStoreRequest(store_id=store))).store
        except SixfoldError:  # it is being started
            return None
        return None if found.counts.in_progress else found

    found: store_pb2.Store = await until(look, seconds, client.service.log)
    return found


async def told(home: Path, wanted: int, kind: str = "document.indexed") -> list[Event]:
    """Events of this kind on the bus, once there are so many."""
    events: list[Event] = []
    bus = open_bus(f"sqlite:///{home / 'bus.db'}", client="test")

    async def keep(event: Event) -> None:
        if event.type == kind:
            events.append(event)

    bus.subscribe([DOCUMENTS], f"test-{secrets.token_hex(4)}", keep)

    async def enough() -> bool:
        return len(events) >= wanted

    try:
        await until(enough, 30)
        await asyncio.sleep(0.3)  # whatever is one too many comes too
    finally:
        await bus.close()
    return events


def in_arms(home: Path, tenant: str, store: str) -> tuple[Counter[str], set[str]]:
    """Passages by attachment in the text arm, and attachments of the vector arm. The service is stopped."""
    lexical = open_lexical(home / "retrieval" / "stores" / tenant / store)
    client = ChromaClient(f"chroma://{home / 'retrieval' / 'chroma'}")
    try:
        hits = lexical.search("common", 1000)
        return (
            Counter(hit.passage_id.split(":")[0] for hit in hits),
            open_vectors(client, store, tenant=tenant).attachments(),
        )
    finally:
        lexical.close()
        client.close()


async def test_killed_again_and_again_while_it_indexes(own_service: Make, embedder: WordEmbedder) -> None:
    service = own_service(env={"SIXFOLD_RETRIEVAL_SERVICE_MAX_ATTEMPTS": "50"}).start()
    async with Retrieval(service) as acme:
        store = await acme.store()
        embedder.hold = asyncio.Event()
        files = await uploads(acme, 40)
        await acme.add(store, *files, batch=True)

        async def embedding() -> bool:
            return embedder.waiting > 0

        await until(embedding, 60, service.log)
        service.kill()  # in the middle of a file, for certain
        embedder.hold.set()
        for _ in range(2):
            service.start()
            await asyncio.sleep(random.uniform(0.0, 0.7))
            service.kill()
        service.start()
        ended = await all_ended(acme, store)
        assert (ended.counts.completed, ended.counts.total) == (40, 40), service.log()
        found = await acme.call(pb.SearchRequest(store_ids=[store], queries=["common"], max_results=50))
        assert Counter(hit.file_id for hit in found.hits) == Counter(file.id for file in files)
        attachments = {(await acme.file(store, file.id)).attachment_id for file in files}
    indexed = await told(service.home, 40)
    assert len({event.id for event in indexed}) == len(indexed) == 40
    service.stop()
    words, vectors = in_arms(service.home, "acme", store)
    assert words == Counter(attachments)
    assert vectors == attachments


async def test_every_event_twice_and_then_again(own_service: Make, embedder: WordEmbedder) -> None:
    service = own_service().start()
    async with Retrieval(service) as acme:
        store = await acme.store()
        files = await uploads(acme, 5)
        await acme.add(store, *files)
        await all_ended(acme, store)
        await acme.call(pb.RemoveFileRequest(store_id=store, file_id=files[0].id))
        added = await told(service.home, 5, "document.added")
        removed = await told(service.home, 1, "document.removed")
        made = embedder.texts
        bus = open_bus(f"sqlite:///{service.home / 'bus.db'}", client="test")
        await bus.publish(DOCUMENTS, [*added, *removed, *added, *removed])

        async def read() -> bool:
            lag = await bus.lag("retrieval-service", [DOCUMENTS])
            return lag[DOCUMENTS] == 0

        await until(read, 60, service.log)
        last = await uploads(acme, 1)  # behind all of them
        await acme.add(store, *last)
        ended = await all_ended(acme, store)
        await bus.close()
        assert ended.counts.completed == 5
        assert embedder.texts == made + 1
        assert set(await acme.found(store, "common")) == {file.id for file in [*files[1:], *last]}


async def test_events_that_are_none_go_to_the_dead_letters(shared_service: RetrievalProcess) -> None:
    service = shared_service
    bus = open_bus(f"sqlite:///{service.home / 'bus.db'}", client="test")
    good = Event.new(
        "document.added", document_pb2.DocumentAdded(store_id="vs_1"), source="x", subject="f", tenant="acme"
    )
    bad = Event(
        good.id + "x", good.source, good.type, good.subject, good.time, good.tenant, "", b"\xff\xff\xff"
    )
    await bus.publish(DOCUMENTS, [bad, good])

    async def dead() -> list[str]:
        return [letter.event.id for letter in await bus.dead_letters(DOCUMENTS)]

    assert bad.id in await until(dead, 30, service.log)
    assert good.id not in await dead()
    await bus.close()


async def test_files_wait_while_the_disk_is_full(own_service: Make, embedder: WordEmbedder) -> None:
    """The embedded vector database may hang for good after a refused write: then the process ends itself."""
    patience = {
        "SIXFOLD_RETRIEVAL_SERVICE_STUCK_SECONDS": "6",
        "SIXFOLD_RETRIEVAL_SERVICE_INDEX_CALL_SECONDS": "6",
    }
    service = own_service(env=patience).start()
    async with Retrieval(service) as acme:
        store = await acme.store()
        embedder.hold = asyncio.Event()
        files = await uploads(acme, 6)
        await acme.add(store, *files)

        async def embedding() -> bool:
            return embedder.waiting > 0

        await until(embedding, 60, service.log)
        # No file may grow over this any more: every writer is refused as by a full disk.
        resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        embedder.hold.set()

        await asyncio.sleep(3)  # tries fail, or stand still
        if service.process.running():
            endless = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, endless)

        async def supervised() -> bool:
            service.start()
            found = await acme.call(pb.GetStoreRequest(store_id=store))
            return not found.store.counts.in_progress

        async def done() -> bool:
            try:
                return await supervised()
            except SixfoldError:
                return False

        await until(done, 80, service.log)
        ended = await all_ended(acme, store)
        assert ended.counts.completed == 6, service.log()
        assert set(await acme.found(store, "common")) == {file.id for file in files}


async def test_files_wait_for_room_that_is_left_for_others(own_service: Make, embedder: WordEmbedder) -> None:
    service = own_service(env={"SIXFOLD_RETRIEVAL_SERVICE_MIN_FREE_BYTES": str(1 << 60)}).start()
    async with Retrieval(service) as acme:
        store = await acme.store()
        (file,) = await uploads(acme, 1)
        await acme.add(store, file)

        async def put_off() -> bool:
            return 'postponed_total{cause="outage"}' in service.metrics()

        await until(put_off, 60, service.log)
        assert (await acme.file(store, file.id)).status == IN_PROGRESS
        service.stop()
        service.env = {"SIXFOLD_RETRIEVAL_SERVICE_MIN_FREE_BYTES": "0"}
        service.start()
        assert (await acme.ended(store, file.id)).status == COMPLETED


@pytest.mark.parametrize("damage", ["text", "vectors"])
async def test_a_damaged_index_is_made_anew(own_service: Make, embedder: WordEmbedder, damage: str) -> None:
    service = own_service().start()
    async with Retrieval(service) as acme:
        store = await acme.store()
        files = await uploads(acme, 3)
        await acme.add(store, *files)
        await all_ended(acme, store)
        service.kill()
        index = service.home / "retrieval" / "stores" / "acme" / store
        if damage == "text":
            (index / "meta.json").write_text("{")
        else:
            shutil.rmtree(service.home / "retrieval" / "chroma")
        service.start()

        async def found() -> bool:
            answer = await acme.search(store, "common", vector_weight=0.5)
            return answer.vectors_used and {hit.file_id for hit in answer.hits} == {file.id for file in files}

        await until(found, 60, service.log)
        assert (await all_ended(acme, store)).counts.completed == 3


async def test_what_is_recorded_outlives_a_kill(own_service: Make, embedder: WordEmbedder) -> None:
    service = own_service().start()
    async with Retrieval(service) as acme:
        store = await acme.store()
        files = await uploads(acme, 3)
        added = await acme.add(store, *files, batch=True)
        await all_ended(acme, store)
        await acme.call(pb.RemoveFileRequest(store_id=store, file_id=files[0].id))
        asked = pb.ListPassagesRequest(store_id=store, file_id=files[1].id)
        before = await acme.call(asked)
        service.kill()
        service.start()
        assert await acme.call(asked) == before
        assert set(await acme.found(store, "common")) == {file.id for file in files[1:]}
        batch = await acme.call(pb.GetBatchRequest(store_id=store, batch_id=added.batch.id))
        assert batch.batch.counts.completed == 3


async def test_a_cancelled_batch_leaves_nothing_of_what_was_not_indexed(
    own_service: Make, embedder: WordEmbedder
) -> None:
    service = own_service().start()
    async with Retrieval(service) as acme:
        store = await acme.store()
        embedder.hold = asyncio.Event()
        files = await uploads(acme, 8)
        batch = (await acme.add(store, *files, batch=True)).batch

        async def embedding() -> bool:
            return embedder.waiting > 0

        await until(embedding, 60, service.log)
        cancelled = await acme.call(pb.CancelBatchRequest(store_id=store, batch_id=batch.id))
        assert cancelled.batch.counts.cancelled == 8
        embedder.hold.set()
        (last,) = await uploads(acme, 1)
        await acme.add(store, last)
        assert (await acme.ended(store, last.id)).status == COMPLETED
        assert await acme.found(store, "common") == [last.id]
        kept = (await acme.file(store, last.id)).attachment_id
    service.stop()
    words, vectors = in_arms(service.home, "acme", store)
    assert (set(words), vectors) == ({kept}, {kept})


async def test_a_batch_of_one_tenant_keeps_no_other_waiting(
    acme: Retrieval, other: Retrieval, embedder: WordEmbedder
) -> None:
    service = acme.service
    store, theirs = await acme.store(), await other.store()
    embedder.hold = asyncio.Event()
    mine = await uploads(acme, 50)
    await acme.add(store, *mine, batch=True)

    async def embedding() -> bool:
        return embedder.waiting > 0

    await until(embedding, 60, service.log)
    (file,) = await uploads(other, 1)
    await other.add(theirs, file)

    async def accepted() -> bool:
        bus = open_bus(f"sqlite:///{service.home / 'bus.db'}", client="test")
        try:
            return (await bus.lag("retrieval-service", [DOCUMENTS]))[DOCUMENTS] == 0
        finally:
            await bus.close()

    await until(accepted, 60, service.log)  # all of them may be indexed
    embedder.hold.set()
    await other.ended(theirs, file.id)
    await all_ended(acme, store)
    indexed = [
        event for event in await told(service.home, 51) if event.subject in {f.id for f in (*mine, file)}
    ]
    order = sorted(indexed, key=lambda event: event.time)
    assert [event.tenant for event in order].index(other.tenant) < 15


async def test_one_trace_runs_from_the_call_to_the_index(own_service: Make, embedder: WordEmbedder) -> None:
    service = own_service()
    traces = service.home / "traces.jsonl"
    service.env = {"SIXFOLD_TELEMETRY_URL": f"file://{traces}"}
    service.start()
    trace = secrets.token_hex(16)
    async with Retrieval(service) as acme:
        store = await acme.store()
        (file,) = await uploads(acme, 1)
        request = pb.AddFilesRequest(store_id=store, files=[pb.FileToAdd(file=file)])
        await acme.call(request, traceparent=f"00-{trace}-{secrets.token_hex(8)}-01")
        assert (await acme.ended(store, file.id)).status == COMPLETED
    (event,) = await told(service.home, 1)
    assert event.traceparent.split("-")[1] == trace
    service.stop()
    spans = [json.loads(line) for line in traces.read_text().splitlines()]
    names = {span["name"] for span in spans if span["trace_id"] == trace}
    steps = {f"document.{step}" for step in ("index", "fetch", "parse", "digest", "chunk", "embed", "record")}
    assert steps <= names
    page = traces.read_text() + service.log(1000)
    assert "subject0" not in page
    assert "0.txt" not in page


async def test_a_second_process_does_not_take_the_same_folder(own_service: Make) -> None:
    service = own_service().start()
    second = RetrievalProcess(service.home, service.key, service.model_port)
    with pytest.raises(Exception, match="Another process"):
        second.start()


async def test_unforeseen_failures_are_given_up_after_some_tries(
    own_service: Make, embedder: WordEmbedder
) -> None:
    service = own_service(env={"SIXFOLD_RETRIEVAL_SERVICE_MAX_ATTEMPTS": "2"}).start()
    async with Retrieval(service) as acme:
        store = await acme.store()
        embedder.fails = Reason.INTERNAL
        (file,) = await uploads(acme, 1)
        await acme.add(store, file)
        ended = await acme.ended(store, file.id)
        assert ended.error.reason == "GAVE_UP"
    bus = open_bus(f"sqlite:///{service.home / 'bus.db'}", client="test")

    async def dead() -> list[str]:
        return [letter.event.subject for letter in await bus.dead_letters(DOCUMENTS)]

    assert await until(dead, 30, service.log) == [file.id]
    await bus.close()
