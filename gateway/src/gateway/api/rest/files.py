"""/v1/files: what was uploaded. Uploading itself, and the content, stream in `gateway.api.hot.files`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from gateway.api.rest.deps import Caller, Deps
from gateway.files.service import FilesService
from gateway.files.types import Purpose
from gateway.identity.principal import Principal, require
from gateway.identity.roles import FILES_READ, FILES_WRITE
from gateway.openai.files import write_file
from servicekit.errors import Reason, SixfoldError

router = APIRouter(prefix="/v1/files", tags=["files"])


def files_of(deps: Deps) -> FilesService:
    """The service behind these routes. Raises SERVICE_UNAVAILABLE where none is wired."""
    if deps.files is None:
        raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "There are no files here.")
    return deps.files


async def reader(caller: Caller) -> Principal:
    """Refuses others first. The service asks again."""
    require(caller, FILES_READ)
    return caller


async def writer(caller: Caller) -> Principal:
    """Refuses others before their body is looked at. The service asks again."""
    require(caller, FILES_WRITE)
    return caller


Files = Annotated[FilesService, Depends(files_of)]
Reader = Annotated[Principal, Depends(reader)]
Writer = Annotated[Principal, Depends(writer)]


class File(BaseModel):
    """A file. Times are Unix seconds."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int = Field(0, description="Only where it expires.")
    filename: str = Field(description="As it was sent, without any path.")
    purpose: Purpose = Field(description="`batch_output` and `fine-tune-results` are what jobs left.")
    status: Literal["processed"] = Field(description="A stored file can be used; stores tell of indexing.")
    sha256: str = Field(description="Of the content, in hexadecimal digits.")


class FileList(BaseModel):
    """A page of files; `after=<last_id>` asks for the next."""

    object: Literal["list"] = "list"
    data: list[File]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedFile(BaseModel):
    """The file is gone, from every store and every answer."""

    id: str
    object: Literal["file"] = "file"
    deleted: bool = True


@router.get("", summary="List files", response_model=FileList, description="Needs the scope `files:read`.")
async def list_files(
    caller: Reader,
    files: Files,
    purpose: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    order: Annotated[Literal["asc", "desc"], Query(description="By the time of creation.")] = "desc",
    after: Annotated[str | None, Query(max_length=64, description="The last id of the page before.")] = None,
) -> Response:
    found, more = await files.list(
        caller, purpose=purpose, after=after, ascending=order == "asc", limit=limit
    )
    first, last = (found[0].id, found[-1].id) if found else (None, None)
    page = {"object": "list", "data": [write_file(file) for file in found], "has_more": more}
    return json_response({**page, "first_id": first, "last_id": last})


@router.get(
    "/{file_id}", summary="Show a file", response_model=File, description="Needs the scope `files:read`."
)
async def get_file(file_id: str, caller: Reader, files: Files) -> Response:
    return json_response(write_file(await files.show(caller, file_id)))


@router.delete("/{file_id}", summary="Delete a file", description="Needs the scope `files:write`.")
async def delete_file(file_id: str, caller: Writer, files: Files) -> DeletedFile:
    await files.delete(caller, file_id)
    return DeletedFile(id=file_id)


def json_response(body: dict[str, Any]) -> Response:
    """The answer as it is: a page may have ten thousand files, which a model need not check one by one."""
    return Response(orjson.dumps(body), media_type="application/json")
