"""A training whose job runs in a pod: the real service, the API of a cluster, a real process in it."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from parts.kubernetes import Cluster
from parts.tiny_base import make_base
from parts.training import Training, TrainingProcess

from sixfold.jobs.v1 import job_pb2
from sixfold.training.v1 import training_service_pb2 as pb

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def rows(number: int = 24) -> bytes:
    return b"".join(
        json.dumps({"text": f"lost my card in town {n}", "label": ("card", "cash")[n % 2]}).encode() + b"\n"
        for n in range(number)
    )


async def test_a_model_is_trained_in_a_pod(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "cluster")
    await cluster.start()
    base = await asyncio.to_thread(make_base, tmp_path / "base")
    launcher = {"SIXFOLD_TRAINING_SERVICE_LAUNCHER": cluster.url(), "SIXFOLD_MLFLOW_URL": "off"}
    service = TrainingProcess(tmp_path / "home", secrets.token_bytes(32), base, launcher)
    await asyncio.to_thread(service.process.start)
    try:
        async with Training(service) as training:
            spec = pb.TrainingSpec(
                training=await training.upload(rows()), base_model="tiny", method="supervised", seed=1
            )
            job = (await training.call(pb.CreateTrainingRequest(spec=spec))).job
            ended = await training.ended(job.id, 200)
            assert ended.status == job_pb2.JOB_STATUS_SUCCEEDED, ended
            page = await asyncio.to_thread(service.metrics)
            assert 'sixfold_training_tokens_total{form="lora"} ' in page
            assert 'sixfold_training_final_loss_count{form="lora"} 1.0' in page
        (manifest,) = cluster.seen
        (container,) = manifest["spec"]["template"]["spec"]["containers"]
        assert container["resources"]["limits"]["memory"] == f"{8 * 1024 + 256}Mi"
        assert not await asyncio.to_thread(lambda: list((tmp_path / "home" / "training").rglob("*.tar")))
    finally:
        await asyncio.to_thread(service.process.stop)
        await cluster.stop()


def test_jobs_in_pods_have_no_file_to_be_tracked_in(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    key = tmp_path / "secrets" / "service.key"
    key.touch(mode=0o600)
    key.write_text("0" * 64)
    env = {
        "PATH": os.environ["PATH"],
        "SIXFOLD_HOME": str(tmp_path),
        "SIXFOLD_TRAINING_SERVICE_LISTEN": "127.0.0.1:0",
        "SIXFOLD_TRAINING_SERVICE_OPS_LISTEN": "127.0.0.1:0",
        "SIXFOLD_TRAINING_SERVICE_LAUNCHER": "k8s+http://127.0.0.1:9/jobs?image=x",
    }
    command = [sys.executable, "-m", "training_service"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "SIXFOLD_MLFLOW_URL" in done.stderr
