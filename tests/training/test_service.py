"""The training service as the gateway sees it: data sets and models made by real jobs on the embedded bus."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
import time
from typing import Any

import pytest
from parts.training import Training, TrainingProcess

from servicekit.bus import Event
from servicekit.errors import Reason, SixfoldError
from sixfold.events.v1 import release_pb2, request_pb2
from sixfold.jobs.v1 import job_pb2
from sixfold.training.v1 import dataset_pb2
from sixfold.training.v1 import training_service_pb2 as pb

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
SUCCEEDED, FAILED = job_pb2.JOB_STATUS_SUCCEEDED, job_pb2.JOB_STATUS_FAILED
KINDS = (("lost my card in", "card"), ("withdrew cash at", "cash"), ("sent money to", "transfer"))
TOWNS = ["Oslo", "Quito", "Lagos", "Perth", "Minsk", "Dakar", "Turin", "Kyoto", "Lima", "Accra"]


def lines(number: int = 30) -> bytes:
    rows = [
        {"text": f"{KINDS[i % 3][0]} {TOWNS[i // 3 % 10]} {i * 7919}", "label": KINDS[i % 3][1]}
        for i in range(number)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def spec(source: dataset_pb2.DatasetSource, **fields: Any) -> pb.TrainingSpec:
    given: dict[str, Any] = {"base_model": "tiny", "method": "supervised", "seed": 1}
    return pb.TrainingSpec(training=source, **(given | fields))


async def test_a_file_becomes_a_data_set_and_the_data_set_a_model(
    training: Training, training_process: TrainingProcess
) -> None:
    content = lines() + b'{"text": "mail ann@example.org, please", "label": "card"}\n{"text": \n'
    request = pb.CreateDatasetRequest(
        request_id="one",
        name="intents",
        sources=[await training.upload(content)],
        options=dataset_pb2.DatasetOptions(validation_share=0.2, test_share=0.2, seed=4),
        metadata={"license": "CC0-1.0"},
    )
    first = (await training.call(request)).dataset
    again = (await training.call(request)).dataset
    assert (first.id, first.job_id) == (again.id, again.job_id)
    job = await training.ended(first.job_id)
    assert job.status == SUCCEEDED, job
    dataset = (await training.call(pb.GetDatasetRequest(dataset_id=first.id))).dataset
    assert dataset.left_out == {"BAD_JSON": 1}
    assert sum(dataset.rows.values()) == 31
    assert min(dataset.rows.values()) >= 3
    card = (await training.read(dataset.object_keys["card"])).decode()
    assert dataset.version in card
    assert "rows.jsonl, line 32: not valid JSON" in card
    everything = b"".join([await training.read(key) for key in dataset.object_keys.values()])
    assert b"ann@example.org" not in everything
    assert b"<EMAIL_1>" in everything
    whole = dataset_pb2.DatasetSource(dataset=dataset_pb2.DatasetPart(dataset_id=dataset.id))
    estimate = await training.call(pb.EstimateTrainingRequest(spec=spec(whole, epochs=2)))
    assert estimate.tokens > 0
    assert estimate.seconds > 0
    await _validates_on_its_validation_part(training, whole, dataset.object_keys["validation"])
    order = pb.CreateTrainingRequest(
        request_id="two", spec=spec(whole, epochs=2, batch_size=4, suffix="demo"), metadata={"why": "test"}
    )
    ordered = (await training.call(order)).job
    assert (await training.call(order)).job.id == ordered.id
    job = await training.ended(ordered.id)
    assert job.status == SUCCEEDED, f"{job}\n{training_process.log()}"
    result = json.loads(job.result_json)
    assert result["model"].startswith("ft:tiny:acme:demo:")
    assert job.metrics["step"] == job.metrics["steps"]
    model = (await training.call(pb.GetTrainedModelRequest(model=result["model"]))).model
    assert model.job_id == job.id
    assert model.dataset_id == dataset.id
    assert model.form == "lora"
    assert model.run_id
    assert model.registered_version == "1"
    assert model.metrics["validation_loss"] > 0
    with tarfile.open(fileobj=io.BytesIO(await training.read(model.object_key))) as archive:
        manifest = json.load(archive.extractfile("manifest.json") or io.BytesIO())
    assert manifest["dataset"] == {"id": dataset.id, "version": dataset.version}
    assert manifest["data_sha256"] == model.data_sha256
    assert str(training_process.home) not in json.dumps(manifest)
    _check_registry(training_process, model)
    await _release_in_the_registry(training, model)
    told = (await training.call(pb.ListJobEventsRequest(job_id=job.id))).events
    assert any("validation loss" in event.message for event in told)
    assert any("The model is not served: " in event.message for event in told)  # nothing serves models here
    jobs = (await training.call(pb.ListJobsRequest(kind="fine_tuning", metadata={"why": "test"}))).jobs
    assert [each.id for each in jobs] == [job.id]
    async with Training(training_process, "other") as stranger:
        for question in (
            pb.GetDatasetRequest(dataset_id=dataset.id),
            pb.GetJobRequest(job_id=job.id),
            pb.GetTrainedModelRequest(model=result["model"]),
            pb.DeleteDatasetRequest(dataset_id=dataset.id),
            pb.CreateTrainingRequest(spec=spec(whole)),
            pb.CreateTrainingRequest(spec=spec(request.sources[0])),
            pb.CreateDatasetRequest(name="theirs", sources=request.sources),
        ):
            with pytest.raises(SixfoldError) as caught:
                await stranger.call(question)
            assert caught.value.reason in (Reason.NOT_FOUND, Reason.MODEL_NOT_FOUND)
    await training.call(pb.DeleteDatasetRequest(request_id="gone", dataset_id=dataset.id))
    await training.call(pb.DeleteDatasetRequest(request_id="gone", dataset_id=dataset.id))
    with pytest.raises(SixfoldError):
        await training.read(dataset.object_keys["train"])
    assert (await training.call(pb.GetTrainedModelRequest(model=result["model"]))).model.data_sha256


async def _validates_on_its_validation_part(
    training: Training, whole: dataset_pb2.DatasetSource, key: str
) -> None:
    """Whether the data set is named for it or not: rows that are trained on never validate."""
    for given in ({}, {"validation": whole}):
        order = pb.CreateTrainingRequest(spec=spec(whole, **given), priority=-10)
        job = (await training.call(order)).job
        await training.call(pb.SteerJobRequest(job_id=job.id, steer=pb.STEER_CANCEL))
        told = json.loads(job.spec_json)
        assert list(told["training"]["parts"]) == ["train"]
        assert told["validation"]["parts"] == {"validation": key}


async def test_a_data_set_without_a_validation_part_validates_nothing(training: Training) -> None:
    request = pb.CreateDatasetRequest(name="whole", sources=[await training.upload(lines(12))])
    made = (await training.call(request)).dataset
    assert (await training.ended(made.job_id)).status == SUCCEEDED
    whole = dataset_pb2.DatasetSource(dataset=dataset_pb2.DatasetPart(dataset_id=made.id))
    for question in (
        pb.CreateTrainingRequest(spec=spec(whole, validation=whole)),
        pb.EstimateTrainingRequest(spec=spec(whole, validation=whole)),
    ):
        with pytest.raises(SixfoldError) as caught:
            await training.call(question)
        assert (caught.value.reason, caught.value.param) == (Reason.NOT_FOUND, "spec.validation.dataset.part")
    assert (await training.call(pb.EstimateTrainingRequest(spec=spec(whole)))).tokens > 0


def _check_registry(process: TrainingProcess, model: pb.TrainedModel) -> None:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{process.home / 'mlflow.db'}")
    found = client.get_model_version(model.registered_name, model.registered_version)
    assert found.run_id == model.run_id
    assert found.tags["sixfold.data_sha256"] == model.data_sha256
    run = client.get_run(model.run_id)
    assert run.data.params["seed"] == "1"
    losses = client.get_metric_history(model.run_id, "loss")
    assert len(losses) == int(run.data.params["steps"])


async def _release_in_the_registry(training: Training, model: pb.TrainedModel) -> None:
    """The name's champion and challenger, from release events that come five times each."""
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{training.service.home / 'mlflow.db'}")

    async def step(status: str, revision: int) -> dict[str, str]:
        told = release_pb2.ReleaseChanged(
            release_id="rel_1",
            alias="support",
            status=status,
            champion="tiny",
            candidate=model.name,
            route_revision=revision,
            approved_by=["ada"],
        )
        event = _event("release.changed", told, "rel_1")
        await training.publish("sixfold.releases", *[event] * 5)
        end = time.monotonic() + 120
        wanted = 'sixfold_training_registry_moves_total{outcome="shown"} ' + f"{revision}.0"
        while wanted not in training.service.metrics():
            assert time.monotonic() < end, training.service.log()
            await asyncio.sleep(0.2)
        aliases = client.get_registered_model("acme.support").aliases
        return {alias: str(version) for alias, version in aliases.items()}

    assert await step("canary", 1) == {"challenger": "1"}
    assert await step("promoted", 2) == {"champion": "1"}
    (version,) = client.search_model_versions("name = 'acme.support'")
    assert version.run_id == model.run_id
    assert version.tags["sixfold.release_status"] == "promoted"
    assert version.tags["sixfold.approved_by"] == "ada"


