"""A training and an eval with the composed settings: real Kafka, PostgreSQL and MLflow, and an S3 server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import mlflow
import openai
import pytest
from parts.composed import ComposedHouse, by_its_entrypoint, make_databases
from parts.fake_engine import EngineServer, FakeEngine, card
from parts.postgres import Postgres
from parts.process import free_port
from parts.s3 import S3Server
from parts.tiny_base import make_base

ENDED = ("succeeded", "completed", "failed", "cancelled", "canceled")


@pytest.fixture
async def house(
    composed: Callable[[Path], dict[str, Any]],
    composed_secret: str,
    root: Path,
    kafka_as_composed: str,
    given_postgres: Postgres,
    s3_server: S3Server,
    tmp_path: Path,
) -> AsyncIterator[ComposedHouse]:
    """MLflow by the file's own entrypoint and health check; training-service, eval-service and gateway."""
    make_databases(root, given_postgres, composed_secret)
    s3_server.files.call_s3("create_bucket", Bucket="sixfold")
    services, port = composed(tmp_path), free_port()
    here = {
        "kafka:9092": kafka_as_composed,
        "http://minio:9000": s3_server.endpoint,
        "http://mlflow:5000": f"http://127.0.0.1:{port}",
        "127.0.0.1:5000": f"127.0.0.1:{port}",
    }
    with ComposedHouse(root, services, tmp_path, given_postgres, composed_secret, here) as house:
        words = {"0.0.0.0": "127.0.0.1", "5000": str(port), "127.0.0.1:5000": f"127.0.0.1:{port}"}
        environment = house.environment("mlflow", ("MLFLOW_", "AWS_")) | {"HOME": str(tmp_path)}
        tracker = by_its_entrypoint(services["mlflow"], words, environment, tmp_path / "mlflow.log")
        models = EngineServer(FakeEngine(card("tiny")), house.key("service"), house.ports["model-service"][0])
        base = await asyncio.to_thread(make_base, tmp_path / "base")
        bases = json.dumps({"tiny": f"file://{base}"})
        await models.start()
        try:
            await asyncio.gather(
                asyncio.to_thread(house.keep, tracker),
                asyncio.to_thread(house.start, "training-service", SIXFOLD_TRAINING_SERVICE_BASES=bases),
                asyncio.to_thread(house.start, "eval-service"),
            )
            await asyncio.to_thread(house.start, "gateway")
            yield house
        finally:
            await asyncio.to_thread(house.close)
            await models.stop()


async def until_ended(ask: Callable[[], Any], seconds: float = 150) -> Any:
    async with asyncio.timeout(seconds):
        while (found := await ask()).status not in ENDED:  # noqa: ASYNC110  nothing tells of it
            await asyncio.sleep(0.2)
    return found


def counted(house: ComposedHouse, service: str, series: str) -> float:
    """A figure of a service's page; 0 when it is not there."""
    page = httpx.get(f"http://127.0.0.1:{house.ports[service][1]}/metrics", timeout=10).text
    return sum(float(line.rsplit(" ", 1)[1]) for line in page.splitlines() if line.startswith(series))


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_training_and_an_eval_walk_through_all_of_them(
    house: ComposedHouse, s3_server: S3Server, tmp_path: Path
) -> None:
    client = openai.AsyncOpenAI(base_url=f"{house.url}/v1", api_key=house.token(), timeout=60)
    turns = [
        [{"role": "user", "content": f"say {n}"}, {"role": "assistant", "content": f"number {n}"}]
        for n in range(24)
    ]
    content = b"".join(json.dumps({"messages": each}).encode() + b"\n" for each in turns)
    file = await client.files.create(file=("rows.jsonl", content), purpose="fine-tune")
    method: Any = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 1}}}
    job = await client.fine_tuning.jobs.create(
        model="tiny", training_file=file.id, suffix="numbers", seed=7, method=method
    )
    job = await until_ended(lambda: client.fine_tuning.jobs.retrieve(job.id))
    assert (job.status, job.error.message if job.error else None) == ("succeeded", None)
    assert job.fine_tuned_model

    # What MLflow's own client finds on the server that SIXFOLD_MLFLOW_URL names.
    url = house.environment("training-service")["SIXFOLD_MLFLOW_URL"]
    runs = mlflow.MlflowClient(url)
    experiment = runs.get_experiment_by_name("fine-tuning/acme")
    (run,) = runs.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.tags["sixfold.job_id"] == job.id
    assert run.data.params["seed"] == "7"
    assert len(runs.get_metric_history(run.info.run_id, "loss")) > 1
    (registered,) = runs.search_model_versions(f"run_id = '{run.info.run_id}'")
    assert registered.tags["sixfold.model"] == job.fine_tuned_model
    manifest = mlflow.artifacts.download_artifacts(
        run_id=run.info.run_id, artifact_path="manifest.json", dst_path=str(tmp_path), tracking_uri=url
    )
    assert json.loads(await asyncio.to_thread(Path(manifest).read_text))["job_id"] == job.id
    # Its artifacts lie in the bucket, beside the services' encrypted objects.
    kept = set(s3_server.files.find("sixfold"))
    assert any(key.startswith("sixfold/mlflow/") and key.endswith("/manifest.json") for key in kept)
    objects = [key for key in kept if key.startswith("sixfold/objects/")]
    assert objects
    assert not any(b"number 3" in s3_server.files.cat_file(key) for key in objects)
    # Events went over Kafka, and the service's records are in PostgreSQL.
    assert counted(house, "training-service", 'sixfold_bus_published_total{topic="sixfold.jobs"}') >= 2
    assert counted(house, "training-service", "sixfold_jobs_ended_total{") == 1
    assert not await asyncio.to_thread(lambda: list(tmp_path.rglob("*.db")))

    for host, status in (("mlflow:5000", 200), ("elsewhere.example", 403)):
        asked = await asyncio.to_thread(
            httpx.post,
            f"{url}/api/2.0/mlflow/experiments/search",
            json={"max_results": 1},
            headers={"host": host},
        )
        assert asked.status_code == status, "only those who call it by its own name are answered"

    criterion: Any = {
        "type": "string_check", "name": "said", "operation": "eq",
        "input": "{{sample.output_text}}", "reference": "{{item.answer}}",
    }  # fmt: skip
    schema = {"type": "object", "properties": {"answer": {"type": "string"}}}
    config: Any = {"type": "custom", "item_schema": schema, "include_sample_schema": True}
    made = await client.evals.create(name="said", data_source_config=config, testing_criteria=[criterion])
    rows = [{"item": {"answer": "yes"}, "sample": {"output_text": said}} for said in ("yes", "no")]
    source: Any = {"type": "jsonl", "source": {"type": "file_content", "content": rows}}
    started = await client.evals.runs.create(made.id, name="first", data_source=source)
    result = await until_ended(lambda: client.evals.runs.retrieve(started.id, eval_id=made.id))
    assert (result.status, result.result_counts.passed, result.result_counts.failed) == ("completed", 1, 1)
    assert counted(house, "eval-service", "sixfold_jobs_ended_total{") == 1
    assert not await asyncio.to_thread(lambda: list(tmp_path.rglob("*.db")))
