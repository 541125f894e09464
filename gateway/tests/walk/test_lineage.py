"""Where an answer comes from: told at once, of everything that is known, and to nobody else's tenant."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from parts.fake_engine import FakeEngine, card, raising
from parts.fake_evaluation import evaluation_server
from parts.fake_lineage import Judging, Making
from parts.fake_training import JobsServer, training_server
from parts.library import DUCKS, SWANS, from_passages, shelve

from servicekit.errors import Reason
from sixfold.eval.v1 import evaluation_pb2, release_pb2

NEW, OLD = "ft:tiny:acme:mine:abc123", "tiny"
HI: Any = [{"role": "user", "content": "a word that nobody may keep"}]
RUNS = [f"evalrun_{letter * 24}" for letter in "ab"]
EVAL = f"eval_{'e' * 24}"
SOURCES: list[dict[str, Any]] = [
    {"kind": "file", "id": "file-1", "filename": "rows.jsonl", "object_key": "acme/secret-place", "bytes": 9},
    {"kind": "feedback", "kinds": ["correction"], "since": 0, "until": 0, "model": "support"},
    {"kind": "dataset", "id": "ds_2", "version": "v", "parts": {"train": "acme/secret-place"}, "named": True},
]


class World:
    """A gateway before services that know much."""

    def __init__(self, house: Any) -> None:
        self.house = house
        self.judging, self.making = Judging(), Making()
        self.training = training_server(self.making, house.service_key)
        self.evaluation = evaluation_server(self.judging, house.service_key)

    def release(self, candidate: str, status: int, digit: str = "1") -> release_pb2.Release:
        """A release of "support", with its runs."""
        made = release_pb2.Release(
            id=f"rel_{digit * 24}",
            alias="support",
            champion=OLD,
            candidate=candidate,
            status=status,  # type: ignore[arg-type]
            reason="Better on feedback.",
            policy="strict",
            policy_sha256="9" * 64,
            run_ids=RUNS,
            share=1,
        )
        made.verdicts.add(rule="better", passed=True, reason="Shown.")
        made.approvals.add(subject="ada", role="admin", approved=True, at=5)
        self.judging.releases["acme", made.id] = made
        for run_id, model in zip(RUNS, (OLD, candidate), strict=True):
            self.judging.runs["acme", run_id] = evaluation_pb2.Run(id=run_id, eval_id=EVAL, model=model)
        return made

    async def routed(self, http: httpx.AsyncClient, model: str, **route: Any) -> None:
        """The name "support" leads to this model."""
        self.judging.say(release_pb2.Route(alias="support", tenant="acme", **route))
        for _ in range(500):
            if (await ask(http)).headers.get("x-sixfold-model") == f"{model}@v1":
                return
            await asyncio.sleep(0.02)
        pytest.fail("the name does not lead there")


@pytest.fixture
async def world(house: Any) -> AsyncIterator[World]:
    world = World(house)
    servers: list[JobsServer] = [world.training, world.evaluation]
    for server in servers:
        await server.start()
    mine = card(NEW)
    mine.owner, mine.base = "acme", OLD
    await house.engine("local", card(OLD), mine, card("vectors", capabilities="embeddings"))
    house.write_config("")
    await house.start(
        training_service=f"127.0.0.1:{world.training.port}",
        eval_service=f"127.0.0.1:{world.evaluation.port}",
        jobs_seconds=5,
    )
    yield world
    for server in servers:
        await server.stop()


async def ask(http: httpx.AsyncClient, model: str = "support", **changes: Any) -> httpx.Response:
    return await http.post("/v1/chat/completions", json={"model": model, "messages": HI} | changes)


async def lineage(http: httpx.AsyncClient, request_id: str) -> dict[str, Any]:
    answer = await http.get(f"/v1/requests/{request_id}/lineage")
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    assert "nobody may keep" not in answer.text
    assert "secret-place" not in answer.text
    return told


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_of_a_promoted_model_says_all_of_it(world: World, stream: bool) -> None:
    http = world.house.http(tenant="acme")
    release = world.release(NEW, release_pb2.RELEASE_STATUS_PROMOTED)
    dataset = world.making.made("acme", NEW, SOURCES)
    await world.routed(http, NEW, champion=NEW, release_id=release.id)
    answer = await ask(http, stream=stream)
    request_id = answer.headers["x-request-id"]
    given = {"request_id": request_id, "kind": "thumbs", "value": 1}
    feedback = (await http.post("/v1/feedback", json=given)).json()
    told = await lineage(http, request_id)
    request = told["request"]
    assert (request["id"], request["requested_model"], request["model"]) == (request_id, "support", NEW)
    assert (request["version"], request["release_id"]) == ("v1", release.id)
    assert (request["stream"], request["status"], request["reason"]) == (stream, 200, None)
    assert request["tokens"]["completion"] > 0
    assert request["route"].startswith("support (champion)")
    assert abs(request["at"] - time.time()) < 60
    assert told["model"] == {"name": NEW, "version": "v1", "base": OLD, "owner": "acme"}
    training = told["training"]
    assert (training["job_id"], training["run_id"], training["method"]) == ("ftjob-1", "run7", "supervised")
    assert (training["dataset_id"], training["data_sha256"]) == (dataset.id, "f" * 64)
    assert (training["registered_name"], training["registered_version"]) == ("support", "3")
    assert told["dataset"]["rows"] == {"train": 80, "test": 20}
    assert told["dataset"]["sources"] == [
        {"type": "file", "file_id": "file-1", "filename": "rows.jsonl"},
        {"type": "feedback", "kinds": ["correction"], "model": "support"},
        {"type": "dataset", "dataset_id": "ds_2", "version": "v", "part": "train"},
    ]
    assert (told["release"]["id"], told["release"]["status"]) == (release.id, "promoted")
    assert (told["release"]["policy_sha256"], told["release"]["approvals"][0]["subject"]) == ("9" * 64, "ada")
    assert told["release"]["verdicts"][0]["rule"] == "better"
    assert told["evaluations"] == [
        {
            "run_id": run_id,
            "eval_id": EVAL,
            "model": model,
            "report": f"/v1/evals/{EVAL}/runs/{run_id}/report",
        }
        for run_id, model in zip(RUNS, (OLD, NEW), strict=True)
    ]
    assert told["feedback"] == [feedback]
    assert (told["passages"], told["warnings"]) == ([], [])


async def test_a_champion_beside_a_canary_has_its_own_release(world: World) -> None:
    http = world.house.http(tenant="acme")
    canary = world.release(NEW, release_pb2.RELEASE_STATUS_CANARY, "2")
    first = world.release(OLD, release_pb2.RELEASE_STATUS_PROMOTED, "1")
    later = world.release(OLD, release_pb2.RELEASE_STATUS_PROMOTED, "3")
    world.judging.note("acme", first, "promoted", at=1_000)
    world.judging.note("acme", later, "promoted", at=time.time() + 3600)  # after the request
    await world.routed(http, OLD, champion=OLD, candidate=NEW, share=0, release_id=canary.id)
    told = await lineage(http, (await ask(http)).headers["x-request-id"])
    assert (told["request"]["release_id"], told["release"]["id"]) == (canary.id, first.id)
    await world.routed(http, NEW, champion=OLD, candidate=NEW, share=1, release_id=canary.id)
    told = await lineage(http, (await ask(http)).headers["x-request-id"])
    assert (told["request"]["release_id"], told["release"]["id"]) == (canary.id, canary.id)
    assert told["request"]["route"].startswith("support (candidate)")
    # A champion that was there before every release has none.
    world.judging.audit.clear()
    await world.routed(http, OLD, champion=OLD, candidate=NEW, share=0, release_id=canary.id)
    told = await lineage(http, (await ask(http)).headers["x-request-id"])
    assert (told["release"], told["evaluations"], told["warnings"]) == (None, [], [])


async def test_what_is_there_no_more_is_null_and_no_error(world: World) -> None:
    http = world.house.http(tenant="acme")
    release = world.release(NEW, release_pb2.RELEASE_STATUS_PROMOTED)
    world.making.made("acme", NEW, [])
    await world.routed(http, NEW, champion=NEW, release_id=release.id)
    request_id = (await ask(http)).headers["x-request-id"]
    world.making.datasets.clear()
    world.judging.runs.clear()
    told = await lineage(http, request_id)
    assert (told["dataset"], told["training"]["data_sha256"]) == (None, "f" * 64)
    assert told["evaluations"] == [
        {"run_id": run_id, "eval_id": None, "model": None, "report": None} for run_id in RUNS
    ]
    world.making.models.clear()
    world.judging.releases.clear()
    told = await lineage(http, request_id)
    assert (told["training"], told["release"], told["warnings"]) == (None, None, [])
    assert told["model"]["base"] == OLD  # the catalogue knows it


async def test_services_that_are_away_are_warned_of(world: World) -> None:
    http = world.house.http(tenant="acme")
    release = world.release(NEW, release_pb2.RELEASE_STATUS_PROMOTED)
    world.making.made("acme", NEW, [])
    await world.routed(http, NEW, champion=NEW, release_id=release.id)
    request_id = (await ask(http)).headers["x-request-id"]
    await world.training.stop()
    told = await lineage(http, request_id)
    assert (told["training"], told["dataset"], told["release"]["id"]) == (None, None, release.id)
    (warning,) = told["warnings"]
    assert "training service" in warning
    await world.evaluation.stop()
    told = await lineage(http, request_id)
    assert (told["release"], told["evaluations"], len(told["warnings"])) == (None, [], 2)
    assert told["request"]["model"] == NEW


async def test_another_tenants_request_is_not_there(world: World) -> None:
    mine, theirs = world.house.http(tenant="acme"), world.house.http(tenant="globex")
    answer = await ask(mine, OLD)
    request_id, answer_id = answer.headers["x-request-id"], answer.json()["id"]
    await mine.post("/v1/feedback", json={"request_id": request_id, "kind": "flag"})
    assert (await lineage(mine, request_id))["model"]["name"] == OLD
    never = await theirs.get("/v1/requests/req_never/lineage")
    for name in (request_id, answer_id):
        gone = await theirs.get(f"/v1/requests/{name}/lineage")
        assert (gone.status_code, gone.json()) == (404, never.json())
    # The same id under another tenant is another request, with its own feedback.
    same = await theirs.post(
        "/v1/chat/completions",
        json={"model": OLD, "messages": HI, "max_tokens": 2},
        headers={"x-request-id": request_id},
    )
    assert same.status_code == 200
    told = await lineage(theirs, request_id)
    assert (told["request"]["subject"], told["feedback"]) == ("globex-user", [])
    assert len((await lineage(mine, request_id))["feedback"]) == 1


async def test_a_gateway_alone_tells_what_it_knows(ready: Any, client: Any, engine: FakeEngine) -> None:
    http = ready.http(role="viewer")
    chat = await client.chat.completions.with_raw_response.create(model="default", messages=HI)
    answer_id, request_id = chat.parse().id, chat.headers["x-request-id"]
    response = await client.responses.create(model="tiny", input="hi")
    text = await client.completions.create(model="tiny", prompt="hi")
    by_id = {name: await lineage(http, name) for name in (answer_id, response.id, text.id)}
    assert by_id[answer_id] == await lineage(http, request_id)
    assert [told["request"]["operation"] for told in by_id.values()] == [
        "chat",
        "responses",
        "text_completion",
    ]
    for told in by_id.values():
        assert told["model"] == {"name": "tiny", "version": "v1", "base": None, "owner": None}
        assert [told[name] for name in ("training", "dataset", "release")] == [None, None, None]
        assert [told[name] for name in ("evaluations", "passages", "feedback", "warnings")] == [[]] * 4
    vectors = await client.embeddings.with_raw_response.create(model="vectors", input="hi")
    told = await lineage(http, vectors.headers["x-request-id"])
    assert (told["request"]["operation"], told["request"]["answer_id"]) == ("embeddings", None)
    assert (await http.get("/v1/audit")).status_code == 403
    counted = (await http.get("/metrics")).text
    assert 'sixfold_gateway_lineage_total{outcome="whole"}' in counted
    assert 'sixfold_gateway_request_records_total{outcome="kept"}' in counted


async def test_feedback_is_found_under_either_name(ready: Any, client: Any) -> None:
    http = ready.http()
    chat = await client.chat.completions.with_raw_response.create(model="default", messages=HI)
    names = (chat.headers["x-request-id"], chat.parse().id)
    for name in names:
        await http.post("/v1/feedback", json={"request_id": name, "kind": "thumbs", "value": 1})
    for name in names:
        given = (await lineage(http, name))["feedback"]
        assert [each["request_id"] for each in given] == list(names)


async def test_failures_are_told_of_too_and_give_way_to_an_answer(ready: Any, engine: FakeEngine) -> None:
    http = ready.http()

    async def asked(model: str) -> None:
        body = {"model": model, "messages": HI}
        await http.post("/v1/chat/completions", json=body, headers={"x-request-id": "mine"})

    await asked("nobody\0")
    told = await lineage(http, "mine")
    assert (told["request"]["status"], told["request"]["reason"]) == (404, "MODEL_NOT_FOUND")
    assert (told["request"]["requested_model"], told["model"]) == ("nobody", None)
    await asked("tiny")
    for _ in range(200):
        if (told := await lineage(http, "mine"))["model"] is not None:
            break
        await asyncio.sleep(0.05)
    assert (told["request"]["status"], told["model"]["name"]) == (200, "tiny")
    engine.behaviours["tiny"] = raising(Reason.ENGINE_FAILED)
    await asked("tiny")
    await asyncio.sleep(1.2)  # written down by then, if it were
    assert (await lineage(http, "mine"))["request"]["status"] == 200


async def test_a_response_given_again_is_of_the_model_that_made_it(ready: Any) -> None:
    http = ready.http()
    ids = []
    for _ in range(2):
        answer = await http.post(
            "/v1/responses", json={"model": "tiny", "input": "hi"}, headers={"idempotency-key": "once"}
        )
        assert answer.status_code == 200
        ids.append(answer.headers["x-request-id"])
        await lineage(http, ids[-1])
    first, again = [await lineage(http, request_id) for request_id in ids]
    assert again["request"]["id"] != first["request"]["id"]
    assert again["request"]["answer_id"] == first["request"]["answer_id"]
    assert again["model"] == first["model"] != None  # noqa: E711


@pytest.mark.parametrize("stream", [False, True])
async def test_passages_of_an_answer_are_named(house: Any, engine: FakeEngine, stream: bool) -> None:
    retrieval = await house.retrieval()
    engine.behaviours["tiny"] = from_passages
    house.write_config("")
    await house.start()
    store, files = shelve(retrieval, "default", {"ducks.md": DUCKS, "swans.md": SWANS})
    http = house.http()
    question = [{"role": "user", "content": "mallard ducks weigh what"}]
    answer = await ask(http, "tiny", messages=question, vector_store_ids=[store], stream=stream)
    assert DUCKS.split()[0] in answer.text
    told = await lineage(http, answer.headers["x-request-id"])
    stood = {each["filename"]: each for each in told["passages"]}
    assert set(stood) == {"ducks.md", "swans.md"}
    assert stood["ducks.md"]["file_id"] == files["ducks.md"]
    assert stood["ducks.md"]["vector_store_id"] == store
    assert stood["ducks.md"]["passage_id"]
    assert (stood["ducks.md"]["cited"], stood["swans.md"]["cited"]) == (True, False)


async def test_what_cannot_be_an_id_is_not_there(ready: Any) -> None:
    http = ready.http()
    for name in ("a%20b", "%00", "x" * 65, "..%2f..", "req_"):
        answer = await http.get(f"/v1/requests/{name}/lineage")
        assert answer.status_code in (400, 404), (name, answer.text)
        assert answer.json()["error"]["code"]


async def test_an_answer_of_another_worker_is_found_too(house: Any, engine: FakeEngine) -> None:
    house.write_config("")
    workers = []
    for _ in range(2):  # on one home, as processes on one machine or hosts on one store
        await house.start()
        workers.append(house.http())
    assert workers[0].base_url != workers[1].base_url
    for here, there in (workers, workers[::-1], workers):
        answers = await asyncio.gather(*(ask(here, "tiny", stream=bool(number % 2)) for number in range(6)))
        found = await asyncio.gather(*(lineage(there, each.headers["x-request-id"]) for each in answers))
        assert [told["request"]["stream"] for told in found] == [bool(number % 2) for number in range(6)]


async def test_while_nobody_takes_events_answers_are_traced_all_the_same(
    house: Any, engine: FakeEngine
) -> None:
    house.write_config("")
    nobody = "kafka://127.0.0.1:1"  # where nobody is
    await house.start(bus_url=nobody)
    http = house.http()
    for _ in range(3):
        request_id = (await ask(http, "tiny")).headers["x-request-id"]
        assert (await lineage(http, request_id))["model"]["name"] == "tiny"
