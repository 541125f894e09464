"""Released names as the eval service tells them, while it stays, changes its mind, and goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from parts.fake_engine import card

from servicekit.identity import NO_TENANT, ServiceIdentity, current_caller
from servicekit.lifecycle import Lifecycle
from servicekit.rpc import RpcServer
from sixfold.eval.v1 import eval_service_pb2 as pb
from sixfold.eval.v1 import eval_service_pb2_grpc, release_pb2

NAME = "sixfold.eval.v1.EvalService"
CHAMPION = (200, "old@v1", "support (champion) -> local/old; attempts=1")
CANDIDATE = (200, "new@v1", "support (candidate) -> local/new; attempts=1")


class FakeRoutes(eval_service_pb2_grpc.EvalServiceServicer):
    """Tells the routes that a test sets, at once and whenever they change."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._changed = asyncio.Event()
        self.routes: list[release_pb2.Route] = []
        self.server: RpcServer | None = None
        self.port = 0

    def say(self, *routes: release_pb2.Route) -> None:
        self.routes = list(routes)
        self._changed.set()

    async def WatchRoutes(self, request: Any, context: Any) -> AsyncIterator[pb.WatchRoutesResponse]:
        assert current_caller().tenant == NO_TENANT
        while True:
            self._changed.clear()
            yield pb.WatchRoutesResponse(routes=self.routes, revision=1)
            await self._changed.wait()

    async def start(self) -> None:
        lifecycle = Lifecycle("eval-service")
        self.server = RpcServer(
            f"127.0.0.1:{self.port}",
            service="eval-service",
            identity=ServiceIdentity("eval-service", self._key),
            lifecycle=lifecycle,
        )
        self.server.add(eval_service_pb2_grpc.add_EvalServiceServicer_to_server, self, NAME)
        self.port = await self.server.start()
        lifecycle.started()

    async def stop(self) -> None:
        if self.server is not None:
            await self.server.stop(0)
            self.server = None


def route(share: float, candidate: str = "new", **more: Any) -> release_pb2.Route:
    given = {"alias": "support", "tenant": "acme", "champion": "old", "salt": "s", **more}
    return release_pb2.Route(candidate=candidate, share=share, **given)


@pytest.fixture
async def told(house: Any) -> AsyncIterator[FakeRoutes]:
    fake = FakeRoutes(house.service_key)
    await fake.start()
    await house.engine("local", card("old"), card("new"))
    house.write_config("")
    await house.start(eval_service=f"127.0.0.1:{fake.port}")
    yield fake
    await fake.stop()


async def ask(http: Any) -> tuple[int, str, str]:
    body = {"model": "support", "messages": [{"role": "user", "content": "hi"}]}
    answer = await http.post("/v1/chat/completions", json=body)
    seen = answer.headers
    return answer.status_code, seen.get("x-sixfold-model", ""), seen.get("x-sixfold-route", "")


async def becomes(http: Any, wanted: tuple[int, str, str]) -> None:
    for _ in range(500):
        if await ask(http) == wanted:
            return
        await asyncio.sleep(0.02)
    assert await ask(http) == wanted


async def test_a_name_follows_what_is_said_and_is_kept_while_nobody_says_anything(
    house: Any, told: FakeRoutes
) -> None:
    http, stranger = house.http(tenant="acme"), house.http(tenant="globex")
    assert (await ask(http))[0] == 404
    told.say(route(0))
    await becomes(http, CHAMPION)
    listed = {model["id"]: model for model in (await http.get("/v1/models")).json()["data"]}
    assert listed["support"]["root"] == "old"
    told.say(route(1))
    await becomes(http, CANDIDATE)
    assert (await ask(stranger))[0] == 404
    assert "support" not in (await stranger.get("/v1/models")).text
    await told.stop()
    assert await ask(http) == CANDIDATE
    told.routes = [route(0, "", champion="new")]
    await told.start()
    await becomes(http, (200, "new@v1", "support (champion) -> local/new; attempts=1"))
    told.say()
    await becomes(http, (404, "", ""))


async def test_no_request_fails_while_a_name_changes_hands(house: Any) -> None:
    """Nor when the new model came so lately that no look at the models has seen it."""
    fake = FakeRoutes(house.service_key)
    fake.say(route(0, candidate=""))
    await fake.start()
    engine = await house.engine("local", card("old"))
    engine.pause = 0.01
    house.write_config("")
    await house.start(eval_service=f"127.0.0.1:{fake.port}", catalogue_seconds=60)
    http = house.http(tenant="acme")
    await becomes(http, CHAMPION)
    answers: list[tuple[int, str, str]] = []
    done = asyncio.Event()

    async def go_on_asking() -> None:
        while not done.is_set():
            answers.append(await ask(http))

    async def until(model: str) -> None:
        seen = len(answers)
        for _ in range(500):
            await asyncio.sleep(0.02)
            if any(by.startswith(model) for _, by, _ in answers[seen:]):
                return
        raise AssertionError(f"{model} never answered")

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(go_on_asking())
        for number in range(3):
            here, there = ("old", f"new{number}") if number == 0 else (f"new{number - 1}", f"new{number}")
            engine.models.append(card(there))
            fake.say(route(0.5, candidate=there, champion=here, salt=f"s{number}"))
            fake.say(route(0, candidate="", champion=there))
            await until(there)
            fake.say(route(0, candidate="", champion=here))
            await until(here)
            fake.say(route(0, candidate="", champion=there))
            await until(there)
        done.set()
    await fake.stop()
    assert {status for status, _, _ in answers} == {200}
    assert {by for _, by, _ in answers} == {"old@v1", "new0@v1", "new1@v1", "new2@v1"}
