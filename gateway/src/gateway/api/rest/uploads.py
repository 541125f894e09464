"""/v1/uploads: files that come in parts. The parts themselves stream in `gateway.api.hot.files`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Request, Response
from pydantic import BaseModel, Field

from gateway.api.rest.deps import Deps
from gateway.api.rest.files import File, Writer, json_response
from gateway.api.rest.stores_common import Strict
from gateway.files.names import clean_filename
from gateway.files.types import NewFile, Purpose
from gateway.files.uploads import UploadsService
from gateway.openai.files import write_upload
from gateway.retrieval.repeats import digest, keyed
from servicekit.errors import Reason, SixfoldError

router = APIRouter(prefix="/v1/uploads", tags=["files"])


def uploads_of(deps: Deps) -> UploadsService:
    """The service behind these routes. Raises SERVICE_UNAVAILABLE where none is wired."""
    if deps.uploads is None:
        raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "There are no files here.")
    return deps.uploads


Uploads = Annotated[UploadsService, Depends(uploads_of)]


class Expiry(Strict):
    """When the file goes by itself."""

    anchor: Literal["created_at"]
    seconds: int = Field(ge=3600, le=2_592_000)


class CreateUpload(Strict):
    """A file that is to come in parts."""

    filename: str = Field(min_length=1, max_length=4096)
    purpose: Purpose
    bytes: int = Field(ge=1, le=2**53, description="The parts have this many together.")
    mime_type: str = Field(max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$")
    expires_after: Expiry | None = None


class CompleteUpload(Strict):
    """The parts, in the order of the file."""

    part_ids: list[Annotated[str, Field(max_length=64)]] = Field(min_length=1, max_length=1000)
    md5: str | None = Field(
        None, pattern=r"^[0-9a-fA-F]{32}$", description="Of the whole file; checked where it is given."
    )


class Upload(BaseModel):
    """An upload, and its file when it was completed. Times are Unix seconds."""

    id: str
    object: Literal["upload"] = "upload"
    bytes: int
    created_at: int
    expires_at: int = Field(description="Until when it takes parts.")
    filename: str
    purpose: Purpose
    status: Literal["pending", "completed", "cancelled", "expired"]
    file: File | None


async def named(
    request: Request,
    caller: Writer,
    deps: Deps,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=255,
            pattern=r"^[\x21-\x7e]+$",
            description="A repeat with the same value gets the first answer again, for a day.",
        ),
    ] = None,
    x_stainless_retry_count: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> AsyncIterator[str]:
    """The name of a change. What the official client sends again by itself is known again."""
    method, path = request.method, request.url.path
    if idempotency_key is not None:
        yield keyed(caller, method, path, idempotency_key)
        return
    same = digest(caller, method, path, await request.body())
    name = deps.repeats.begin(same, repeated=x_stainless_retry_count not in (None, "", "0"))
    answered = False
    try:
        yield name
        answered = True
    finally:
        deps.repeats.ended(same, name, answered=answered)


@router.post("", summary="Begin a file that comes in parts", response_model=Upload)
async def create_upload(
    body: CreateUpload, caller: Writer, uploads: Uploads, name: Annotated[str, Depends(named)]
) -> Response:
    """Needs the scope `files:write`."""
    expires_after = None if body.expires_after is None else body.expires_after.seconds
    wanted = NewFile(clean_filename(body.filename), body.purpose, expires_after)
    shown = await uploads.create(caller, wanted, size=body.bytes, mime_type=body.mime_type, token=name)
    return json_response(write_upload(shown))


@router.post("/{upload_id}/complete", summary="Put the parts together", response_model=Upload)
async def complete_upload(upload_id: str, body: CompleteUpload, caller: Writer, uploads: Uploads) -> Response:
    """Needs the scope `files:write`. A repeat gets the first answer again."""
    return json_response(write_upload(await uploads.complete(caller, upload_id, body.part_ids, body.md5)))


@router.post("/{upload_id}/cancel", summary="Give an upload up", response_model=Upload)
async def cancel_upload(upload_id: str, caller: Writer, uploads: Uploads) -> Response:
    """Needs the scope `files:write`. Its parts are removed."""
    return json_response(write_upload(await uploads.cancel(caller, upload_id)))
