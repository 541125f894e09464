"""Fine-tuning with the official client: ordered, watched, steered, refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
from parts.fake_engine import FakeEngine
from parts.fake_training import FakeTraining, JobsServer, training_server

from servicekit.objects import open_objects

JOBS = "/v1/fine_tuning/jobs"
ESTIMATES = "/v1/fine_tuning/estimates"
NO_JOB, NO_FILE = f"ftjob-{'0' * 24}", f"file-{'0' * 24}"
ROWS = b'{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}\n'


@pytest.fixture
def training() -> FakeTraining:
    return FakeTraining("smol")  # type: ignore[abstract]  # data sets are not asked for here


@pytest.fixture
async def server(house: Any, training: FakeTraining) -> AsyncIterator[JobsServer]:
    server = training_server(training, house.service_key)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def ready(house: Any, engine: FakeEngine, server: JobsServer) -> Any:
    house.write_config("")
    await house.start(training_service=f"127.0.0.1:{server.port}", jobs_seconds=5)
    return house


async def upload(client: openai.AsyncOpenAI) -> str:
    return (await client.files.create(file=("rows.jsonl", ROWS), purpose="fine-tune")).id


async def test_a_job_from_order_to_model(client: openai.AsyncOpenAI, training: FakeTraining) -> None:
    file = await upload(client)
    job = await client.fine_tuning.jobs.create(
        model="smol",
        training_file=file,
        validation_file=file,
        suffix="support",
        seed=42,
        method={
            "type": "supervised",
            "supervised": {"hyperparameters": {"n_epochs": 3, "batch_size": "auto"}},
        },
        metadata={"team": "help"},
    )
    assert (job.object, job.status, job.model, job.seed) == ("fine_tuning.job", "queued", "smol", 42)
    assert (job.training_file, job.validation_file) == (file, file)
    assert (job.fine_tuned_model, job.finished_at, job.error, job.trained_tokens) == (None,) * 4
    assert (job.hyperparameters.n_epochs, job.hyperparameters.batch_size) == (3, "auto")
    assert job.metadata == {"team": "help"}
    assert job.organization_id == "default"
    sent = training.requests[-1].spec
    stored = await client.files.retrieve(file)
    assert (sent.training.file.id, sent.training.file.bytes) == (file, stored.bytes)
    assert sent.training.file.object_key.startswith("default/")
    assert (sent.method, sent.epochs, sent.batch_size, sent.seed) == ("supervised", 3, 0, 42)
    assert (training.callers[-1].tenant, training.callers[-1].subject) == ("default", "default-user")

    training.begin(job.id)
    running = await client.fine_tuning.jobs.retrieve(job.id)
    assert running.status == "running"
    assert running.estimated_finish is not None
    state: Any = (running.model_extra or {})["sixfold"]
    assert (state["progress"], state["metrics"], state["attempt"]) == (0.25, {"loss": 2.5}, 1)

    training.finish(job.id, trained_tokens=1200)
    done = await client.fine_tuning.jobs.retrieve(job.id)
    assert (done.status, done.trained_tokens) == ("succeeded", 1200)
    assert done.fine_tuned_model == "ft:smol:default:support:abc123"
    assert done.finished_at is not None


async def test_a_jobs_losses_become_one_file_of_the_tenants(
    ready: Any, client: openai.AsyncOpenAI, training: FakeTraining
) -> None:
    job = await client.fine_tuning.jobs.create(model="smol", training_file=await upload(client))
    table = b"step,train_loss,valid_loss\n1,2.5,\n2,1.25,1.5\n"

    async def chunks() -> AsyncIterator[bytes]:
        yield table

    objects = open_objects(f"file://{ready.home / 'objects'}")
    kept = await objects.put(f"default/{job.id}/results", chunks(), limit=1000)
    await objects.close()
    assert job.result_files == []
    training.finish(job.id, results={"object_key": kept.key, "bytes": kept.bytes})
    seen = await asyncio.gather(*(client.fine_tuning.jobs.retrieve(job.id) for _ in range(3)))
    (results,) = {tuple(each.result_files) for each in seen}
    assert len(results) == 1
    assert (await client.files.content(results[0])).content == table
    file = await client.files.retrieve(results[0])
    assert (file.filename, file.purpose) == ("step_metrics.csv", "fine-tune-results")
    listed = [each async for each in client.fine_tuning.jobs.list()]
    assert listed[0].result_files == list(results)
    with pytest.raises(openai.NotFoundError):
        await ready.openai(tenant="umbrella").files.content(results[0])
    # a service that is wrong about whose object it is opens nothing, and the job is shown all the same
    wrong = await client.fine_tuning.jobs.create(model="smol", training_file=await upload(client))
    training.finish(wrong.id, results={"object_key": f"umbrella/x/{'a' * 64}", "bytes": 3})
    told = await client.fine_tuning.jobs.retrieve(wrong.id)
    assert (told.status, told.result_files) == ("succeeded", [])


async def test_preferences_older_numbers_and_a_data_set(
    client: openai.AsyncOpenAI, http: httpx.AsyncClient, training: FakeTraining
) -> None:
    file = await upload(client)
    job = await client.fine_tuning.jobs.create(
        model="smol",
        training_file=file,
        method={"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.2}}},
    )
    assert training.requests[-1].spec.method == "dpo"
    assert training.requests[-1].spec.beta == pytest.approx(0.2)
    assert job.method is not None
    assert job.method.dpo is not None
    assert job.method.dpo.hyperparameters is not None
    assert job.method.dpo.hyperparameters.beta == pytest.approx(0.2)
    await client.fine_tuning.jobs.create(
        model="smol",
        training_file=file,
        hyperparameters={"n_epochs": 2, "learning_rate_multiplier": 0.5},
    )
    spec = training.requests[-1].spec
    assert (spec.method, spec.epochs, spec.learning_rate_multiplier) == ("supervised", 2, 0.5)
    dataset = f"ds_{'a' * 24}"
    answer = await http.post(JOBS, json={"model": "smol", "training_file": dataset})
    assert answer.json()["training_file"] == dataset
    assert training.requests[-1].spec.training.dataset.dataset_id == dataset


async def test_a_job_is_paused_resumed_and_called_off(
    client: openai.AsyncOpenAI, training: FakeTraining
) -> None:
    file = await upload(client)
    job = await client.fine_tuning.jobs.create(model="smol", training_file=file)
    training.begin(job.id)
    paused = await client.fine_tuning.jobs.pause(job.id)
    assert paused.status == "queued"  # OpenAI's statuses have no other word for it
    assert (paused.model_extra or {})["sixfold"]["status"] == "paused"
    resumed = await client.fine_tuning.jobs.resume(job.id)
    assert (resumed.model_extra or {})["sixfold"]["status"] == "queued"
    cancelled = await client.fine_tuning.jobs.cancel(job.id)
    assert (cancelled.status, cancelled.fine_tuned_model) == ("cancelled", None)
    with pytest.raises(openai.BadRequestError, match="ended"):
        await client.fine_tuning.jobs.pause(job.id)


async def test_jobs_diaries_and_checkpoints_come_in_pages(
    client: openai.AsyncOpenAI, training: FakeTraining
) -> None:
    file = await upload(client)
    made = [
        (await client.fine_tuning.jobs.create(model="smol", training_file=file, metadata={"n": str(n)})).id
        for n in range(5)
    ]
    assert [job.id async for job in client.fine_tuning.jobs.list(limit=2)] == made[::-1]
    assert [job.id async for job in client.fine_tuning.jobs.list(metadata={"n": "3"})] == [made[3]]
    for step in range(1, 6):
        training.note(made[0], f"step {step}", loss=1 / step)
        training.mark(made[0], step, train_loss=1 / step)
    training.note(made[0], "The model is kept")
    events = [event async for event in client.fine_tuning.jobs.list_events(made[0], limit=4)]
    assert [event.message for event in events[:2]] == ["The model is kept", "step 5"]
    assert len(events) == 6
    assert (events[0].type, events[1].type, events[1].data) == ("message", "metrics", {"loss": 0.2})
    places = [each async for each in client.fine_tuning.jobs.checkpoints.list(made[0], limit=2)]
    assert [each.step_number for each in places] == [5, 4, 3, 2, 1]
    assert places[0].metrics.train_loss == 0.2
    assert places[0].fine_tuning_job_id == made[0]


async def test_a_failure_says_why(client: openai.AsyncOpenAI, training: FakeTraining) -> None:
    job = await client.fine_tuning.jobs.create(model="smol", training_file=await upload(client))
    training.fail(job.id, "BAD_ROWS", "Line 3 is no JSON.")
    failed = await client.fine_tuning.jobs.retrieve(job.id)
    assert failed.status == "failed"
    assert failed.error is not None
    assert (failed.error.code, failed.error.message) == ("bad_rows", "Line 3 is no JSON.")


async def test_another_tenants_jobs_and_files_are_not_there(
    ready: Any, client: openai.AsyncOpenAI, training: FakeTraining
) -> None:
    file = await upload(client)
    job = await client.fine_tuning.jobs.create(model="smol", training_file=file)
    other = ready.openai(tenant="umbrella")
    for attempt in (
        other.fine_tuning.jobs.retrieve(job.id),
        other.fine_tuning.jobs.cancel(job.id),
        other.fine_tuning.jobs.pause(job.id),
        other.fine_tuning.jobs.resume(job.id),
    ):
        with pytest.raises(openai.NotFoundError):
            await attempt
    for path in ("events", "checkpoints"):
        assert (await ready.http(tenant="umbrella").get(f"{JOBS}/{job.id}/{path}")).status_code == 404
    asked = len(training.requests)
    with pytest.raises(openai.NotFoundError, match=file):
        await other.fine_tuning.jobs.create(model="smol", training_file=file)
    assert len(training.requests) == asked
    assert [each async for each in other.fine_tuning.jobs.list()] == []


BAD_BODIES: list[tuple[dict[str, Any], int, str | None]] = [
    ({"model": None}, 400, "model"),
    ({"training_file": NO_FILE}, 404, "training_file"),
    ({"training_file": "nonsense"}, 404, "training_file"),
    ({"validation_file": NO_FILE}, 404, "validation_file"),
    ({"model": "gpt-9"}, 404, "model"),
    ({"suffix": "x" * 65}, 400, "suffix"),
    ({"seed": -1}, 400, "seed"),
    ({"hyperparameters": {"n_epochs": 51}}, 400, None),
    ({"hyperparameters": {"batch_size": "big"}}, 400, None),
    ({"method": {"type": "reinforcement"}}, 400, "method.type"),
    ({"method": {"type": "dpo", "supervised": {}}}, 400, "method.supervised"),
    ({"method": {"type": "dpo"}, "hyperparameters": {}}, 400, "hyperparameters"),
    ({"integrations": [{"type": "wandb", "wandb": {"project": "p"}}]}, 400, "integrations"),
    ({"colour": "red"}, 400, "colour"),
]


async def test_bad_bodies_name_the_field_and_order_nothing(
    client: openai.AsyncOpenAI, http: httpx.AsyncClient, training: FakeTraining
) -> None:
    good = {"model": "smol", "training_file": await upload(client)}
    for change, status, param in BAD_BODIES:
        answer = await http.post(JOBS, json=good | change)
        assert answer.status_code == status, (change, answer.text)
        if param is not None:
            assert answer.json()["error"]["param"] == param
    assert training.jobs == {}
    for path in (f"{JOBS}/{NO_JOB}", f"{JOBS}/dsjob_{'0' * 24}", f"{JOBS}/nonsense"):
        assert (await http.get(path)).status_code == 404


async def test_an_estimate_orders_nothing(
    ready: Any, client: openai.AsyncOpenAI, http: httpx.AsyncClient, training: FakeTraining
) -> None:
    body = {"model": "smol", "training_file": await upload(client), "hyperparameters": {"n_epochs": 2}}
    answer = await http.post(ESTIMATES, json=body)
    assert answer.json() == {
        "object": "fine_tuning.estimate",
        "seconds": 12.5,
        "tokens": 2000,
        "memory_bytes": 2 << 30,
        "disk_bytes": 1 << 30,
    }
    sent = training.requests[-1].spec
    assert (sent.base_model, sent.method, sent.epochs) == ("smol", "supervised", 2)
    assert sent.training.file.object_key.startswith("default/")
    for change, status, param in BAD_BODIES:
        answer = await http.post(ESTIMATES, json=body | change)
        assert answer.status_code == status, (change, answer.text)
        if param is not None:
            assert answer.json()["error"]["param"] == param
    assert (await http.post(ESTIMATES, json=body | {"training_file": f"ds_{'0' * 24}"})).status_code == 404
    assert (await ready.http(tenant="umbrella").post(ESTIMATES, json=body)).status_code == 404
    assert (await ready.http(role="viewer").post(ESTIMATES, json=body)).status_code == 403
    assert training.jobs == {}


async def test_an_order_that_is_sent_again_is_one_job(
    client: openai.AsyncOpenAI, http: httpx.AsyncClient, training: FakeTraining
) -> None:
    body = {"model": "smol", "training_file": await upload(client)}
    first = (await http.post(JOBS, json=body)).json()
    again = await http.post(JOBS, json=body, headers={"x-stainless-retry-count": "1"})
    assert (again.json()["id"], again.json()["seed"]) == (first["id"], first["seed"])
    assert (await http.post(JOBS, json=body)).json()["id"] != first["id"]
    key = {"idempotency-key": "mine"}
    assert len({(await http.post(JOBS, json=body, headers=key)).json()["id"] for _ in range(2)}) == 1
    assert len(training.jobs) == 3


async def test_viewers_look_and_members_order(ready: Any, client: openai.AsyncOpenAI) -> None:
    job = await client.fine_tuning.jobs.create(model="smol", training_file=await upload(client))
    viewer = ready.http(role="viewer")
    assert (await viewer.get(f"{JOBS}/{job.id}")).status_code == 200
    for path in (JOBS, f"{JOBS}/{job.id}/cancel"):
        refused = await viewer.post(path, json={})
        assert refused.status_code == 403
        assert "finetune:write" in refused.json()["error"]["message"]


async def test_a_training_service_that_is_away_or_not_configured(
    house: Any, engine: FakeEngine, server: JobsServer
) -> None:
    house.write_config("")
    await house.start(training_service=f"127.0.0.1:{server.port}")
    await server.stop()
    http = house.http()
    answer = await http.get(JOBS)
    assert (answer.status_code, answer.headers["x-should-retry"]) == (503, "true")
    assert answer.json()["error"]["message"] == "The training service cannot be reached."
    async with asyncio.timeout(20):
        while True:
            page = await http.get("/readyz")
            assert page.status_code == 200
            if page.json()["checks"]["training-service"] == "service_unavailable":
                return
            await asyncio.sleep(0.05)


async def test_without_a_training_service_jobs_say_so(house: Any, engine: FakeEngine) -> None:
    house.write_config("")
    await house.start()
    answer = await house.http().get(JOBS)
    assert answer.status_code == 503
    assert "not configured" in answer.json()["error"]["message"]
