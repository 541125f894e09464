"""What callers may do with files: always their own tenant's, and only with the scope for it."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from gateway.files.ports import Documents, FileRecords, Finished, Owned
from gateway.files.types import ADOPTED, BATCH_LIFETIME, Attempt, FileRecord, FileRules, NewFile
from gateway.identity.principal import Principal, require
from gateway.identity.roles import FILES_READ, FILES_WRITE
from gateway.retrieval.ids import FILE, check_cursor, check_id, not_found
from gateway.retrieval.types import FileRef
from servicekit.errors import Reason, SixfoldError
from servicekit.objects import Objects, Stored

_GATEWAY = "gateway"
"""Who deletes what has expired."""
_OF_BATCHES = ("batch", "batch_output")
_FOR_GOOD = 10 * 365 * 86_400.0
"""Seconds for which it is known that something was adopted."""


class Receiving:
    """A file on its way in."""

    def __init__(self, owned: Owned, objects: Objects, rules: FileRules) -> None:
        self.owned = owned
        self._objects = objects
        self._rules = rules
        self.stored: Stored | None = None

    async def take(self, chunks: AsyncIterator[bytes]) -> Stored:
        """Puts the content into the object store. Raises REQUEST_TOO_LARGE, SERVICE_UNAVAILABLE."""
        self.stored = await self._objects.put(namespace(self.owned), chunks, limit=self._rules.max_file)
        return self.stored


class FilesService:
    """Files. Every method raises SixfoldError: PERMISSION_DENIED without the scope, NOT_FOUND for what is
    not the caller's tenant's, SERVICE_UNAVAILABLE while records or objects are away."""

    def __init__(
        self,
        records: FileRecords,
        objects: Objects,
        documents: Documents,
        rules: FileRules | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._records = records
        self._objects = objects
        self._documents = documents
        self.rules = rules or FileRules()
        self._clock = clock

    @asynccontextmanager
    async def receive(self, caller: Principal, expected: int) -> AsyncIterator[Receiving]:
        """A file that comes in within the block, and that leaves nothing unless `finish` was called.

        `expected` bytes are set aside meanwhile; 0 when nobody knows. The record is there before the first
        byte, so that whatever a crash leaves is known and removed.
        """
        require(caller, FILES_WRITE)
        async with self._receive(caller.tenant, caller.subject, expected) as receiving:
            yield receiving

    @asynccontextmanager
    async def _receive(self, tenant: str, subject: str, expected: int) -> AsyncIterator[Receiving]:
        owned = Owned(tenant, f"{FILE}{secrets.token_hex(12)}")
        rules, now = self.rules, self._clock()
        await self._records.reserve(
            owned,
            expected,
            max_total=rules.max_total,
            max_files=rules.max_files,
            now=now,
            created_by=subject,
        )
        try:
            yield Receiving(owned, self._objects, rules)
        except BaseException as error:
            if isinstance(error, SixfoldError) and error.reason is Reason.CONFLICT:
                # The sweep gave it up and forgot it before its bytes were there: nobody else removes them.
                with suppress(SixfoldError):
                    await self._objects.delete(namespace(owned))
            await self._give_up(owned)
            raise

    async def finish(
        self, receiving: Receiving, wanted: NewFile, token: str, *, remember: float | None = None
    ) -> Finished:
        """The file is there. `token` names the request: the same again gets the same file, for `remember`
        seconds; None takes the rules' day.

        Raises ALREADY_EXISTS when the token was used for another file.
        """
        stored = receiving.stored
        assert stored is not None, "take comes first"
        record = self.record_of(receiving.owned, wanted, stored)
        attempt = self._attempt(token, wanted, stored.sha256, remember or self.rules.remember_attempts)
        done = await self._records.finish(
            record, attempt, max_total=self.rules.max_total, now=record.created_at
        )
        if done.repeated:
            with suppress(SixfoldError):  # the sweep goes on with it
                await self._end(receiving.owned)
        return done

    async def adopt(
        self, tenant: str, subject: str, token: str, object_key: str, size: int, wanted: NewFile
    ) -> str:
        """The id of the tenant's own file with the content of an object that a job of the tenant's left.

        One `token`, one file: it is copied when it is first asked for, and not again once it was deleted.
        For those who have asked for the scope already. Raises INVALID_REQUEST when there is no room.
        """
        same = hashlib.blake2b(repr((tenant, token)).encode(), digest_size=24).hexdigest()
        token = f"{ADOPTED}{same}"
        made = await self._records.made_under(token)
        if made is not None:
            return made
        if not object_key.startswith(f"{tenant}/"):
            raise SixfoldError(Reason.NOT_FOUND, "What the job left is not there.")
        async with self._receive(tenant, subject, size) as receiving:
            await receiving.take(self._objects.read(object_key))
            return (await self.finish(receiving, wanted, token, remember=_FOR_GOOD)).file.id

    async def get(self, tenant: str, file_id: str) -> FileRecord:
        """One file of a tenant. For those who have asked for the scope already."""
        check_id(FILE, file_id)
        record = await self._records.get(tenant, file_id, now=self._clock())
        if record is None:
            raise not_found(FILE, file_id)
        return record

    async def get_many(self, tenant: str, file_ids: Sequence[str]) -> Sequence[FileRecord]:
        """Those of `file_ids` that are the tenant's, in any order."""
        return await self._records.get_many(tenant, file_ids, now=self._clock())

    async def refs(self, tenant: str, file_ids: Sequence[str]) -> dict[str, FileRef]:
        """The same, as the retrieval service wants to know them."""
        return {
            file.id: FileRef(
                file.id, file.filename, file.bytes, file.sha256, file.object_key, int(file.created_at)
            )
            for file in await self.get_many(tenant, file_ids)
        }

    async def show(self, caller: Principal, file_id: str) -> FileRecord:
        """One file of the caller's."""
        require(caller, FILES_READ)
        return await self.get(caller.tenant, file_id)

    async def list(
        self, caller: Principal, *, purpose: str | None, after: str | None, ascending: bool, limit: int
    ) -> tuple[Sequence[FileRecord], bool]:
        """The tenant's files by the time they were made, and whether there are more behind them."""
        require(caller, FILES_READ)
        check_cursor(FILE, after, "after")
        files = await self._records.list(
            caller.tenant,
            purpose=purpose,
            after=after,
            ascending=ascending,
            limit=limit + 1,
            now=self._clock(),
        )
        return files[:limit], len(files) > limit

    def content(self, file: FileRecord) -> AsyncGenerator[bytes, None]:
        """A file's bytes. The last come only when the whole was checked; DATA_LOSS otherwise."""
        return self._objects.read(file.object_key)

    async def delete(self, caller: Principal, file_id: str) -> None:
        """Takes a file out of every store, then removes it. What a crash leaves half done, a repeat ends."""
        require(caller, FILES_WRITE)
        check_id(FILE, file_id)
        owned = Owned(caller.tenant, file_id)
        if not await self._records.known(owned):
            raise not_found(FILE, file_id)
        await self.remove(owned, caller.subject)

    async def remove(self, owned: Owned, subject: str = _GATEWAY) -> None:
        """Deletes a file: searches first, so that nothing is found whose source is gone; then the bytes."""
        await self._documents.remove(owned.tenant, subject, owned.id)
        await self._records.begin_deletion(owned, now=self._clock())
        await self._end(owned)

    async def _end(self, owned: Owned) -> None:
        """Bytes first: the record finds them again when this is cut short."""
        await self._objects.delete(namespace(owned))
        await self._records.end_deletion(owned)

    def record_of(self, owned: Owned, wanted: NewFile, stored: Stored) -> FileRecord:
        """The record of a file that is stored now."""
        now = self._clock()
        lifetime = wanted.expires_after or (BATCH_LIFETIME if wanted.purpose in _OF_BATCHES else None)
        return FileRecord(
            id=owned.id,
            tenant=owned.tenant,
            filename=wanted.filename,
            bytes=stored.bytes,
            sha256=stored.sha256,
            object_key=stored.key,
            created_at=now,
            purpose=wanted.purpose,
            expires_at=None if lifetime is None else now + lifetime,
        )

    async def abandon(self, owned: Owned) -> None:
        """Removes what there is of a file that never came to be."""
        if await self._records.abandon(owned, now=self._clock()):
            await self._end(owned)

    async def _give_up(self, owned: Owned) -> None:
        """As `abandon`; what fails now, the sweep does later."""
        with suppress(SixfoldError):
            await self.abandon(owned)

    def _attempt(self, token: str, wanted: NewFile, sha256: str, seconds: float) -> Attempt:
        said = (wanted.filename, wanted.purpose, wanted.expires_after, sha256)
        fingerprint = hashlib.sha256(repr(said).encode()).digest()
        return Attempt(token, fingerprint, self._clock() + seconds)


def namespace(owned: Owned) -> str:
    """Where the object store has what is this file's, or this upload's, alone."""
    return f"{owned.tenant}/{owned.id}"
