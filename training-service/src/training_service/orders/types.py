"""What is ordered, and what is kept about it. Times are Unix seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from servicekit.jobs import Job, NewJob
from training_service.datasets.build import Options
from training_service.trainers.plan import Method, Wishes

DATASET = "dataset"
TRAINING = "fine_tuning"
PREFIXES = {DATASET: "dsjob_", TRAINING: "ftjob-"}


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file of the tenant, in the object store."""

    id: str
    filename: str
    sha256: str
    object_key: str
    bytes: int


@dataclass(frozen=True, slots=True)
class FeedbackSource:
    """What people said about answers. Bounds of 0 are none."""

    kinds: Sequence[str]
    since: float = 0
    until: float = 0
    model: str = ""


@dataclass(frozen=True, slots=True)
class DatasetPart:
    """A data set of the tenant, or one part of it."""

    dataset_id: str
    part: str = ""


Source = FileSource | FeedbackSource | DatasetPart


@dataclass(frozen=True, slots=True)
class DatasetOrder:
    """A data set to make."""

    name: str
    sources: Sequence[Source]
    options: Options
    keep_personal_data: bool
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TrainingOrder:
    """A model to train."""

    base: str
    method: Method
    training: FileSource | DatasetPart
    validation: FileSource | DatasetPart | None
    wishes: Wishes
    suffix: str = ""
    priority: int = 0
    metadata: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A model that can be trained: where its weights are (see `trainers.bases`), and its size."""

    url: str
    parameters: int


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set as it stands: its row, and the job that makes it."""

    id: str
    name: str
    created_at: float
    metadata: Mapping[str, str]
    job: Job
    made: Mapping[str, Any]
    """The job's result; empty before its end."""


@dataclass(frozen=True, slots=True)
class Model:
    """A trained model: its name, and the job that made it."""

    name: str
    job: Job
    made: Mapping[str, Any]


class Records(Protocol):
    """Where orders are kept. Everything is asked for one tenant."""

    async def order_dataset(
        self, dataset_id: str, name: str, metadata: Mapping[str, str], new: NewJob
    ) -> Dataset:
        """Row, job and event in one transaction. The same order again gives what there is."""

    async def dataset(self, tenant: str, dataset_id: str) -> Dataset:
        """NOT_FOUND."""

    async def list_datasets(
        self, tenant: str, *, name: str, after: str, limit: int, ascending: bool
    ) -> tuple[list[Dataset], bool]:
        """A page by age, and whether there are more."""

    async def delete_dataset(self, tenant: str, dataset_id: str, request_id: str) -> str:
        """Nobody sees it from now on; gives its job's id. NOT_FOUND, unless this very request deleted it."""

    async def order_training(self, model: str, new: NewJob) -> Job:
        """The model's name, job and event in one transaction. The same order again gives what there is."""

    async def model(self, tenant: str, name: str) -> Model:
        """MODEL_NOT_FOUND unless its training succeeded."""
