"""A fine-tuning job with the official client, through the gateway to a real training service and back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from parts.fake_engine import FakeEngine, card
from parts.tiny_base import make_base
from parts.training import TrainingProcess


@pytest.fixture
async def ready(house: Any, engine: FakeEngine, tmp_path: Path) -> AsyncIterator[Any]:
    house.write_config("")
    base = await asyncio.to_thread(make_base, tmp_path / "base")
    service = TrainingProcess(house.home, house.service_key, base)
    await asyncio.to_thread(service.process.start)
    await house.start(training_service=f"127.0.0.1:{service.port}")
    yield house
    await asyncio.to_thread(service.process.kill)


async def test_a_job_is_done_and_told(client: openai.AsyncOpenAI, ready: Any, engine: FakeEngine) -> None:
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"say {n}"},
                {"role": "assistant", "content": f"number {n}"},
            ]
        }
        for n in range(24)
    ]
    content = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    file = await client.files.create(file=("rows.jsonl", content), purpose="fine-tune")
    job = await client.fine_tuning.jobs.create(
        model="tiny",
        training_file=file.id,
        suffix="numbers",
        seed=7,
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 1}}},
    )
    assert (job.status, job.training_file, job.seed) == ("queued", file.id, 7)
    async with asyncio.timeout(100):
        while job.status not in ("succeeded", "failed", "cancelled"):
            await asyncio.sleep(0.3)
            job = await client.fine_tuning.jobs.retrieve(job.id)
    assert job.status == "succeeded", job
    assert job.fine_tuned_model is not None
    assert job.fine_tuned_model.startswith("ft:tiny:default:numbers:")
    assert job.trained_tokens
    events = [event async for event in client.fine_tuning.jobs.list_events(job.id, limit=5)]
    assert len(events) > 2
    assert {event.level for event in events} <= {"info", "warn"}
    with pytest.raises(openai.NotFoundError):
        await client.fine_tuning.jobs.create(model="nobody", training_file=file.id)
    await _traced(ready, client, engine, job)


async def _traced(ready: Any, client: openai.AsyncOpenAI, engine: FakeEngine, job: Any) -> None:
    """An answer of the model says which job made it, of what."""
    mine = card(job.fine_tuned_model)
    mine.owner, mine.base = "default", "tiny"
    engine.models.append(mine)
    chat = await client.chat.completions.with_raw_response.create(
        model=job.fine_tuned_model, messages=[{"role": "user", "content": "say 3"}]
    )
    answer = await ready.http().get(f"/v1/requests/{chat.headers['x-request-id']}/lineage")
    told = answer.json()
    assert answer.status_code == 200, told
    training = told["training"]
    assert (training["job_id"], training["method"], training["form"]) == (job.id, "supervised", "lora")
    assert (len(training["data_sha256"]), training["dataset_id"]) == (64, None)
    assert training["base"].startswith("tiny@")
    assert training["run_id"]
    assert (told["model"]["base"], told["model"]["owner"]) == ("tiny", "default")
    assert (told["dataset"], told["release"], told["warnings"]) == (None, None, [])
