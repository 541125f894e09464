"""gateway.yaml is reloaded while requests run."""

from __future__ import annotations

import asyncio
from typing import Any

from parts.fake_engine import FakeEngine, card

CHAT = "/v1/chat/completions"
BODY: Any = {"model": "main", "messages": [{"role": "user", "content": "hi"}]}


async def test_routes_limits_and_services_change_live(house: Any, wait_until: Any) -> None:
    first: FakeEngine = await house.engine("local", card("a"), card("b"))
    house.write_config("routes: {main: {targets: [a]}}\n")
    await house.start(catalogue_seconds=0.1)
    http = house.http()
    router = house.gateway.app._hot[CHAT][1]._deps.router
    assert (await http.post(CHAT, json=BODY)).headers["x-sixfold-model"] == "a@v1"

    house.write_config("routes: {main: {targets: [b]}}\n")
    await wait_until(lambda: router.config.routes["main"].targets[0].model == "b")
    assert (await http.post(CHAT, json=BODY)).headers["x-sixfold-model"] == "b@v1"

    second: FakeEngine = await house.engine("more", card("c"))
    house.write_config("routes: {main: {targets: [{model: c, service: more}]}}\n")
    await wait_until(lambda: router.catalogue.find("c", "acme"))
    assert (await http.post(CHAT, json=BODY)).headers["x-sixfold-model"] == "c@v1"
    assert (len(first.requests), len(second.requests)) == (2, 1)
    assert {m["id"] for m in (await http.get("/v1/models")).json()["data"]} == {"a", "b", "c", "main"}


async def test_a_broken_file_changes_nothing_and_shows(house: Any, wait_until: Any) -> None:
    await house.engine("local", card("a"))
    house.write_config("routes: {main: {targets: [a]}}\n")
    await house.start()
    http = house.http()
    (house.home / "gateway.yaml").write_text("routes: [\n")

    async def stale() -> str:
        page = (await http.get("/metrics")).text
        return next(line for line in page.splitlines() if line.startswith("sixfold_gateway_config_stale"))

    for _ in range(100):
        if (await stale()).endswith(" 1.0"):
            break
        await asyncio.sleep(0.05)
    assert (await stale()).endswith(" 1.0")
    assert (await http.post(CHAT, json=BODY)).status_code == 200
    assert (await http.get("/readyz")).json()["checks"]["config"] == "stale"
    assert (await http.get("/readyz")).status_code == 200
