"""The audit over REST: an administrator's, and of his own tenant alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from parts.fake_engine import FakeEngine
from parts.fake_evaluation import evaluation_server
from parts.fake_lineage import Judging
from parts.fake_training import JobsServer

from sixfold.eval.v1 import eval_service_pb2, release_pb2

AUDIT = "/v1/audit"


@pytest.fixture
async def judging(house: Any, engine: FakeEngine) -> AsyncIterator[Judging]:
    fake = Judging()
    server: JobsServer = evaluation_server(fake, house.service_key)
    await server.start()
    house.write_config("")
    await house.start(eval_service=f"127.0.0.1:{server.port}", jobs_seconds=5)
    yield fake
    await server.stop()


@pytest.fixture
def admin(house: Any, judging: Judging) -> httpx.AsyncClient:
    client: httpx.AsyncClient = house.http(role="admin")
    return client


def release(judging: Judging, tenant: str, digit: str, alias: str) -> str:
    made = release_pb2.Release(id=f"rel_{digit * 24}", alias=alias, candidate="new")
    judging.note(tenant, made, "release.created", subject="ada", role="admin", at=100.5, reason="Asked for.")
    judging.note(tenant, made, "gate.passed", at=101, details_json=b'{"verdicts": [{"rule": "better"}]}')
    judging.note(tenant, made, "promoted", at=102)
    return made.id


async def test_lines_say_who_did_what_and_why(admin: httpx.AsyncClient, judging: Judging) -> None:
    first = release(judging, "default", "1", "support")
    release(judging, "default", "2", "sales")
    release(judging, "umbrella", "3", "support")
    page = (await admin.get(AUDIT)).json()
    assert (page["object"], len(page["data"]), page["has_more"]) == ("list", 6, False)
    created = page["data"][-1]
    assert created == {
        "id": f"{first}-1-1",
        "object": "audit.entry",
        "at": 100,
        "tenant": "default",
        "subject": "ada",
        "role": "admin",
        "action": "release.created",
        "release_id": first,
        "alias": "support",
        "candidate": "new",
        "reason": "Asked for.",
        "details": {},
    }
    passed = page["data"][-2]
    assert (passed["subject"], passed["role"]) == (None, None)
    assert passed["details"] == {"verdicts": [{"rule": "better"}]}
    for params, count in (
        ({"alias": "support"}, 3),
        ({"release_id": first}, 3),
        ({"action": "promoted"}, 2),
        ({"action": "promoted", "alias": "sales"}, 1),
        ({"release_id": "../x"}, 0),
    ):
        assert len((await admin.get(AUDIT, params=params)).json()["data"]) == count, params


async def test_lines_come_in_pages_in_either_order(admin: httpx.AsyncClient, judging: Judging) -> None:
    for digit in "12":
        release(judging, "default", digit, "support")
    for order in ("asc", "desc"):
        seen: list[str] = []
        more = True
        while more:
            params: dict[str, Any] = {"limit": 4, "order": order} | ({"after": seen[-1]} if seen else {})
            page = (await admin.get(AUDIT, params=params)).json()
            assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
            seen += [line["id"] for line in page["data"]]
            more = page["has_more"]
        assert len(set(seen)) == 6
        assert seen == sorted(seen, key=lambda id: int(id.split("-")[1]), reverse=order == "desc")


async def test_who_may_not_read_it_and_what_makes_no_sense(
    house: Any, admin: httpx.AsyncClient, judging: Judging
) -> None:
    release(judging, "default", "1", "support")
    for role in ("viewer", "member"):
        refused = await house.http(role=role).get(AUDIT)
        assert (refused.status_code, "audit:read" in refused.text) == (403, True)
    asked = len(judging.requests)
    theirs = house.http(tenant="umbrella", role="admin")
    assert (await theirs.get(AUDIT, headers={"x-tenant": "default"})).json()["data"] == []
    assert [caller.tenant for caller in judging.callers[asked:]] == ["umbrella"]
    for params in ({"action": "stolen"}, {"limit": "0"}, {"limit": "101"}, {"order": "up"}, {"after": "x"}):
        assert (await admin.get(AUDIT, params=params)).status_code == 400, params
    assert (await admin.get(AUDIT, params={"after": f"rel_{'9' * 24}-1-1"})).status_code == 404


async def test_asking_and_taking_back_say_in_which_role(admin: httpx.AsyncClient, judging: Judging) -> None:
    release_id = release(judging, "default", "1", "support")
    judging.releases["default", release_id] = release_pb2.Release(id=release_id, alias="support")
    assert (await admin.post("/v1/releases/rollback", json={"alias": "support"})).status_code == 200
    asked = judging.requests[-1]
    assert isinstance(asked, eval_service_pb2.RollBackRequest)
    assert (asked.subject, asked.role) == ("default-user", "admin")


async def test_without_an_eval_service_there_is_nothing_to_audit(ready: Any) -> None:
    answer = await ready.http(role="admin").get(AUDIT)
    assert answer.status_code == 503
