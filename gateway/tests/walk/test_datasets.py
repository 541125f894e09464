"""Data sets over REST: ordered, watched, listed, read, deleted, refused; and eval runs over their parts."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parts.fake_engine import FakeEngine
from parts.fake_evaluation import FakeEvaluation, evaluation_server
from parts.fake_training import FakeTraining, JobsServer, training_server

from servicekit.objects import open_objects

DATASETS = "/v1/datasets"
NO_SET, NO_FILE = f"ds_{'0' * 24}", f"file-{'0' * 24}"
ROWS = b'{"text": "I lost my card", "label": "card"}\n{"text": "Send money", "label": "transfer"}\n'
TRAIN = b"".join(
    json.dumps({"messages": [{"role": "user", "content": f"say {n}"}], "n": "x" * 400}).encode() + b"\n"
    for n in range(2000)
)


@pytest.fixture
def training() -> FakeTraining:
    return FakeTraining("smol")  # type: ignore[abstract]


@pytest.fixture
async def server(house: Any, training: FakeTraining) -> AsyncIterator[JobsServer]:
    server = training_server(training, house.service_key)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def ready(house: Any, engine: FakeEngine, server: JobsServer) -> Any:
    house.write_config("")
    await house.start(training_service=f"127.0.0.1:{server.port}", jobs_seconds=5)
    return house


async def upload(client: openai.AsyncOpenAI) -> str:
    return (await client.files.create(file=("rows.jsonl", ROWS), purpose="fine-tune")).id


async def put(house: Any, namespace: str, content: bytes) -> str:
    """As the training service's job leaves it."""

    async def chunks() -> AsyncIterator[bytes]:
        yield content

    objects = open_objects(f"file://{house.home / 'objects'}")
    stored = await objects.put(namespace, chunks(), limit=1 << 30)
    await objects.close()
    return stored.key


async def made(house: Any, training: FakeTraining, http: httpx.AsyncClient, tenant: str = "default") -> str:
    """A data set with a train and a test part and a card."""
    body = {"name": "intents", "sources": [{"type": "feedback"}]}
    id = str((await http.post(DATASETS, json=body)).json()["id"])
    keys = {
        "train": await put(house, f"{tenant}/{id}", TRAIN),
        "test": await put(house, f"{tenant}/{id}", ROWS),
        "card": await put(house, f"{tenant}/{id}", "# Intents\n\nzwölf\n".encode()),
    }
    training.make(id, keys, {"train": 2000, "validation": 0, "test": 2})
    return id


async def test_a_data_set_from_order_to_rows(
    ready: Any, client: openai.AsyncOpenAI, http: httpx.AsyncClient, training: FakeTraining
) -> None:
    file, earlier = await upload(client), await made(ready, training, http)
    answer = await http.post(
        DATASETS,
        json={
            "name": "support",
            "sources": [
                {"type": "file", "file_id": file},
                {"type": "feedback", "kinds": ["correction", "thumbs"], "since": 100, "model": "default"},
                {"type": "dataset", "dataset_id": earlier, "part": "train"},
                {"type": "dataset", "dataset_id": earlier},
            ],
            "kind": "supervised",
            "validation_share": 0.1,
            "test_share": 0.25,
            "seed": 7,
            "keep_near_duplicates": True,
            "metadata": {"license": "CC0-1.0"},
        },
    )
    assert answer.status_code == 200, answer.text
    first = answer.json()
    assert (first["object"], first["status"], first["name"]) == ("dataset", "queued", "support")
    assert (first["version"], first["kind"], first["error"]) == (None, None, None)
    assert (first["left_out"], first["warnings"]) == ({}, [])
    assert first["rows"] == {"train": 0, "validation": 0, "test": 0}
    assert first["metadata"] == {"license": "CC0-1.0"}
    assert first["job_id"].startswith("dsjob_")
    sent = training.requests[-1]
    stored = await client.files.retrieve(file)
    assert (sent.sources[0].file.id, sent.sources[0].file.bytes) == (file, stored.bytes)
    assert sent.sources[0].file.object_key.startswith("default/")
    told = sent.sources[1].feedback
    assert (list(told.kinds), told.since, told.until, told.model) == (
        ["correction", "thumbs"],
        100,
        0,
        "default",
    )
    assert [(each.dataset.dataset_id, each.dataset.part) for each in sent.sources[2:]] == [
        (earlier, "train"),
        (earlier, ""),
    ]
    options = sent.options
    assert (options.kind, options.validation_share, options.test_share, options.seed) == (
        "supervised", 0.1, 0.25, 7,
    )  # fmt: skip
    assert (options.keep_near_duplicates, options.keep_personal_data, options.strict) == (True, False, False)
    assert (training.callers[-1].tenant, training.callers[-1].subject) == ("default", "default-user")

    done = (await http.get(f"{DATASETS}/{earlier}")).json()
    assert (done["status"], done["version"], done["kind"]) == ("succeeded", "0" * 64, "supervised")
    assert done["rows"] == {"train": 2000, "validation": 0, "test": 2}
    assert (done["left_out"], len(done["warnings"])) == ({"BAD_JSON": 1}, 1)
    assert "object_keys" not in done
    rows = await http.get(f"{DATASETS}/{earlier}/parts/train")
    assert rows.headers["content-type"] == "application/jsonl"
    assert f"{earlier}-train.jsonl" in rows.headers["content-disposition"]
    assert rows.content == TRAIN
    card = await http.get(f"{DATASETS}/{earlier}/card")
    assert card.headers["content-type"] == "text/markdown; charset=utf-8"
    assert card.text == "# Intents\n\nzwölf\n"

    gone = await http.delete(f"{DATASETS}/{earlier}")
    assert gone.json() == {"id": earlier, "object": "dataset", "deleted": True}
    for path in ("", "/parts/train", "/card"):
        assert (await http.get(f"{DATASETS}/{earlier}{path}")).status_code == 404


