"""Releases over REST: asked for, approved by people, taken back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from parts.fake_engine import FakeEngine
from parts.fake_evaluation import FakeEvaluation, evaluation_server
from parts.fake_training import JobsServer

from sixfold.eval.v1 import evaluation_pb2

RELEASES = "/v1/releases"
RUNS = [f"evalrun_{'a' * 24}", f"evalrun_{'b' * 24}"]
BODY: dict[str, Any] = {"alias": "support", "candidate": "ft:tiny:default::abc123", "run_ids": RUNS}
NO_RELEASE = f"rel_{'0' * 24}"


@pytest.fixture
async def evaluation(house: Any) -> FakeEvaluation:
    fake = FakeEvaluation()  # type: ignore[abstract]  # batches and routes are not asked for here
    for run_id in RUNS:
        fake.runs["default", run_id] = evaluation_pb2.Run(id=run_id)
    return fake


@pytest.fixture
async def server(house: Any, evaluation: FakeEvaluation) -> AsyncIterator[JobsServer]:
    server = evaluation_server(evaluation, house.service_key)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def ready(house: Any, engine: FakeEngine, server: JobsServer) -> Any:
    house.write_config("")
    await house.start(eval_service=f"127.0.0.1:{server.port}", jobs_seconds=5)
    return house


@pytest.fixture
def admin(ready: Any) -> httpx.AsyncClient:
    client: httpx.AsyncClient = ready.http(role="admin")
    return client


async def test_a_release_from_question_to_rollback(
    ready: Any, admin: httpx.AsyncClient, evaluation: FakeEvaluation
) -> None:
    answer = await admin.post(RELEASES, json=BODY | {"policy": "strict"})
    assert answer.status_code == 201
    release = answer.json()
    assert (release["object"], release["alias"], release["champion"]) == ("release", "support", "tiny")
    assert (release["status"], release["policy"], release["run_ids"]) == ("awaiting_approval", "strict", RUNS)
    assert [(each["rule"], each["passed"]) for each in release["verdicts"]] == [
        ("better", True),
        ("size", True),
    ]
    assert release["verdicts"][0]["comparison"]["difference"] == 0.4
    assert release["verdicts"][1]["comparison"] is None
    assert (release["canary"], release["approvals"]) == (None, [])
    assert release["subject"] == "default-user"  # as the token says

    path = f"{RELEASES}/{release['id']}"
    for _ in range(2):
        once = await admin.post(f"{path}/approve", json={"approved": True, "comment": "good"})
        assert [each["subject"] for each in once.json()["approvals"]] == ["default-user"]
        assert once.json()["status"] == "awaiting_approval"
    second = ready.http(role="admin", sub="grace")
    approved = (await second.post(f"{path}/approve", json={})).json()
    assert [(each["subject"], each["role"]) for each in approved["approvals"]] == [
        ("default-user", "admin"),
        ("grace", "admin"),
    ]
    assert (approved["status"], approved["share"], approved["canary"]["metric"]) == (
        "canary",
        0.25,
        "feedback",
    )
    assert (await admin.get(path)).json() == approved
    back = (await admin.post(f"{RELEASES}/rollback", json={"alias": "support", "reason": "slow"})).json()
    assert (back["id"], back["status"], back["reason"]) == (release["id"], "rolled_back", "slow")


async def test_releases_come_in_pages_and_by_alias(admin: httpx.AsyncClient) -> None:
    made = [
        (await admin.post(RELEASES, json=BODY | {"alias": alias})).json()["id"] for alias in ("a", "b", "a")
    ]
    page = (await admin.get(RELEASES, params={"limit": 2})).json()
    assert ([each["id"] for each in page["data"]], page["has_more"]) == ([made[2], made[1]], True)
    rest = (await admin.get(RELEASES, params={"after": page["last_id"]})).json()
    assert ([each["id"] for each in rest["data"]], rest["has_more"]) == ([made[0]], False)
    only = (await admin.get(RELEASES, params={"alias": "a"})).json()
    assert [each["id"] for each in only["data"]] == [made[2], made[0]]


async def test_who_may_not_release_and_what_is_not_there(
    ready: Any, admin: httpx.AsyncClient, evaluation: FakeEvaluation
) -> None:
    release = (await admin.post(RELEASES, json=BODY)).json()
    path = f"{RELEASES}/{release['id']}"
    member = ready.http()
    assert (await member.get(path)).status_code == 200
    for place, body, scope in (
        (RELEASES, BODY, "releases:write"),
        (f"{path}/approve", {}, "releases:approve"),
        (f"{RELEASES}/rollback", {"alias": "support"}, "releases:write"),
    ):
        refused = await member.post(place, json=body)
        assert refused.status_code == 403
        assert scope in refused.json()["error"]["message"]
    other = ready.http(tenant="umbrella", role="admin")
    assert (await other.get(path)).status_code == 404
    assert (await other.post(f"{path}/approve", json={})).status_code == 404
    assert (await other.post(RELEASES, json=BODY)).status_code == 404
    assert (await other.post(f"{RELEASES}/rollback", json={"alias": "support"})).status_code == 404
    assert (await other.get(RELEASES)).json()["data"] == []
    assert evaluation.releases["default", release["id"]].status != 5
    assert (await admin.get(f"{RELEASES}/{NO_RELEASE}")).status_code == 404
    for body, param in (
        (BODY | {"run_ids": RUNS[:1]}, "run_ids"),
        (BODY | {"subject": "somebody else"}, "subject"),
        ({"alias": "support", "run_ids": RUNS}, "candidate"),
    ):
        bad = await admin.post(RELEASES, json=body)
        assert (bad.status_code, bad.json()["error"]["param"]) == (400, param)


async def test_a_release_that_is_sent_again_is_one_release(
    admin: httpx.AsyncClient, evaluation: FakeEvaluation
) -> None:
    first = (await admin.post(RELEASES, json=BODY)).json()
    again = await admin.post(RELEASES, json=BODY, headers={"x-stainless-retry-count": "1"})
    assert again.json()["id"] == first["id"]
    assert len(evaluation.releases) == 1