async def test_a_training_pauses_and_goes_on(training: Training) -> None:
    rows = lines(120)
    order = pb.CreateTrainingRequest(spec=spec(await training.upload(rows), epochs=40, batch_size=4))
    job_id = (await training.call(order)).job.id
    end = time.monotonic() + 200
    while (await training.job(job_id)).metrics.get("step", 0) < 3:
        assert time.monotonic() < end, training.service.log()
        await asyncio.sleep(0.1)
    await training.call(pb.SteerJobRequest(job_id=job_id, steer=pb.STEER_PAUSE))
    while (job := await training.job(job_id)).status != job_pb2.JOB_STATUS_PAUSED:
        assert job.status == job_pb2.JOB_STATUS_RUNNING, job
        assert time.monotonic() < end, training.service.log()
        await asyncio.sleep(0.1)
    kept = (await training.call(pb.ListCheckpointsRequest(job_id=job_id))).checkpoints
    assert kept
    await training.call(pb.SteerJobRequest(job_id=job_id, steer=pb.STEER_RESUME))
    while (await training.job(job_id)).metrics.get("step", 0) <= kept[0].step:
        assert time.monotonic() < end, training.service.log()
        await asyncio.sleep(0.1)
    await training.call(pb.SteerJobRequest(job_id=job_id, steer=pb.STEER_CANCEL))
    assert (await training.ended(job_id)).status == job_pb2.JOB_STATUS_CANCELLED


