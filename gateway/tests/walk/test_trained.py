"""A model that was trained for one tenant, as that tenant and another meet it over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from parts.fake_engine import card

NAME = "ft:tiny:acme:mine:abc123"
ASK = {"model": NAME, "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
async def ours(house: Any) -> AsyncIterator[Any]:
    mine = card(NAME)
    mine.owner, mine.base = "acme", "tiny"
    await house.engine("one", card("tiny"), mine)
    house.write_config("")
    await house.start()
    return house


async def test_its_owner_lists_and_uses_it(ours: Any) -> None:
    http = ours.http(tenant="acme")
    listed = {model["id"]: model for model in (await http.get("/v1/models")).json()["data"]}
    assert (listed[NAME]["owned_by"], listed[NAME]["base"]) == ("acme", "tiny")
    assert (await http.get(f"/v1/models/{NAME}")).status_code == 200
    answer = await http.post("/v1/chat/completions", json=ASK)
    assert answer.status_code == 200
    assert answer.headers["x-sixfold-model"] == f"{NAME}@v1"


async def test_for_another_tenant_it_does_not_exist(ours: Any) -> None:
    owner, http = ours.http(tenant="acme"), ours.http(tenant="globex")
    assert (await owner.post("/v1/chat/completions", json=ASK)).status_code == 200
    assert NAME not in (await http.get("/v1/models")).text
    gone, never = [await http.get(f"/v1/models/{name}") for name in (NAME, "ft:tiny:acme:mine:ffffff")]
    assert gone.status_code == never.status_code == 404
    assert gone.text.replace(NAME, "") == never.text.replace("ft:tiny:acme:mine:ffffff", "")
    for path, body in (
        ("/v1/chat/completions", ASK),
        ("/v1/chat/completions", {**ASK, "stream": True}),
        ("/v1/completions", {"model": NAME, "prompt": "hi"}),
        ("/v1/responses", {"model": NAME, "input": "hi"}),
        ("/v1/embeddings", {"model": NAME, "input": "hi"}),
    ):
        refused = await http.post(path, json=body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found"), path


async def test_its_tenant_alone_deletes_it(ours: Any) -> None:
    admin = ours.openai(tenant="acme", role="admin")
    with pytest.raises(openai.NotFoundError):
        await ours.openai(tenant="globex", role="admin").models.delete(NAME)
    with pytest.raises(openai.PermissionDeniedError):
        await ours.openai(tenant="acme", role="member").models.delete(NAME)
    with pytest.raises(openai.PermissionDeniedError):
        await admin.models.delete("tiny")  # everybody's
    assert (await ours.http(tenant="acme").post("/v1/chat/completions", json=ASK)).status_code == 200
    key = {"idempotency-key": "once"}
    for _ in range(2):  # the same change, told twice
        gone = await admin.models.delete(NAME, extra_headers=key)
        assert (gone.id, gone.object, gone.deleted) == (NAME, "model", True)
    assert (await ours.http(tenant="acme").post("/v1/chat/completions", json=ASK)).status_code == 404
    with pytest.raises(openai.NotFoundError):
        await admin.models.delete(NAME)


async def test_a_model_that_has_just_come_is_there_at_once(house: Any) -> None:
    engine = await house.engine("one", card("tiny"))
    house.write_config("")
    await house.start(catalogue_seconds=60)  # far longer than this test
    owner, other = house.http(tenant="acme"), house.http(tenant="globex")
    assert (await owner.post("/v1/chat/completions", json=ASK)).status_code == 404
    mine = card(NAME)
    mine.owner, mine.base = "acme", "tiny"
    engine.models.append(mine)
    assert (await owner.post("/v1/chat/completions", json=ASK)).status_code == 200
    assert (await other.post("/v1/chat/completions", json=ASK)).status_code == 404
    engine.models.append(card("another"))
    assert (await other.get("/v1/models/another")).status_code == 200
