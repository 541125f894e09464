"""A release over REST before a real eval service: measured, approved, answered by, traced, and taken back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from parts.evaluation import EvalProcess
from parts.fake_engine import card
from parts.library import saying

POLICY = """
minimum_items: 20
rules: [{name: better, criterion: passed, require: better}]
approvals: {people: 1, role: admin}
"""
CRITERION = {
    "type": "string_check",
    "name": "said",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
    "operation": "eq",
}
ROWS = [{"item": {"question": f"question {number}", "answer": "good"}} for number in range(30)]


@pytest.fixture
async def http(house: Any) -> AsyncIterator[httpx.AsyncClient]:
    engine = await house.engine("local", card("old"), card("new"))
    engine.behaviours["old"], engine.behaviours["new"] = saying("bad"), saying("good")
    house.write_config("")
    (house.home / "policies").mkdir()
    (house.home / "policies" / "person.yaml").write_text(POLICY)
    service = EvalProcess(house.home, house.service_key, house.engines["local"].port)
    await asyncio.to_thread(service.start)
    await house.start(eval_service=f"127.0.0.1:{service.port}")
    yield house.http(role="admin")
    await asyncio.to_thread(service.kill)  # the gateway still listens to its routes


async def once(ask: Callable[[], Awaitable[httpx.Response]], good: Callable[[Any], bool]) -> Any:
    """What is answered, once it is as it should be."""
    for _ in range(300):
        answer = await ask()
        if answer.status_code == 200 and good(answer.json()):
            return answer.json()
        await asyncio.sleep(0.2)
    pytest.fail(f"it did not happen: {answer.text}")


async def measured(http: httpx.AsyncClient, eval_id: str, model: str) -> str:
    source = {
        "type": "completions",
        "model": model,
        "source": {"type": "file_content", "content": ROWS},
        "input_messages": {
            "type": "template",
            "template": [{"role": "user", "content": "{{item.question}}"}],
        },
    }
    run = await http.post(f"/v1/evals/{eval_id}/runs", json={"data_source": source})
    assert run.status_code in (200, 201), run.text
    path = f"/v1/evals/{eval_id}/runs/{run.json()['id']}"
    await once(lambda: http.get(path), lambda told: told["status"] == "completed")
    return str(run.json()["id"])


async def answered_by(http: httpx.AsyncClient, model: str) -> str:
    """The request of an answer to the released name, once this model gives it."""
    body = {"model": "support", "messages": [{"role": "user", "content": "hi"}]}
    for _ in range(200):
        answer = await http.post("/v1/chat/completions", json=body)
        if answer.headers.get("x-sixfold-model") == f"{model}@v1":
            return answer.headers["x-request-id"]
        await asyncio.sleep(0.05)
    pytest.fail("the name does not lead there")


async def test_an_answer_is_traced_to_its_release_and_every_step_is_audited(
    house: Any, http: httpx.AsyncClient
) -> None:
    schema = {"type": "object", "properties": {"answer": {"type": "string"}}}
    made = await http.post(
        "/v1/evals",
        json={
            "data_source_config": {"type": "custom", "item_schema": schema, "include_sample_schema": True},
            "testing_criteria": [CRITERION],
        },
    )
    eval_id = made.json()["id"]
    runs = [await measured(http, eval_id, model) for model in ("old", "new")]
    asked = {"alias": "support", "candidate": "new", "run_ids": runs, "policy": "person"}
    release_id = (await http.post("/v1/releases", json=asked)).json()["id"]
    path = f"/v1/releases/{release_id}"
    await once(lambda: http.get(path), lambda told: told["status"] == "awaiting_approval")
    grace = house.http(role="admin", sub="grace")
    approved = await grace.post(f"{path}/approve", json={"comment": "It is good."})
    assert approved.json()["status"] == "promoted", approved.text

    request_id = await answered_by(http, "new")
    told = (await http.get(f"/v1/requests/{request_id}/lineage")).json()
    assert (told["request"]["release_id"], told["model"]["name"]) == (release_id, "new")
    assert (told["release"]["id"], told["release"]["status"]) == (release_id, "promoted")
    assert told["release"]["verdicts"][0]["passed"]
    assert [word["subject"] for word in told["release"]["approvals"]] == ["grace"]
    assert [(run["run_id"], run["eval_id"], run["model"]) for run in told["evaluations"]] == [
        (runs[0], eval_id, "old"),
        (runs[1], eval_id, "new"),
    ]
    assert (await http.get(told["evaluations"][1]["report"])).status_code == 200
    assert (told["training"], told["warnings"]) == (None, [])

    back = await http.post("/v1/releases/rollback", json={"alias": "support", "reason": "It is rude."})
    assert back.json()["status"] == "rolled_back"
    old = (await http.get(f"/v1/requests/{await answered_by(http, 'old')}/lineage")).json()
    assert (old["model"]["name"], old["release"], old["warnings"]) == ("old", None, [])
    again = (await http.get(f"/v1/requests/{request_id}/lineage")).json()
    assert again["release"]["status"] == "rolled_back"  # as it stands

    lines = (await http.get("/v1/audit", params={"order": "asc", "release_id": release_id})).json()["data"]
    assert [(line["action"], line["subject"], line["role"]) for line in lines] == [
        ("release.created", "default-user", "admin"),
        ("gate.passed", None, None),
        ("approved", "grace", "admin"),
        ("promoted", None, None),
        ("rolled_back", "default-user", "admin"),
    ]
    assert lines[2]["details"]["comment"] == "It is good."
    assert "It is rude." in lines[4]["reason"]
    assert {line["tenant"] for line in lines} == {"default"}
    stranger = house.http(tenant="umbrella", role="admin")
    assert (await stranger.get("/v1/audit")).json()["data"] == []
    assert (await stranger.get(f"/v1/requests/{request_id}/lineage")).status_code == 404
