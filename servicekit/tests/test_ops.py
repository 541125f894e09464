"""The little HTTP server beside a gRPC service."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from servicekit.lifecycle import Lifecycle
from servicekit.metrics import RPC_DURATION
from servicekit.ops import OpsServer


async def test_probes_and_metrics() -> None:
    life = Lifecycle("bakery")

    async def broken() -> None:
        raise ConnectionError("postgres://user:secret@db")

    ops = OpsServer("127.0.0.1", 0, life)
    port = await ops.start()
    assert port == ops.port != 0
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=5, trust_env=False) as client:
        assert (await client.get("/healthz")).status_code == 200
        starting = await client.get("/readyz")
        assert starting.status_code == 503
        assert starting.json() == {"ready": False, "state": "starting", "checks": {}}
        life.started()
        await asyncio.sleep(0.6)  # longer than an answer is given again
        assert (await client.get("/readyz")).status_code == 200
        life.depend("store", broken)
        await asyncio.sleep(0.6)
        ill = await client.get("/readyz")
        assert ill.status_code == 503
        assert json.loads(ill.text)["checks"] == {"store": "unavailable"}
        RPC_DURATION.labels("/bakery/Bake", "OK").observe(0.1)
        page = await client.get("/metrics")
        assert page.headers["content-type"].startswith("text/plain")
        assert 'sixfold_rpc_server_duration_seconds_count{code="OK",method="/bakery/Bake"} 1.0' in page.text
        assert (await client.get("/nothing")).status_code == 404
        assert (await client.post("/metrics")).status_code == 405
        head = await client.head("/healthz")
        assert (head.status_code, head.text) == (200, "")
        with pytest.raises(SystemExit, match=f"127.0.0.1:{port}"):
            await OpsServer("127.0.0.1", port, life).start()
    await ops.stop()
    await ops.stop()
    with pytest.raises(httpx.ConnectError):
        await httpx.AsyncClient(trust_env=False).get(f"http://127.0.0.1:{port}/healthz")