async def test_what_is_not_there_to_read_says_so(
    ready: Any, http: httpx.AsyncClient, training: FakeTraining
) -> None:
    body = {"name": "n", "sources": [{"type": "feedback"}]}
    waiting = (await http.post(DATASETS, json=body)).json()["id"]
    answer = await http.get(f"{DATASETS}/{waiting}/parts/train")
    assert (answer.status_code, "not made yet" in answer.text) == (400, True)
    training.spoil(waiting, "ONE_LABEL", "Every row has the same label.")
    failed = (await http.get(f"{DATASETS}/{waiting}")).json()
    assert failed["status"] == "failed"
    assert failed["error"] == {"code": "one_label", "message": "Every row has the same label."}
    answer = await http.get(f"{DATASETS}/{waiting}/card")
    assert (answer.status_code, "could not be made" in answer.text) == (400, True)
    id = await made(ready, training, http)
    missing = await http.get(f"{DATASETS}/{id}/parts/validation")
    assert (missing.status_code, missing.json()["error"]["param"]) == (404, "part")
    unknown = await http.get(f"{DATASETS}/{id}/parts/card")
    assert (unknown.status_code, unknown.json()["error"]["param"]) == (400, "part")
    # Whatever the service says, only what lies in the data set's own namespace is read.
    training.dataset(id).object_keys["test"] = await put(ready, "umbrella/ds", b"theirs\n")
    answer = await http.get(f"{DATASETS}/{id}/parts/test")
    assert (answer.status_code, "theirs" in answer.text) == (404, False)
    training.dataset(id).object_keys["test"] = f"default/{id}/{'a' * 64}"
    assert (await http.get(f"{DATASETS}/{id}/parts/test")).status_code == 404


async def test_data_sets_come_in_pages_and_by_name(http: httpx.AsyncClient) -> None:
    ids = []
    for n in range(5):
        body = {"name": "even" if n % 2 == 0 else "odd", "sources": [{"type": "feedback"}]}
        ids.append((await http.post(DATASETS, json=body)).json()["id"])
    newest = (await http.get(DATASETS, params={"limit": 2})).json()
    assert [each["id"] for each in newest["data"]] == [ids[4], ids[3]]
    assert (newest["first_id"], newest["last_id"], newest["has_more"]) == (ids[4], ids[3], True)
    rest = (await http.get(DATASETS, params={"after": newest["last_id"]})).json()
    assert ([each["id"] for each in rest["data"]], rest["has_more"]) == ([ids[2], ids[1], ids[0]], False)
    odd = (await http.get(DATASETS, params={"name": "odd", "order": "asc"})).json()
    assert [each["id"] for each in odd["data"]] == [ids[1], ids[3]]
    assert (await http.get(DATASETS, params={"after": "nonsense"})).status_code == 400


SHARES = {"validation_share": 0.5, "test_share": 0.5}
BAD_BODIES: list[tuple[dict[str, Any], int, str | None]] = [
    ({"name": ""}, 400, "name"),
    ({"name": None}, 400, "name"),
    ({"sources": []}, 400, "sources"),
    ({"sources": None}, 400, "sources"),
    ({"sources": [{"type": "web"}]}, 400, "sources[0]"),
    ({"sources": [{"type": "file", "file_id": NO_FILE}]}, 404, "sources[0].file_id"),
    ({"sources": [{"type": "feedback"}, {"type": "file", "file_id": "x"}]}, 404, "sources[1].file_id"),
    ({"sources": [{"type": "dataset", "dataset_id": NO_SET}]}, 404, "sources[0].dataset_id"),
    ({"sources": [{"type": "dataset", "dataset_id": "x"}]}, 404, "sources[0].dataset_id"),
    ({"sources": [{"type": "dataset", "dataset_id": NO_SET, "part": "all"}]}, 400, None),
    ({"sources": [{"type": "feedback", "kinds": ["flag"]}]}, 400, None),
    ({"sources": [{"type": "feedback", "since": 9, "until": 9}]}, 400, None),
    ({"sources": [{"type": "feedback"}] * 65}, 400, "sources"),
    ({"validation_share": 1.5}, 400, "validation_share"),
    ({"test_share": -0.1}, 400, "test_share"),
    (SHARES, 400, None),
    ({"kind": "music"}, 400, "kind"),
    ({"seed": -1}, 400, "seed"),
    ({"strict": "yes"}, 400, "strict"),
    ({"colour": "red"}, 400, "colour"),
]


