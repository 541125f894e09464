"""Files that come in parts: begun with their size, sent in any order, then put together."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, suppress
from typing import NamedTuple

from gateway.files.ports import Owned, UploadRecords
from gateway.files.service import FilesService, Receiving, namespace
from gateway.files.types import Attempt, FileRecord, FileRules, NewFile, Upload, UploadPart
from gateway.identity.principal import Principal, require
from gateway.identity.roles import FILES_WRITE
from gateway.openai import fields
from servicekit.errors import Reason, SixfoldError
from servicekit.objects import Objects, Stored

UPLOAD, PART = "upload_", "part_"


class Shown(NamedTuple):
    """An upload, and the file that it became."""

    upload: Upload
    file: FileRecord | None = None


class UploadsService:
    """Uploads of the caller's tenant. Methods raise SixfoldError: PERMISSION_DENIED without the scope."""

    def __init__(
        self,
        records: UploadRecords,
        files: FilesService,
        objects: Objects,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._records = records
        self._files = files
        self._objects = objects
        self._clock = clock

    @property
    def rules(self) -> FileRules:
        """Bounds."""
        return self._files.rules

    async def create(
        self, caller: Principal, wanted: NewFile, *, size: int, mime_type: str, token: str
    ) -> Shown:
        """A new upload of `size` bytes. `token` names the request, as for `FilesService.finish`.

        Raises REQUEST_TOO_LARGE, INVALID_REQUEST when the tenant has no room for it, ALREADY_EXISTS.
        """
        require(caller, FILES_WRITE)
        if size > self.rules.max_file:
            raise SixfoldError(
                Reason.REQUEST_TOO_LARGE,
                f"A file has at most {self.rules.max_file} bytes.",
                param="bytes",
                metadata={"limit": str(self.rules.max_file)},
            )
        now = self._clock()
        upload = Upload(
            id=f"{UPLOAD}{secrets.token_hex(12)}",
            tenant=caller.tenant,
            filename=wanted.filename,
            purpose=wanted.purpose,
            bytes=size,
            mime_type=mime_type,
            created_at=now,
            expires_at=now + self.rules.upload_lifetime,
            file_expires_after=wanted.expires_after,
        )
        said = (wanted.filename, wanted.purpose, wanted.expires_after, size, mime_type)
        fingerprint = hashlib.sha256(repr(said).encode()).digest()
        attempt = Attempt(token, fingerprint, now + self.rules.remember_attempts)
        begun = await self._records.begin(
            upload,
            attempt,
            max_total=self.rules.max_total,
            max_files=self.rules.max_files,
            created_by=caller.subject,
        )
        return await self._shown(begun.upload)

    async def expecting(self, caller: Principal, upload_id: str) -> Upload:
        """An upload that takes parts. Raises NOT_FOUND, and CONFLICT when it ended."""
        require(caller, FILES_WRITE)
        upload = await self._get(caller.tenant, upload_id)
        self._check_open(upload)
        return upload

    async def store_part(self, upload: Upload, chunks: AsyncIterator[bytes]) -> Stored:
        """Puts the bytes of a part into the object store. Raises REQUEST_TOO_LARGE, and for an empty part.

        Each has a place of its own below the upload's, so that one that is refused can go alone.
        """
        limit = min(self.rules.max_part, upload.bytes)
        place = f"{namespace(Owned(upload.tenant, upload.id))}/{secrets.token_hex(12)}"
        stored = await self._objects.put(place, chunks, limit=limit)
        if not stored.bytes:
            await self._drop(stored)
            raise fields.invalid("data", "a part has at least one byte.")
        return stored

    async def add_part(self, upload: Upload, stored: Stored, token: str) -> UploadPart:
        """A new part. `token` names the request: the same again gets the same part.

        Raises INVALID_REQUEST for too many parts or bytes, CONFLICT when the upload ended meanwhile. What is
        not added is removed: nobody counts it, and the upload may be cleared already.
        """
        part_id = f"{PART}{secrets.token_hex(12)}"
        part = UploadPart(part_id, upload.id, stored.bytes, stored.key, self._clock())
        try:
            added = await self._records.add_part(upload.tenant, part, token, max_parts=self.rules.max_parts)
        except SixfoldError as error:
            if error.reason in (Reason.INVALID_REQUEST, Reason.CONFLICT):  # after others it may be there
                await self._drop(stored)
            raise
        if added.object_key != stored.key:
            await self._drop(stored)
        return added

    async def _drop(self, stored: Stored) -> None:
        """Removes the bytes of one part; what fails now goes with the upload."""
        with suppress(SixfoldError):
            await self._objects.delete(stored.key.rpartition("/")[0])

    async def complete(
        self, caller: Principal, upload_id: str, part_ids: Sequence[str], md5: str | None
    ) -> Shown:
        """Puts the parts together, in this order. One that was completed before is shown again.

        Raises INVALID_REQUEST when parts are missing, or size or MD5 do not match; CONFLICT when it ended.
        """
        require(caller, FILES_WRITE)
        upload = await self._get(caller.tenant, upload_id)
        if upload.state == "completed":
            return await self._shown(upload)
        self._check_open(upload)
        parts = await self._checked_parts(upload, part_ids)
        async with self._files.receive(caller, 0) as receiving:
            ended = await self._assemble(upload, parts, receiving, md5)
            if ended.file_id != receiving.owned.id:  # another request was quicker, to this end or another
                self._check_open(ended, also="completed")
                await self._files.abandon(receiving.owned)
        return await self._shown(ended)

    async def _assemble(
        self, upload: Upload, parts: Sequence[UploadPart], receiving: Receiving, md5: str | None
    ) -> Upload:
        digest = hashlib.md5(usedforsecurity=False)

        async def content() -> AsyncIterator[bytes]:
            for part in parts:
                async with aclosing(self._objects.read(part.object_key)) as pieces:
                    async for piece in pieces:
                        digest.update(piece)
                        yield piece

        stored = await receiving.take(content())
        if md5 is not None and digest.hexdigest() != md5.lower():
            raise fields.invalid("md5", "does not match the content of the parts.")
        wanted = NewFile(upload.filename, upload.purpose, upload.file_expires_after)
        file = self._files.record_of(receiving.owned, wanted, stored)
        return await self._records.complete(upload, file, now=self._clock())

    async def cancel(self, caller: Principal, upload_id: str) -> Shown:
        """Ends an upload; its parts go. A cancelled one is shown again. Raises CONFLICT for any other."""
        require(caller, FILES_WRITE)
        await self._get(caller.tenant, upload_id)
        upload = await self._records.cancel(caller.tenant, upload_id)
        if upload is None:
            raise _not_found(upload_id)
        self._check_open(upload, also="cancelled")
        return await self._shown(upload)

    async def _checked_parts(self, upload: Upload, part_ids: Sequence[str]) -> Sequence[UploadPart]:
        if len(set(part_ids)) != len(part_ids):
            raise fields.invalid("part_ids", "names a part twice.")
        parts = await self._records.parts(upload.tenant, upload.id, part_ids)
        if len(parts) != len(part_ids):
            raise fields.invalid("part_ids", "names what is no part of this upload.")
        size = sum(part.bytes for part in parts)
        if size != upload.bytes:
            raise fields.invalid(
                "part_ids", f"the parts have {size} bytes together, the upload was to have {upload.bytes}."
            )
        return parts

    async def _get(self, tenant: str, upload_id: str) -> Upload:
        upload = await self._records.get(tenant, upload_id)
        if upload is None:
            raise _not_found(upload_id)
        return upload

    def _check_open(self, upload: Upload, also: str = "pending") -> None:
        """Raises CONFLICT unless the upload is pending and in time, or is what `also` names."""
        state = upload.state
        if state == "pending" and upload.expires_at <= self._clock():
            state = "expired"
        if state not in ("pending", also):
            raise SixfoldError(Reason.INVALID_REQUEST, f"The upload is {state}.", param="upload_id")

    async def _shown(self, upload: Upload) -> Shown:
        if upload.state == "pending" and upload.expires_at <= self._clock():
            return Shown(upload)
        if upload.file_id is None:
            return Shown(upload)
        found = await self._files.get_many(upload.tenant, [upload.file_id])
        return Shown(upload, found[0] if found else None)


def _not_found(upload_id: str) -> SixfoldError:
    shown = (
        f"'{upload_id}'" if len(upload_id) <= 64 and upload_id.isascii() and upload_id.isprintable() else ""
    )
    return SixfoldError(
        Reason.NOT_FOUND,
        f"The upload {shown or 'asked for'} does not exist or you do not have access to it.",
    )
