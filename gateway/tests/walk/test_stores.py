"""Vector stores with the official client: made, filled, watched, searched, emptied."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import openai
import pytest
from openai.types.vector_stores import VectorStoreFile
from parts.fake_engine import FakeEngine
from parts.fake_retrieval import FakeRetrieval, passage

from servicekit.errors import Reason, SixfoldError
from sixfold.retrieval.v1 import retrieval_service_pb2 as pb
from sixfold.retrieval.v1 import store_pb2

STORES = "/v1/vector_stores"
NO_STORE, NO_FILE, NO_BATCH = f"vs_{'0' * 24}", f"file-{'0' * 24}", f"vsfb_{'0' * 24}"


@pytest.fixture
async def retrieval(house: Any) -> FakeRetrieval:
    retrieval: FakeRetrieval = await house.retrieval()
    return retrieval


@pytest.fixture
async def ready(house: Any, engine: FakeEngine, retrieval: FakeRetrieval) -> Any:
    house.write_config("")
    await house.start(retrieval_seconds=5)
    return house


async def upload(client: openai.AsyncOpenAI, *names: str) -> list[str]:
    ids = []
    for name in names:
        content = f"what {name} says".encode()
        file = await client.files.create(file=(name, content, "text/plain"), purpose="assistants")
        ids.append(file.id)
    return ids


async def test_a_store_from_birth_to_end(client: openai.AsyncOpenAI) -> None:
    files = await upload(client, "a.txt", "b.txt")
    store = await client.vector_stores.create(
        name="handbook",
        description="What we agreed on",
        file_ids=files,
        metadata={"team": "legal"},
        expires_after={"anchor": "last_active_at", "days": 7},
    )
    assert store.id.startswith("vs_")
    assert (store.object, store.name, store.status) == ("vector_store", "handbook", "completed")
    assert (store.file_counts.total, store.file_counts.completed) == (2, 2)
    assert store.metadata == {"team": "legal"}
    assert store.expires_after is not None
    assert store.expires_after.days == 7
    assert store.expires_at == store.created_at + 7 * 86400
    changed = await client.vector_stores.update(store.id, name="rules", metadata={})
    assert (changed.name, changed.metadata) == ("rules", {})
    assert changed.expires_after is not None  # what is not named stays
    forever = await client.vector_stores.update(store.id, expires_after=None)
    assert (forever.name, forever.expires_after, forever.expires_at) == ("rules", None, None)
    assert await client.vector_stores.retrieve(store.id) == forever
    gone = await client.vector_stores.delete(store.id)
    assert (gone.id, gone.deleted, gone.object) == (store.id, True, "vector_store.deleted")
    with pytest.raises(openai.NotFoundError):
        await client.vector_stores.retrieve(store.id)
    await client.files.retrieve(files[0])  # files stay


async def test_stores_are_listed_by_pages_both_ways(client: openai.AsyncOpenAI) -> None:
    made = [(await client.vector_stores.create(name=f"s{number}")).id for number in range(7)]
    newest_first = [store.id async for store in client.vector_stores.list(limit=3)]
    assert newest_first == made[::-1]
    assert [store.id async for store in client.vector_stores.list(limit=2, order="asc")] == made
    page = await client.vector_stores.list(limit=2, order="asc", before=made[4])
    assert [store.id for store in page.data] == made[2:4]
    assert page.has_more
    assert (await client.vector_stores.list(after=made[0])).data == []
    named = await client.vector_stores.list(extra_query={"name": "s3"})
    assert [store.id for store in named.data] == [made[3]]


async def test_the_clients_helpers_wait_until_a_file_is_indexed(
    client: openai.AsyncOpenAI, retrieval: FakeRetrieval, wait_until: Any
) -> None:
    retrieval.hold = True
    store = await client.vector_stores.create(name="s")
    (name,) = await upload(client, "a.txt")

    async def index_when_asked() -> None:
        await wait_until(
            lambda: any(isinstance(request, pb.GetFileRequest) for request in retrieval.requests)
        )
        retrieval.index()

    indexing = asyncio.create_task(index_when_asked())
    file = await client.vector_stores.files.create_and_poll(name, vector_store_id=store.id)
    assert isinstance(file, VectorStoreFile)
    assert (file.status, file.last_error, file.vector_store_id) == ("completed", None, store.id)
    await indexing
    retrieval.hold = False
    uploaded = await client.vector_stores.files.upload_and_poll(
        vector_store_id=store.id, file=("b.txt", b"what b says"), attributes={"year": 2024, "draft": True}
    )
    assert uploaded.status == "completed"
    assert uploaded.attributes == {"year": 2024, "draft": True}
    sent = next(r for r in reversed(retrieval.requests) if isinstance(r, pb.AddFilesRequest))
    ref = sent.files[0].file
    assert (ref.filename, ref.bytes, len(ref.sha256)) == ("b.txt", 11, 64)
    assert ref.object_key.startswith(f"default/{uploaded.id}/")


async def test_batches_with_the_clients_helpers(client: openai.AsyncOpenAI) -> None:
    store = await client.vector_stores.create(name="s")
    batch = await client.vector_stores.file_batches.upload_and_poll(
        store.id, files=[(f"{number}.txt", b"text") for number in range(5)]
    )
    assert (batch.object, batch.status) == ("vector_store.files_batch", "completed")
    assert (batch.file_counts.completed, batch.file_counts.total) == (5, 5)
    one, two = await upload(client, "x.txt", "y.txt")
    each = await client.vector_stores.file_batches.create_and_poll(
        store.id,
        files=[
            {"file_id": one, "attributes": {"n": 1.5}},
            {
                "file_id": two,
                "chunking_strategy": {
                    "type": "static",
                    "static": {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 100},
                },
            },
        ],
    )
    files = client.vector_stores.file_batches.list_files(each.id, vector_store_id=store.id, order="asc")
    first, second = [file async for file in files]
    assert (first.id, first.attributes, second.id) == (one, {"n": 1.5}, two)
    strategy: Any = second.chunking_strategy
    assert (strategy.type, strategy.static.max_chunk_size_tokens) == ("static", 200)
    assert await client.vector_stores.file_batches.retrieve(each.id, vector_store_id=store.id) == each
    assert len([file async for file in client.vector_stores.files.list(store.id, limit=3)]) == 7


async def test_a_batch_is_called_off(client: openai.AsyncOpenAI, retrieval: FakeRetrieval) -> None:
    retrieval.hold = True
    store = await client.vector_stores.create(name="s")
    files = await upload(client, "a.txt", "b.txt")
    batch = await client.vector_stores.file_batches.create(store.id, file_ids=files)
    assert (batch.status, batch.file_counts.in_progress) == ("in_progress", 2)
    cancelled = await client.vector_stores.file_batches.cancel(batch.id, vector_store_id=store.id)
    assert (cancelled.status, cancelled.file_counts.cancelled) == ("cancelled", 2)
    listed = client.vector_stores.files.list(store.id, filter="cancelled")
    assert len([file async for file in listed]) == 2
    assert (await client.vector_stores.files.list(store.id, filter="completed")).data == []


async def test_a_file_that_cannot_be_read_says_why(
    client: openai.AsyncOpenAI, retrieval: FakeRetrieval
) -> None:
    retrieval.faults["locked.pdf"] = store_pb2.FileError(
        code="invalid_file", reason="PASSWORD_PROTECTED", message="The file is protected by a password."
    )
    store = await client.vector_stores.create(name="s")
    (name,) = await upload(client, "locked.pdf")
    file = await client.vector_stores.files.create_and_poll(name, vector_store_id=store.id)
    assert file.status == "failed"
    assert file.last_error is not None
    assert file.last_error.code == "invalid_file"
    assert file.last_error.message == "The file is protected by a password."
    assert file.last_error.model_extra == {"reason": "PASSWORD_PROTECTED"}


async def test_a_files_attributes_content_and_end(
    client: openai.AsyncOpenAI, retrieval: FakeRetrieval
) -> None:
    store = await client.vector_stores.create(name="s")
    (name,) = await upload(client, "a.txt")
    retrieval.contents[name] = [passage(f"passage {number}") for number in range(450)]
    await client.vector_stores.files.create(store.id, file_id=name, attributes={"a": "b"})
    changed = await client.vector_stores.files.update(name, vector_store_id=store.id, attributes={"c": False})
    assert changed.attributes == {"c": False}
    read = await client.vector_stores.files.content(name, vector_store_id=store.id)
    assert [piece.text for piece in read.data] == [f"passage {number}" for number in range(450)]
    assert {piece.type for piece in read.data} == {"text"}
    gone = await client.vector_stores.files.delete(name, vector_store_id=store.id)
    assert (gone.id, gone.deleted, gone.object) == (name, True, "vector_store.file.deleted")
    with pytest.raises(openai.NotFoundError):
        await client.vector_stores.files.retrieve(name, vector_store_id=store.id)


async def test_a_large_file_is_read_page_by_page(
    client: openai.AsyncOpenAI, retrieval: FakeRetrieval, http: httpx.AsyncClient
) -> None:
    store = await client.vector_stores.create(name="s")
    (name,) = await upload(client, "a.txt")
    retrieval.contents[name] = [passage(f"{number:04}" + "x" * 9_000) for number in range(1000)]
    await client.vector_stores.files.create(store.id, file_id=name)
    found: list[str] = []
    page: str | None = ""
    pages = 0
    while page is not None:
        answer = (
            await http.get(f"{STORES}/{store.id}/files/{name}/content", params={"page": page} if page else {})
        ).json()
        assert answer["has_more"] == (answer["next_page"] is not None)
        found += [piece["text"][:4] for piece in answer["data"]]
        page = answer["next_page"]
        pages += 1
    assert found == [f"{number:04}" for number in range(1000)]
    assert pages > 1


async def test_a_search_gives_passages_with_their_place(
    client: openai.AsyncOpenAI, retrieval: FakeRetrieval
) -> None:
    store = await client.vector_stores.create(name="s")
    (name,) = await upload(client, "a.pdf")
    retrieval.contents[name] = [
        passage("termination takes thirty days", page=3, headings=("Contract", "End")),
        passage("rent is due monthly"),
    ]
    await client.vector_stores.files.create(store.id, file_id=name, attributes={"year": 2024})
    found = await client.vector_stores.search(
        store.id,
        query=["termination takes", "notice"],
        max_num_results=5,
        filters={"type": "and", "filters": [{"type": "gte", "key": "year", "value": 2020}]},
        ranking_options={"ranker": "auto", "score_threshold": 0.5},
        rewrite_query=True,
    )
    assert found.object == "vector_store.search_results.page"
    (hit,) = found.data
    assert (hit.file_id, hit.filename, hit.score) == (name, "a.pdf", 1.0)
    assert hit.attributes == {"year": 2024}
    assert [(piece.type, piece.text) for piece in hit.content] == [("text", "termination takes thirty days")]
    place: Any = (hit.model_extra or {})["place"]
    assert (place["page_first"], place["page_last"], place["headings"]) == (3, 3, ["Contract", "End"])
    assert place["passage_id"].endswith(":0")
    sent = retrieval.requests[-1]
    assert list(sent.queries) == ["termination takes", "notice"]
    assert (sent.max_results, sent.score_threshold, sent.HasField("vector_weight")) == (5, 0.5, False)
    nothing = await client.vector_stores.search(
        store.id, query="termination", filters={"type": "eq", "key": "year", "value": 1999}
    )
    assert nothing.data == []


async def test_what_a_search_says_beside_its_hits(
    client: openai.AsyncOpenAI, retrieval: FakeRetrieval, http: httpx.AsyncClient
) -> None:
    store = await client.vector_stores.create(name="s")
    (name,) = await upload(client, "a.txt")
    retrieval.contents[name] = [passage(f"word {number}") for number in range(12)]
    await client.vector_stores.files.create(store.id, file_id=name)
    hybrid = {"hybrid_search": {"embedding_weight": 3, "text_weight": 1}}
    body = {"query": "word", "ranking_options": hybrid, "rewrite_query": True}
    answer = await http.post(f"{STORES}/{store.id}/search", json=body)
    page = answer.json()
    assert page["search_query"] == ["word"]  # what was looked for: nothing was rewritten
    assert (len(page["data"]), page["has_more"], page["next_page"]) == (10, True, None)
    assert (answer.headers["x-sixfold-relevant"], answer.headers["x-sixfold-vectors"]) == ("true", "true")
    assert retrieval.requests[-1].vector_weight == 0.75


NOT_THERE = [
    ("GET", f"{STORES}/{NO_STORE}"),
    ("POST", f"{STORES}/{NO_STORE}"),
    ("DELETE", f"{STORES}/{NO_STORE}"),
    ("GET", f"{STORES}/nonsense"),
    ("GET", f"{STORES}/{NO_STORE}/files"),
    ("GET", f"{STORES}/{NO_STORE}/files/{NO_FILE}"),
    ("GET", f"{STORES}/{NO_STORE}/files/{NO_FILE}/content"),
    ("DELETE", f"{STORES}/{NO_STORE}/files/{NO_FILE}"),
    ("GET", f"{STORES}/{NO_STORE}/file_batches/{NO_BATCH}"),
    ("POST", f"{STORES}/{NO_STORE}/file_batches/{NO_BATCH}/cancel"),
    ("GET", f"{STORES}/{NO_STORE}/file_batches/{NO_BATCH}/files"),
]


async def test_what_is_not_there(http: httpx.AsyncClient) -> None:
    for method, path in NOT_THERE:
        answer = await http.request(method, path, json={} if method == "POST" else None)
        assert answer.status_code == 404, (path, answer.text)
        error = answer.json()["error"]
        assert (error["type"], error["code"]) == ("invalid_request_error", "not_found")


async def test_a_batch_with_a_file_that_is_not_there_attaches_nothing(
    client: openai.AsyncOpenAI, retrieval: FakeRetrieval
) -> None:
    store = await client.vector_stores.create(name="s")
    (name,) = await upload(client, "a.txt")
    for attach in (
        client.vector_stores.file_batches.create(store.id, file_ids=[name, NO_FILE]),
        client.vector_stores.file_batches.create(store.id, files=[{"file_id": name}, {"file_id": NO_FILE}]),
        client.vector_stores.files.create(store.id, file_id=NO_FILE),
        client.vector_stores.create(file_ids=[name, NO_FILE]),
    ):
        with pytest.raises(openai.NotFoundError, match=NO_FILE):
            await attach
    assert (await client.vector_stores.files.list(store.id)).data == []
    assert len((await client.vector_stores.list()).data) == 1


BAD_BODIES: list[tuple[str, Any, str | None]] = [
    ("", {"name": 5}, "name"),
    ("", {"name": "x" * 257}, "name"),
    ("", {"metadata": {"a": 1}}, "metadata.a"),
    ("", {"metadata": {str(n): "" for n in range(17)}}, "metadata"),
    ("", {"expires_after": {"anchor": "created_at", "days": 1}}, "expires_after.anchor"),
    ("", {"expires_after": {"anchor": "last_active_at", "days": 0}}, "expires_after.days"),
    ("", {"file_ids": [NO_FILE] * 501}, "file_ids"),
    ("", {"chunking_strategy": {"type": "magic"}}, "chunking_strategy"),
    ("", {"colour": "red"}, "colour"),
    ("/files", {}, "file_id"),
    ("/files", {"file_id": NO_FILE, "attributes": {"a": [1]}}, None),
    ("/file_batches", {}, "file_ids"),
    ("/file_batches", {"file_ids": []}, "file_ids"),
    ("/file_batches", {"file_ids": [NO_FILE], "files": [{"file_id": NO_FILE}]}, "files"),
    ("/search", {}, "query"),
    ("/search", {"query": ""}, None),
    ("/search", {"query": ["x"] * 9}, None),
    ("/search", {"query": "x", "max_num_results": 51}, "max_num_results"),
    ("/search", {"query": "x", "filters": {"type": "eq", "key": "a"}}, "filters.value"),
    ("/search", {"query": "x", "filters": {"type": "or", "filters": []}}, "filters.filters"),
    (
        "/search",
        {"query": "x", "ranking_options": {"score_threshold": 2}},
        "ranking_options.score_threshold",
    ),
]


async def test_bad_bodies_name_the_field(client: openai.AsyncOpenAI, http: httpx.AsyncClient) -> None:
    store = await client.vector_stores.create(name="s")
    for path, body, param in BAD_BODIES:
        answer = await http.post(f"{STORES}/{store.id}{path}" if path else STORES, json=body)
        assert answer.status_code == 400, (path, body, answer.text)
        if param is not None:
            assert answer.json()["error"]["param"] == param


async def test_bad_pages(client: openai.AsyncOpenAI, http: httpx.AsyncClient) -> None:
    store = await client.vector_stores.create(name="s")
    for query in ("limit=0", "limit=101", "order=up", "after=nonsense", "filter=lost"):
        answer = await http.get(f"{STORES}/{store.id}/files?{query}")
        assert answer.status_code == 400, query
        assert answer.json()["error"]["param"] == query.split("=")[0]


async def test_a_retried_post_has_one_effect(
    ready: Any, http: httpx.AsyncClient, retrieval: FakeRetrieval
) -> None:
    """The official client tries again by itself and names no key; one that names a key is known anywhere."""
    first = (await http.post(STORES, json={"name": "s"})).json()
    again = await http.post(STORES, json={"name": "s"}, headers={"x-stainless-retry-count": "1"})
    assert again.json()["id"] == first["id"]
    assert (await http.post(STORES, json={"name": "s"})).json()["id"] != first["id"]
    key = {"idempotency-key": "mine"}
    named = [(await http.post(STORES, json={"name": "k"}, headers=key)).json()["id"] for _ in range(2)]
    assert named[0] == named[1]
    other = ready.http(tenant="umbrella")
    assert (await other.post(STORES, json={"name": "k"}, headers=key)).json()["id"] != named[0]
    assert len([owner for owner, _ in retrieval.shelves if owner == "default"]) == 3


async def test_the_official_client_makes_one_store_through_an_outage(
    ready: Any, retrieval: FakeRetrieval
) -> None:
    """The service does the work and its answer is lost: the retry gets the store that is there."""
    client = ready.openai().with_options(max_retries=2)
    retrieval.lose_answers = 1
    store = await client.vector_stores.create(name="once")
    assert [name for _, name in retrieval.shelves] == [store.id]


async def test_a_retrieval_service_that_is_away_takes_nothing_else_down(
    house: Any, engine: FakeEngine, retrieval: FakeRetrieval
) -> None:
    house.write_config("")
    await house.start()
    http, client = house.http(), house.openai()
    store = await client.vector_stores.create(name="s")
    await house.retrieval_server.stop()
    for method, path, body in (
        ("GET", STORES, None),
        ("POST", STORES, {"name": "x"}),
        ("POST", f"{STORES}/{store.id}/search", {"query": "x"}),
    ):
        answer = await http.request(method, path, json=body)
        assert answer.status_code == 503, answer.text
        error = answer.json()["error"]
        assert (error["code"], error["type"]) == ("service_unavailable", "server_error")
        assert error["message"] == "The retrieval service cannot be reached."
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["x-should-retry"] == "true"
    chat = await client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "hi"}])
    assert chat.choices[0].message.content
    page = await http.get("/readyz")
    assert page.status_code == 200
    await house.retrieval_server.start()
    async with asyncio.timeout(20):
        while (await http.get(STORES)).status_code != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_readiness_tells_of_the_retrieval_service_and_does_not_hang_on_it(
    house: Any, engine: FakeEngine
) -> None:
    house.write_config("")
    await house.start()  # with nobody where the retrieval service should be
    http = house.http()
    async with asyncio.timeout(20):
        while True:
            page = await http.get("/readyz")
            assert page.status_code == 200
            if page.json()["checks"]["retrieval-service"] == "service_unavailable":
                return
            await asyncio.sleep(0.05)


async def test_a_slow_service_and_its_own_errors(
    house: Any, engine: FakeEngine, retrieval: FakeRetrieval
) -> None:
    house.write_config("")
    await house.start(retrieval_seconds=0.2)
    http = house.http()
    retrieval.delay = 5
    assert (await http.get(STORES)).status_code == 504
    retrieval.delay = 0
    retrieval.error = SixfoldError(Reason.QUEUE_FULL, "Too much to do.", retry_after=3)
    answer = await http.get(STORES)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")


async def test_who_asks_is_known_to_the_service(client: openai.AsyncOpenAI, retrieval: FakeRetrieval) -> None:
    await client.vector_stores.create(name="s", extra_headers={"x-request-id": "mine"})
    caller = retrieval.callers[-1]
    assert (caller.service, caller.tenant, caller.subject) == ("gateway", "default", "default-user")
    assert retrieval.metadata[-1]["x-request-id"] == "mine"