async def test_bad_orders_are_refused_with_their_reason(training: Training) -> None:
    rows = await training.upload(lines())
    bad: list[tuple[Any, Reason]] = [
        (pb.CreateTrainingRequest(spec=spec(rows, base_model="nobody")), Reason.MODEL_NOT_FOUND),
        (pb.CreateTrainingRequest(spec=spec(rows, method="magic")), Reason.INVALID_REQUEST),
        (pb.CreateTrainingRequest(spec=spec(rows, epochs=-1)), Reason.INVALID_REQUEST),
        (pb.CreateTrainingRequest(spec=spec(rows, suffix="a/b")), Reason.INVALID_REQUEST),
        (pb.CreateTrainingRequest(spec=spec(dataset_pb2.DatasetSource())), Reason.INVALID_REQUEST),
        (pb.CreateDatasetRequest(name="x"), Reason.INVALID_REQUEST),
        (pb.GetJobRequest(job_id="ftjob-nothing"), Reason.NOT_FOUND),
        (pb.GetTrainedModelRequest(model="ft:tiny:acme::000000"), Reason.MODEL_NOT_FOUND),
    ]
    for request, reason in bad:
        with pytest.raises(SixfoldError) as caught:
            await training.call(request)
        assert caught.value.reason is reason, request


async def test_a_bad_training_file_fails_with_its_line(training: Training) -> None:
    bad = await training.upload(lines(9) + b"{not json\n")
    one = await training.upload(b"".join(b'{"text": "t%d", "label": "a"}\n' % (i * 7919) for i in range(9)))
    jobs = [
        (await training.call(pb.CreateTrainingRequest(spec=spec(source)))).job.id
        for source in (bad, one, await training.upload(b""))
    ]
    ended = [await training.ended(job_id) for job_id in jobs]
    assert [job.status for job in ended] == [FAILED] * 3
    assert [job.reason for job in ended] == ["BAD_ROWS", "ONE_LABEL", "EMPTY_DATASET"]
    assert "line 10" in ended[0].message
    assert ended[0].attempt == 1


