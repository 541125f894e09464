"""MLflow: a run, its figures and artifacts, and a registered version. In jobs alone.

A job that is tried again finds the run and the version of its first try by the job's id.
"""

from __future__ import annotations

import importlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from servicekit.jobs.child import JobFault
from training_service.trainers.plan import Plan
from training_service.trainers.ports import Trained

_BATCH = 900


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a model comes from."""

    tenant: str
    job_id: str
    model: str
    base: str
    dataset_id: str
    dataset_version: str
    data_sha256: str


@dataclass(frozen=True, slots=True)
class Tracked:
    """Where it is told; all empty without a tracker."""

    run_id: str = ""
    name: str = ""
    version: str = ""


def track(
    url: str, artifacts: str, lineage: Lineage, plan: Plan, trained: Trained, folder: Path, version: str
) -> Tracked:
    """JobFault(TRACKING_UNAVAILABLE), tried again, when the tracker does not answer."""
    if not url:
        return Tracked()
    mlflow = importlib.import_module("mlflow")
    try:
        return _track(mlflow.MlflowClient(url), artifacts, lineage, plan, trained, folder, version)
    except (mlflow.exceptions.MlflowException, OSError):
        raise JobFault(
            "TRACKING_UNAVAILABLE", "The experiment tracker does not take the run.", retry=True
        ) from None


def _track(
    client: Any, artifacts: str, lineage: Lineage, plan: Plan, trained: Trained, folder: Path, version: str
) -> Tracked:
    entities = importlib.import_module("mlflow.entities")
    experiment = _experiment(client, f"fine-tuning/{lineage.tenant}", artifacts)
    tags = {f"sixfold.{name}": value for name, value in asdict(lineage).items() if value}
    tags["sixfold.version"] = version
    found = client.search_runs([experiment], f"tags.`sixfold.job_id` = '{lineage.job_id}'", max_results=1)
    if found:
        run_id = str(found[0].info.run_id)
    else:
        run_id = str(client.create_run(experiment, tags=tags, run_name=lineage.model).info.run_id)
        for name in ("method", "epochs", "batch_size", "learning_rate", "lora_rank", "seed", "steps"):
            client.log_param(run_id, name, getattr(plan, name))
    points = [entities.Metric("loss", loss, 0, step) for step, loss in trained.losses]
    points += [entities.Metric("validation_loss", loss, 0, step) for step, loss in trained.validation]
    points += [entities.Metric(f"final_{name}", value, 0, 0) for name, value in trained.metrics.items()]
    for start in range(0, len(points), _BATCH):
        client.log_batch(run_id, metrics=points[start : start + _BATCH])
    client.log_artifact(run_id, str(folder / "manifest.json"))
    name = lineage.model.replace(":", "-").replace("/", "-")
    number = _register(client, name, run_id, tags)
    client.set_terminated(run_id)
    return Tracked(run_id, name, number)


def _experiment(client: Any, name: str, artifacts: str) -> str:
    there = client.get_experiment_by_name(name)
    if there is not None:
        return str(there.experiment_id)
    try:
        return str(client.create_experiment(name, artifact_location=artifacts or None))
    except Exception:  # another job made it meanwhile
        there = client.get_experiment_by_name(name)
        if there is None:
            raise
        return str(there.experiment_id)


def _register(client: Any, name: str, run_id: str, tags: dict[str, str]) -> str:
    versions = client.search_model_versions(f"run_id = '{run_id}'")
    if versions:
        return str(versions[0].version)
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name, tags=tags)
    made = client.create_model_version(name, source=f"runs:/{run_id}/manifest.json", run_id=run_id, tags=tags)
    return str(made.version)
