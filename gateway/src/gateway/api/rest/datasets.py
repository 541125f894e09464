"""/v1/datasets: rows that are read, checked, cleaned, split and frozen. A version never changes.

Parts and cards stream in `gateway.api.hot.datasets`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field, model_validator

from gateway.api.rest.changes import changes, reads
from gateway.api.rest.deps import Deps
from gateway.api.rest.jobs_common import NewestUnlessAsked
from gateway.api.rest.stores_common import Metadata, Strict
from gateway.identity.roles import FINETUNE_READ, FINETUNE_WRITE
from gateway.jobs import datasets_types as types
from gateway.jobs.datasets import DatasetsService, absent
from gateway.jobs.types import JobStatus
from gateway.retrieval.service import Call

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])
Reading = Annotated[Call, Depends(reads(FINETUNE_READ))]
Changing = Annotated[Call, Depends(changes(FINETUNE_WRITE))]
Moment = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=0.5, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00]*$", description="For people.")]


def datasets_of(deps: Deps) -> DatasetsService:
    """The service behind these routes. Raises SERVICE_UNAVAILABLE where none is configured."""
    if deps.datasets is None:
        raise absent()
    return deps.datasets


Service = Annotated[DatasetsService, Depends(datasets_of)]


class FileRows(Strict):
    """Rows of a file: JSON lines, CSV or Parquet."""

    type: Literal["file"]
    file_id: str = Field(max_length=64)


class FeedbackRows(Strict):
    """Rows of what people said about answers, where the tenant's content is kept (`learning:`)."""

    type: Literal["feedback"]
    kinds: list[Literal["correction", "thumbs", "score"]] | None = Field(
        None, min_length=1, max_length=3, description="Corrections alone by default."
    )
    since: Moment | None = Field(None, description="Unix seconds; what was said from then on.")
    until: Moment | None = Field(None, description="Unix seconds; what was said before then.")
    model: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        None, description="Only answers to this name of a model, as it was asked for."
    )

    @model_validator(mode="after")
    def _in_order(self) -> FeedbackRows:
        if self.since is not None and self.until is not None and self.until <= self.since:
            raise ValueError("until must lie after since")
        return self


class DatasetRows(Strict):
    """Rows of another data set, or of one of its parts. Rows of a named part stay in it."""

    type: Literal["dataset"]
    dataset_id: str = Field(max_length=64)
    part: Literal["train", "validation", "test"] | None = None


Source = Annotated[FileRows | FeedbackRows | DatasetRows, Field(discriminator="type")]


class CreateDataset(Strict):
    """What to make."""

    name: Name
    sources: list[Source] = Field(min_length=1, max_length=64, description="Read in this order.")
    kind: Literal["supervised", "preference"] | None = Field(
        None, description="One answer a row, or a better and a worse one. By default what the rows are."
    )
    validation_share: Share = Field(0, description="Share of the rows for validation.")
    test_share: Share = Field(0, description="Share of the rows for testing.")
    seed: Annotated[int, Field(ge=0, le=2147483647)] = Field(0, description="Decides the split.")
    keep_personal_data: bool = Field(False, description="By default it is masked.")
    keep_near_duplicates: bool = Field(False, description="By default one of them stays.")
    strict: bool = Field(
        False,
        description="Whether a row that cannot be used ends all. By default it is left out and counted.",
    )
    metadata: Metadata | None = Field(
        None, description="The caller's own notes. `license` is shown on the card."
    )

    @model_validator(mode="after")
    def _leaves_rows(self) -> CreateDataset:
        if self.validation_share + self.test_share >= 1:
            raise ValueError("validation_share and test_share must leave rows for training")
        return self


class Rows(BaseModel):
    """Rows by part."""

    train: int
    validation: int
    test: int


class DatasetError(BaseModel):
    """Why a data set could not be made; names line numbers."""

    code: str
    message: str