async def test_bad_bodies_name_the_field_and_order_nothing(
    http: httpx.AsyncClient, training: FakeTraining
) -> None:
    good = {"name": "n", "sources": [{"type": "feedback"}]}
    for change, status, param in BAD_BODIES:
        answer = await http.post(DATASETS, json=good | change)
        assert answer.status_code == status, (change, answer.text)
        if param is not None:
            assert answer.json()["error"]["param"] == param, answer.text
    assert training.datasets == {}
    for path in (NO_SET, "nonsense", f"{NO_SET}/parts/train", "nonsense/card"):
        assert (await http.get(f"{DATASETS}/{path}")).status_code == 404
    assert (await http.delete(f"{DATASETS}/{NO_SET}")).status_code == 404


_VALUES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9)
    | st.lists(st.none(), max_size=2)
)  # fmt: skip
_SOURCES = st.dictionaries(
    st.sampled_from(["type", "file_id", "dataset_id", "part", "kinds", "since", "until", "model"]),
    _VALUES | st.sampled_from(["file", "feedback", "dataset", NO_FILE, NO_SET, "train", ["thumbs"], 1]),
)
_BODIES = st.dictionaries(
    st.sampled_from(
        ["name", "sources", "kind", "validation_share", "test_share", "seed", "strict", "metadata"]
    )
    | st.text(max_size=4),
    _VALUES | st.lists(_SOURCES, max_size=3) | st.dictionaries(st.text(max_size=3), st.text(max_size=3)),
)


async def test_no_body_breaks_anything(http: httpx.AsyncClient) -> None:
    bodies: list[Any] = []

    @settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(_BODIES)
    def gather(body: Any) -> None:
        good = {"name": "n", "sources": [{"type": "feedback"}]}
        bodies.append({**good, **body} if len(bodies) % 2 else body)

    await asyncio.get_running_loop().run_in_executor(None, gather)
    for body in bodies:
        with contextlib.suppress(ValueError):  # numbers that JSON has no word for
            answer = await http.post(DATASETS, json=body)
            assert answer.status_code in (200, 400, 404), (body, answer.text)
    for half in (
        b'{"name": "\\ud800", "sources": [{"type": "feedback"}]}',
        b'{"name": "n", "sources": [{"type": "feedback", "model": "\\ud800"}]}',
        b'{"name": "n", "sources": [{"type": "feedback"}], "metadata": {"\\ud800": ""}}',
    ):
        answer = await http.post(DATASETS, content=half, headers={"content-type": "application/json"})
        assert answer.status_code == 400, (half, answer.text)


async def test_another_tenants_data_sets_and_files_are_not_there(
    ready: Any, client: openai.AsyncOpenAI, http: httpx.AsyncClient, training: FakeTraining
) -> None:
    file, mine = await upload(client), await made(ready, training, http)
    other: httpx.AsyncClient = ready.http(tenant="umbrella")
    for path in ("", "/parts/train", "/card"):
        assert (await other.get(f"{DATASETS}/{mine}{path}")).status_code == 404
    assert (await other.delete(f"{DATASETS}/{mine}")).status_code == 404
    assert (await other.get(DATASETS)).json()["data"] == []
    for source, param in (
        ({"type": "file", "file_id": file}, "file_id"),
        ({"type": "dataset", "dataset_id": mine}, "dataset_id"),
    ):
        answer = await other.post(DATASETS, json={"name": "theirs", "sources": [source]})
        assert (answer.status_code, answer.json()["error"]["param"]) == (404, f"sources[0].{param}")
    assert {tenant for tenant, _ in training.datasets} == {"default"}
    assert (await http.get(f"{DATASETS}/{mine}/parts/test")).content == ROWS


async def test_an_order_that_is_sent_again_is_one_data_set(
    http: httpx.AsyncClient, training: FakeTraining
) -> None:
    body = {"name": "n", "sources": [{"type": "feedback"}]}
    first = (await http.post(DATASETS, json=body)).json()["id"]
    again = await http.post(DATASETS, json=body, headers={"x-stainless-retry-count": "1"})
    assert again.json()["id"] == first
    key = {"idempotency-key": "mine"}
    assert len({(await http.post(DATASETS, json=body, headers=key)).json()["id"] for _ in range(2)}) == 1
    assert len(training.datasets) == 2


