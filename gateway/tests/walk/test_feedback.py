"""Feedback as callers give it, and as it leaves for those who learn from it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parts.fake_engine import FakeEngine

from servicekit.bus import Event, open_bus
from servicekit.bus.topics import FEEDBACK
from sixfold.events.v1 import request_pb2

UP = {"request_id": "req_1", "kind": "thumbs", "value": 1}


@pytest.fixture
async def heard(ready: Any) -> AsyncIterator[list[Event]]:
    """Every feedback.given that comes to the bus."""
    found: list[Event] = []

    async def take(event: Event) -> None:
        found.append(event)

    bus = open_bus(f"sqlite:///{(ready.home / 'bus.db').resolve()}?poll_ms=20")
    subscription = bus.subscribe([FEEDBACK], "test", take)
    yield found
    await subscription.close()
    await bus.close()


def told(event: Event) -> request_pb2.FeedbackGiven:
    return request_pb2.FeedbackGiven.FromString(event.data)


@pytest.mark.parametrize(
    "body",
    [
        UP,
        {"request_id": "req_1", "kind": "thumbs", "value": -1, "comment": "no, zürich: not “Basel”"},
        {"request_id": "mine:7.a", "kind": "score", "value": 0.25},
        {"request_id": "req_1", "kind": "correction", "correction": "card_arrival", "comment": "wrong_label"},
        {"request_id": "req_1", "kind": "flag", "comment": "unsafe"},
    ],
)
async def test_each_kind_is_kept_shown_and_told_on(
    ready: Any, http: httpx.AsyncClient, heard: list[Event], wait_until: Any, body: dict[str, Any]
) -> None:
    answer = await http.post("/v1/feedback", json=body)
    assert answer.status_code == 201, answer.text
    kept = answer.json()
    assert {name: kept[name] for name in body} == body
    assert (kept["object"], kept["created_by"]) == ("feedback", "default-user")
    assert (await http.get(f"/v1/feedback/{kept['id']}")).json() == kept
    assert (await http.get("/v1/feedback")).json()["data"] == [kept]
    await wait_until(lambda: heard)
    (event,) = heard
    assert (event.type, event.subject, event.tenant) == ("feedback.given", body["request_id"], "default")
    message = told(event)
    assert (message.feedback_id, message.subject) == (kept["id"], "default-user")
    for name, value in body.items():
        assert getattr(message, name) == value


async def test_a_streams_request_id_is_one_too(
    client: openai.AsyncOpenAI, http: httpx.AsyncClient, engine: FakeEngine
) -> None:
    messages: Any = [{"role": "user", "content": "hi"}]
    raw = await client.chat.completions.with_raw_response.create(
        model="default", messages=messages, stream=True
    )
    async for _ in raw.parse():
        pass
    request_id = raw.headers["x-request-id"]
    given_to = await http.post("/v1/feedback", json={**UP, "request_id": request_id})
    assert given_to.status_code == 201
    found = (await http.get("/v1/feedback", params={"request_id": request_id})).json()["data"]
    assert [feedback["id"] for feedback in found] == [given_to.json()["id"]]
    assert (await http.get("/v1/feedback", params={"request_id": "req_other"})).json()["data"] == []


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"kind": "stars"}, "kind"),
        ({"request_id": ""}, "request_id"),
        ({"request_id": "a b"}, "request_id"),
        ({"request_id": "x" * 65}, "request_id"),
        ({"request_id": "req_1\n"}, "request_id"),
        ({"value": None}, "value"),
        ({"value": 0}, "value"),
        ({"value": "1"}, "value"),
        ({"value": True}, "value"),
        ({"kind": "score", "value": 1.01}, "value"),
        ({"kind": "score", "value": -0.01}, "value"),
        ({"kind": "flag"}, "value"),
        ({"kind": "correction", "value": None}, "correction"),
        ({"kind": "correction", "value": None, "correction": " "}, "correction"),
        ({"correction": "no such place here"}, "correction"),
        ({"comment": "x" * 4001}, "comment"),
        ({"comment": "a\0b"}, "comment"),
        ({"comment": "\ud800"}, "comment"),
        ({"kind": "correction", "value": None, "correction": "x" * 100_001}, "correction"),
        ({"tenant": "globex"}, "tenant"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_its_field(
    http: httpx.AsyncClient, change: dict[str, Any], param: str
) -> None:
    text = json.dumps({**UP, **change})
    refused = await http.post("/v1/feedback", content=text, headers={"content-type": "application/json"})
    assert refused.status_code == 400, refused.text
    assert refused.json()["error"]["param"] == param
    assert (await http.get("/v1/feedback")).json()["data"] == []


async def test_an_idempotency_key_keeps_and_tells_it_once(
    http: httpx.AsyncClient, heard: list[Event], wait_until: Any, ready: Any
) -> None:
    key = {"idempotency-key": "click-1"}
    answers = await asyncio.gather(*(http.post("/v1/feedback", json=UP, headers=key) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum(answer.headers.get("idempotent-replayed") != "true" for answer in answers) == 1
    other = await http.post("/v1/feedback", json={**UP, "value": -1}, headers=key)
    assert (other.status_code, other.json()["error"]["code"]) == (409, "already_exists")
    stranger = ready.http(tenant="globex")
    assert (await stranger.post("/v1/feedback", json=UP, headers=key)).status_code == 201
    await wait_until(lambda: len(heard) == 2)
    assert {event.tenant for event in heard} == {"default", "globex"}


async def test_tenants_see_their_own_alone(ready: Any, http: httpx.AsyncClient) -> None:
    mine = (await http.post("/v1/feedback", json=UP)).json()["id"]
    stranger = ready.http(tenant="globex")
    theirs = (await stranger.post("/v1/feedback", json=UP)).json()["id"]
    assert [entry["id"] for entry in (await http.get("/v1/feedback")).json()["data"]] == [mine]
    assert (await stranger.get(f"/v1/feedback/{mine}")).status_code == 404
    assert (await stranger.get("/v1/feedback", params={"after": mine})).json()["data"] == []
    by_request = await stranger.get("/v1/feedback", params={"request_id": "req_1"})
    assert [entry["id"] for entry in by_request.json()["data"]] == [theirs]


async def test_roles(ready: Any) -> None:
    viewer = ready.http(role="viewer")
    assert (await viewer.post("/v1/feedback", json=UP)).status_code == 403
    assert (await viewer.get("/v1/feedback")).status_code == 200
    async with httpx.AsyncClient(base_url=ready.base) as nobody:
        assert (await nobody.post("/v1/feedback", json=UP)).status_code == 401


async def test_pages(http: httpx.AsyncClient) -> None:
    ids = [(await http.post("/v1/feedback", json=UP)).json()["id"] for _ in range(5)]
    seen: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = (await http.get("/v1/feedback", params={"limit": "2", "order": "asc", **after})).json()
        seen += [entry["id"] for entry in page["data"]]
        assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
        if not page["has_more"]:
            break
        after = {"after": page["last_id"]}
    assert seen == ids
    newest = (await http.get("/v1/feedback", params={"limit": "3"})).json()
    assert [entry["id"] for entry in newest["data"]] == ids[:1:-1]


_VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=9)
    | st.lists(st.none())
)
_BODIES = st.dictionaries(
    st.sampled_from([*UP, "correction", "comment"]) | st.text(max_size=4),
    _VALUES | st.sampled_from(["thumbs", "score", "correction", "flag", 1, -1, 0.5]),
    max_size=6,
)


async def test_whatever_comes_is_kept_or_refused(http: httpx.AsyncClient) -> None:
    loop = asyncio.get_running_loop()
    bodies: list[Any] = []

    @settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(_BODIES)
    def gather(body: Any) -> None:
        bodies.append({**UP, **body} if len(bodies) % 2 else body)

    await loop.run_in_executor(None, gather)
    for body in bodies:
        with contextlib.suppress(ValueError):  # numbers that JSON has no word for
            answer = await http.post("/v1/feedback", json=body)
            assert answer.status_code in (201, 400), (body, answer.text)