class Dataset(BaseModel):
    """A data set. Times are Unix seconds. Not OpenAI's."""

    id: str
    object: Literal["dataset"] = "dataset"
    name: str
    version: str | None = Field(
        description="SHA-256 over all rows in order: the same rows are the same version. "
        "Null before it is made."
    )
    kind: Literal["supervised", "preference"] | None
    status: JobStatus
    job_id: str = Field(description="The job that makes it.")
    created_at: int
    rows: Rows
    left_out: dict[str, int] = Field(description="Rows that were left out, by UPPER_SNAKE cause.")
    warnings: list[str] = Field(description="What a person should know.")
    error: DatasetError | None
    metadata: dict[str, str]


class DatasetList(BaseModel):
    """A page of data sets; `after=<last_id>` asks for the next."""

    object: Literal["list"] = "list"
    data: list[Dataset]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedDataset(BaseModel):
    """The data set and its rows are gone. Models that were trained on it keep its digest."""

    id: str
    object: Literal["dataset"] = "dataset"
    deleted: bool = True


@router.post(
    "",
    summary="Make a data set",
    description="Needs the scope `finetune:write`. It is made in the background: ask for it until `status` "
    "is `succeeded` or `failed`. Rows are checked one by one, near-duplicates and personal data are taken "
    "out, and near-duplicates never lie in two parts. `training_file` of a fine-tuning job, and `source` of "
    "an eval's run, take its id.",
)
async def create_dataset(body: CreateDataset, call: Changing, service: Service) -> Dataset:
    made = await service.create(
        call,
        name=body.name,
        sources=[_asked(source) for source in body.sources],
        options=types.Options(
            kind=body.kind,
            validation_share=body.validation_share,
            test_share=body.test_share,
            seed=body.seed,
            keep_personal_data=body.keep_personal_data,
            keep_near_duplicates=body.keep_near_duplicates,
            strict=body.strict,
        ),
        metadata=body.metadata or {},
    )
    return _shown(made)


@router.get("", summary="List data sets", description="Needs the scope `finetune:read`.")
async def list_datasets(
    call: Reading,
    service: Service,
    page: NewestUnlessAsked,
    name: Annotated[str | None, Query(max_length=256, description="Only those of this name.")] = None,
) -> DatasetList:
    found = await service.list(call, page, name=name or "")
    data = [_shown(each) for each in found.data]
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return DatasetList(data=data, first_id=first, last_id=last, has_more=found.has_more)


@router.get("/{dataset_id}", summary="Show a data set", description="Needs the scope `finetune:read`.")
async def get_dataset(dataset_id: str, call: Reading, service: Service) -> Dataset:
    return _shown(await service.get(call, dataset_id))


@router.delete(
    "/{dataset_id}",
    summary="Delete a data set",
    description="Needs the scope `finetune:write`. One that is being made is called off.",
)
async def delete_dataset(dataset_id: str, call: Changing, service: Service) -> DeletedDataset:
    await service.delete(call, dataset_id)
    return DeletedDataset(id=dataset_id)


def _asked(source: FileRows | FeedbackRows | DatasetRows) -> types.Asked:
    if isinstance(source, FileRows):
        return types.OfFile(source.file_id)
    if isinstance(source, DatasetRows):
        return types.OfDataset(source.dataset_id, source.part)
    return types.OfFeedback(source.kinds or (), source.since or 0, source.until or 0, source.model or "")


def _shown(given: types.Dataset) -> Dataset:
    failed = given.status == "failed"
    return Dataset(
        id=given.id,
        name=given.name,
        version=given.version or None,
        kind=given.kind,
        status=given.status,
        job_id=given.job_id,
        created_at=int(given.created_at),
        rows=Rows(**{part: given.rows.get(part, 0) for part in types.PARTS}),
        left_out=dict(given.left_out),
        warnings=list(given.warnings),
        error=DatasetError(code=given.reason.lower(), message=given.message) if failed else None,
        metadata=dict(given.metadata),
    )