async def test_viewers_look_and_members_order(
    ready: Any, http: httpx.AsyncClient, training: FakeTraining
) -> None:
    id = await made(ready, training, http)
    viewer = ready.http(role="viewer")
    assert (await viewer.get(f"{DATASETS}/{id}")).status_code == 200
    assert (await viewer.get(f"{DATASETS}/{id}/card")).status_code == 200
    body = {"name": "n", "sources": [{"type": "feedback"}]}
    for refused in (await viewer.post(DATASETS, json=body), await viewer.delete(f"{DATASETS}/{id}")):
        assert (refused.status_code, "finetune:write" in refused.text) == (403, True)
    nobody = httpx.AsyncClient(base_url=ready.base)
    assert (await nobody.get(f"{DATASETS}/{id}/parts/train")).status_code == 401
    await nobody.aclose()


async def test_a_client_that_leaves_ends_the_reading(
    ready: Any, http: httpx.AsyncClient, training: FakeTraining, wait_until: Callable[..., Awaitable[None]]
) -> None:
    id = await made(ready, training, http)
    async with http.stream("GET", f"{DATASETS}/{id}/parts/train") as answer:
        async for _ in answer.aiter_raw():
            break
    await wait_until(lambda: ready.gateway.app.in_flight == 0)
    assert (await http.get(f"{DATASETS}/{id}/parts/train")).content == TRAIN


@pytest.fixture
async def evaluation(
    house: Any, engine: FakeEngine, server: JobsServer
) -> AsyncIterator[tuple[Any, FakeEvaluation]]:
    """The same house, before an eval service too."""
    fake = FakeEvaluation()  # type: ignore[abstract]
    evals = evaluation_server(fake, house.service_key)
    await evals.start()
    house.write_config("")
    at = {"training_service": server.port, "eval_service": evals.port}
    await house.start(**{name: f"127.0.0.1:{port}" for name, port in at.items()}, jobs_seconds=5)
    yield house, fake
    await evals.stop()


async def test_an_eval_runs_over_a_data_sets_part(
    evaluation: tuple[Any, FakeEvaluation], training: FakeTraining
) -> None:
    house, fake = evaluation
    client, http = house.openai(), house.http()
    id = await made(house, training, http)
    criterion = {
        "type": "string_check",
        "name": "exact",
        "input": "{{sample.output_text}}",
        "reference": "{{item.answer}}",
        "operation": "eq",
    }
    made_eval = await client.evals.create(
        name="intents", data_source_config={"type": "custom", "item_schema": {}}, testing_criteria=[criterion]
    )
    source = {"type": "dataset", "id": id, "part": "test"}
    data_source: Any = {
        "type": "completions",
        "model": "tiny",
        "source": source,
        "input_messages": {"type": "item_reference", "item_reference": "item.messages"},
    }
    run = await http.post(f"/v1/evals/{made_eval.id}/runs", json={"data_source": data_source})
    assert run.json()["data_source"]["source"] == source
    sent = fake.requests[-1].file
    assert (sent.id, sent.filename) == (id, f"{id}-test.jsonl")
    assert sent.object_key == f"default/{id}/{sent.sha256}" == training.dataset(id).object_keys["test"]
    for change, status, param in (
        ({"part": "validation"}, 404, "data_source.source.part"),
        ({"part": "all"}, 400, "data_source.source.part"),
        ({"part": 7}, 400, "data_source.source.part"),
        ({"id": NO_SET}, 404, "data_source.source.id"),
        ({"id": "nonsense"}, 404, "data_source.source.id"),
    ):
        body = {"data_source": data_source | {"source": source | change}}
        answer = await http.post(f"/v1/evals/{made_eval.id}/runs", json=body)
        assert (answer.status_code, answer.json()["error"]["param"]) == (status, param), answer.text
    other = house.http(tenant="umbrella")
    body = {"name": "x", "data_source_config": {"type": "custom", "item_schema": {}}}
    theirs = (await other.post("/v1/evals", json=body | {"testing_criteria": [criterion]})).json()["id"]
    answer = await other.post(f"/v1/evals/{theirs}/runs", json={"data_source": data_source})
    assert (answer.status_code, answer.json()["error"]["param"]) == (404, "data_source.source.id")
    assert len(fake.runs) == 1


async def test_without_a_training_service_data_sets_say_so(house: Any, engine: FakeEngine) -> None:
    house.write_config("")
    await house.start()
    for path in (DATASETS, f"{DATASETS}/{NO_SET}/parts/train"):
        answer = await house.http().get(path)
        assert (answer.status_code, "not configured" in answer.text) == (503, True)
