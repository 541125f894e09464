"""What the routes of vector stores share: pages, attributes, chunking, and how things are shown."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from fastapi import Depends, Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from gateway.api.rest.deps import Deps
from gateway.retrieval import types
from gateway.retrieval.service import AUTO, StoresService
from servicekit.errors import Reason, SixfoldError

Key = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00]*$")]
Text = Annotated[str, StringConstraints(max_length=512, pattern=r"^[^\x00]*$")]
Number = Annotated[float, Field(allow_inf_nan=False)]
Metadata = Annotated[
    dict[Key, Text], Field(max_length=16, description="The caller's own notes; nothing here reads them.")
]
Attributes = Annotated[
    dict[Key, Text | Number | bool], Field(max_length=16, description="What searches filter by.")
]
Status = Literal["in_progress", "completed", "failed", "cancelled"]


def stores_of(deps: Deps) -> StoresService:
    """The service behind these routes. Raises SERVICE_UNAVAILABLE where none is wired."""
    if deps.stores is None:
        raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "There are no vector stores here.")
    return deps.stores


Service = Annotated[StoresService, Depends(stores_of)]


def asked_page(
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Annotated[Literal["asc", "desc"], Query(description="By the time of creation.")] = "desc",
    after: Annotated[str | None, Query(max_length=64, description="The last id of the page before.")] = None,
    before: Annotated[str | None, Query(max_length=64, description="The first id of the page after.")] = None,
) -> types.Page:
    """Which part of a list is asked for."""
    return types.Page(limit, after or "", before or "", order == "asc")


Page = Annotated[types.Page, Depends(asked_page)]


class Strict(BaseModel):
    """A body. OpenAI's contract names every field of these, so one that it does not name is refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class StaticChunks(Strict):
    """Sizes of the caller's choice, in tokens."""

    max_chunk_size_tokens: int = Field(ge=100, le=4096)
    chunk_overlap_tokens: int = Field(ge=0, le=2048)

    @model_validator(mode="after")
    def _at_most_half(self) -> StaticChunks:
        if self.chunk_overlap_tokens * 2 > self.max_chunk_size_tokens:
            raise ValueError("chunk_overlap_tokens must not exceed half of max_chunk_size_tokens")
        return self


class AutoChunking(Strict):
    """As the retrieval service finds right."""

    type: Literal["auto"]


class StaticChunking(Strict):
    """As the caller says."""

    type: Literal["static"]
    static: StaticChunks


Chunking = Annotated[AutoChunking | StaticChunking, Field(discriminator="type")]


def chunking_of(given: AutoChunking | StaticChunking | None) -> types.Chunking:
    """What was asked for, in the domain's words."""
    if isinstance(given, StaticChunking):
        return types.Chunking(given.static.max_chunk_size_tokens, given.static.chunk_overlap_tokens, True)
    return AUTO


class Piece(BaseModel):
    """A passage's text."""

    type: Literal["text"] = "text"
    text: str


class Counts(BaseModel):
    """Files by where they are."""

    in_progress: int
    completed: int
    failed: int
    cancelled: int
    total: int


def counts_of(counts: types.Counts) -> Counts:
    """As it is shown."""
    return Counts(
        in_progress=counts.in_progress,
        completed=counts.completed,
        failed=counts.failed,
        cancelled=counts.cancelled,
        total=counts.total,
    )


ErrorCode = Literal["server_error", "unsupported_file", "invalid_file"]
_CODES: dict[str, ErrorCode] = {code: code for code in get_args(ErrorCode)}


class LastError(BaseModel):
    """Why a file is not in the index."""

    code: ErrorCode
    message: str
    reason: str = Field(description="UPPER_SNAKE and stable, such as `PASSWORD_PROTECTED` or `NO_TEXT`.")


class ShownChunks(BaseModel):
    """Sizes in tokens."""

    max_chunk_size_tokens: int
    chunk_overlap_tokens: int


class ShownChunking(BaseModel):
    """How a file was cut."""

    type: Literal["static"] = "static"
    static: ShownChunks


class UnknownChunking(BaseModel):
    """How a file was cut nobody knows."""

    type: Literal["other"] = "other"


class StoreFile(BaseModel):
    """A file in a store. Times are Unix seconds."""

    id: str
    object: Literal["vector_store.file"] = "vector_store.file"
    created_at: int
    usage_bytes: int
    vector_store_id: str
    status: Status
    last_error: LastError | None
    chunking_strategy: ShownChunking | UnknownChunking
    attributes: dict[str, str | float | bool]
    filename: str
    passages: int = Field(description="Pieces in the index.")
    pages: int = Field(description="Pages read; 0 where the format has none.")
    language: str = Field(description="ISO 639-1, of most of its text; empty when unknown.")
    duplicate_of: str | None = Field(description="The file with the same text that is indexed in its stead.")


class StoreFileList(BaseModel):
    """A page of a store's files."""

    object: Literal["list"] = "list"
    data: list[StoreFile]
    first_id: str | None
    last_id: str | None
    has_more: bool


def file_of(file: types.StoreFile) -> StoreFile:
    """As it is shown."""
    error, chunking = file.error, file.chunking
    return StoreFile(
        id=file.id,
        created_at=file.created_at,
        usage_bytes=file.usage_bytes,
        vector_store_id=file.store_id,
        status=file.status,
        last_error=None
        if error is None
        else LastError(
            code=_CODES.get(error.code, "server_error"), message=error.message, reason=error.reason
        ),
        chunking_strategy=ShownChunking(
            static=ShownChunks(
                max_chunk_size_tokens=chunking.max_tokens, chunk_overlap_tokens=chunking.overlap_tokens
            ),
        )
        if chunking.max_tokens
        else UnknownChunking(),
        attributes=dict(file.attributes),
        filename=file.filename,
        passages=file.passages,
        pages=file.pages,
        language=file.language,
        duplicate_of=file.duplicate_of or None,
    )


def _error_of(error: types.FileError) -> LastError:
    code = _CODES.get(error.code, "server_error")
    return LastError(code=code, message=error.message, reason=error.reason)


def files_of(page: types.StoreFiles) -> StoreFileList:
    """A page as it is shown."""
    data = [file_of(file) for file in page.data]
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return StoreFileList(data=data, first_id=first, last_id=last, has_more=page.has_more)


POLL_AFTER = {"openai-poll-after-ms": "500"}
"""Beside what is still in progress: when the official client's helpers look again."""