async def test_corrections_become_rows_each_exactly_once(training: Training) -> None:
    events = []
    for number in range(6):
        content = {
            "messages": [{"role": "user", "content": f"{KINDS[number % 3][0]} {TOWNS[number]}"}],
            "answer": [{"text": "something else", "finish": "stop"}],
        }
        completed = request_pb2.RequestCompleted(
            request_id=f"req_{number}",
            requested_model="support",
            model="tiny",
            status=200,
            content_json=json.dumps(content).encode(),
        )
        events.append(_event("request.completed", completed, f"req_{number}"))
    await training.publish("sixfold.requests", *events, *events)
    given = [
        request_pb2.FeedbackGiven(
            feedback_id=f"fb_{number}",
            request_id=f"req_{number}",
            kind="correction",
            correction=KINDS[number % 3][1],
        )
        for number in range(5)
    ]
    given.append(
        request_pb2.FeedbackGiven(
            feedback_id="fb_x", request_id="req_unknown", kind="correction", correction="x"
        )
    )
    told = [_event("feedback.given", each, each.request_id) for each in given]
    for _ in range(5):
        await training.publish("sixfold.feedback", *told)
    end = time.monotonic() + 60
    while (
        _kept(training.service.metrics(), "feedback") < 6 or _kept(training.service.metrics(), "request") < 6
    ):
        assert time.monotonic() < end, training.service.log()
        await asyncio.sleep(0.2)
    source = dataset_pb2.DatasetSource(feedback=dataset_pb2.FeedbackSource(model="support"))
    made = await _dataset(training, source)
    assert sum(made.rows.values()) == 5
    assert not made.left_out
    everything = dataset_pb2.DatasetSource(feedback=dataset_pb2.FeedbackSource())
    assert (await _dataset(training, everything)).left_out == {"BAD_SHAPE": 1}
    assert _kept(training.service.metrics(), "feedback") == 6
    row = json.loads((await training.read(made.object_keys["train"])).splitlines()[0])
    assert [turn["role"] for turn in row["messages"]] == ["user", "assistant"]
    assert row["messages"][1]["content"] in {answer for _, answer in KINDS}


async def _dataset(training: Training, source: dataset_pb2.DatasetSource) -> dataset_pb2.Dataset:
    request = pb.CreateDatasetRequest(name="corrections", sources=[source])
    made = (await training.call(request)).dataset
    job = await training.ended(made.job_id)
    assert job.status == SUCCEEDED, job
    dataset: dataset_pb2.Dataset = (await training.call(pb.GetDatasetRequest(dataset_id=made.id))).dataset
    return dataset


def _event(kind: str, message: Any, subject: str) -> Event:
    return Event.new(kind, message, source="gateway", subject=subject, tenant="acme")


def _kept(metrics: str, kind: str) -> float:
    wanted = f'sixfold_training_kept_total{{kind="{kind}"}} '
    return sum(float(line.removeprefix(wanted)) for line in metrics.splitlines() if line.startswith(wanted))
