"""The domain's words to responses of the contract."""

from __future__ import annotations

from servicekit.jobs import job_message
from sixfold.training.v1 import dataset_pb2
from sixfold.training.v1 import training_service_pb2 as pb
from training_service.orders.types import Dataset, Model


def to_dataset(dataset: Dataset) -> dataset_pb2.Dataset:
    """As it stands."""
    made = dataset.made
    return dataset_pb2.Dataset(
        id=dataset.id,
        name=dataset.name,
        version=made.get("version", ""),
        kind=made.get("kind", ""),
        status=job_message(dataset.job).status,
        job_id=dataset.job.id,
        rows=made.get("rows", {}),
        left_out=made.get("left_out", {}),
        created_at=dataset.created_at,
        reason=dataset.job.reason,
        message=dataset.job.message,
        object_keys=made.get("object_keys", {}),
        metadata=dict(dataset.metadata),
        warnings=made.get("warnings", []),
    )


def to_model(model: Model) -> pb.TrainedModel:
    """With where it comes from."""
    made = model.made
    return pb.TrainedModel(
        name=model.name,
        version=made["version"],
        base_model=made["base"],
        job_id=model.job.id,
        run_id=made["run_id"],
        dataset_id=made["dataset_id"],
        data_sha256=made["data_sha256"],
        object_key=made["object_key"],
        form=made["form"],
        created_at=model.job.finished_at,
        metrics=made["metrics"],
        registered_name=made["registered_name"],
        registered_version=made["registered_version"],
    )
