"""What files need of the outside: a place for records, and retrieval, which must forget a deleted file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from gateway.files.types import Attempt, FileRecord, Upload, UploadPart


class Finished(NamedTuple):
    """A stored file, and whether it is the first answer to a repeated request."""

    file: FileRecord
    repeated: bool


class Begun(NamedTuple):
    """An upload, and whether it is the first answer to a repeated request."""

    upload: Upload
    repeated: bool


class Owned(NamedTuple):
    """Something of a tenant's, by id."""

    tenant: str
    id: str


class Documents(Protocol):
    """Where files are searched."""

    async def remove(self, tenant: str, subject: str, file_id: str) -> None:
        """When it returns, no search finds the file, and none will. Raises SixfoldError."""
        ...


class FileRecords(Protocol):
    """Records of files. A file is `pending` while its content comes, then `stored`, then `deleting`.

    Only stored files that have not expired are seen by `get`, `get_many` and `list`.
    """

    async def reserve(
        self, owned: Owned, size: int, *, max_total: int, max_files: int, now: float, created_by: str
    ) -> None:
        """A pending file; `size` bytes are set aside. Raises INVALID_REQUEST when there is no room."""
        ...

    async def finish(
        self, file: FileRecord, attempt: Attempt | None, *, max_total: int, now: float
    ) -> Finished:
        """The pending file is stored; or, if the attempt was made before, on its way out.

        Raises ALREADY_EXISTS for an attempt that was made for something else, INVALID_REQUEST when there is
        no room, CONFLICT when the pending file was given up meanwhile.
        """
        ...

    async def made_under(self, token: str) -> str | None:
        """The id of the file that was made under this name, whether it is still there or not."""
        ...

    async def abandon(self, owned: Owned, *, now: float) -> bool:
        """A pending file is on its way out now. False for any other: it may have been stored after all."""
        ...

    async def get(self, tenant: str, file_id: str, *, now: float) -> FileRecord | None: ...
    async def get_many(self, tenant: str, file_ids: Sequence[str], *, now: float) -> Sequence[FileRecord]: ...
    async def list(
        self, tenant: str, *, purpose: str | None, after: str | None, ascending: bool, limit: int, now: float
    ) -> Sequence[FileRecord]: ...

    async def known(self, owned: Owned) -> bool:
        """Whether there is such a file to delete: stored, expired, or on its way out."""
        ...

    async def begin_deletion(self, owned: Owned, *, now: float) -> None:
        """From now on nobody sees it."""
        ...

    async def end_deletion(self, owned: Owned) -> None:
        """Forgets a file that is on its way out."""
        ...

    async def expired(self, *, now: float, limit: int) -> Sequence[Owned]:
        """Stored files whose time is over, of any tenant."""
        ...

    async def half_deleted(self, *, before: float, limit: int) -> Sequence[Owned]:
        """Files on their way out since before `before`."""
        ...

    async def given_up(self, *, before: float, limit: int) -> Sequence[Owned]:
        """Files pending since before `before`."""
        ...


class UploadRecords(Protocol):
    """Records of uploads and their parts."""

    async def begin(
        self, upload: Upload, attempt: Attempt, *, max_total: int, max_files: int, created_by: str
    ) -> Begun:
        """A new upload, whose bytes are set aside; or the first answer. Raises as `FileRecords` does."""
        ...

    async def get(self, tenant: str, upload_id: str) -> Upload | None: ...

    async def add_part(self, tenant: str, part: UploadPart, token: str, *, max_parts: int) -> UploadPart:
        """Adds a part to a pending upload; or gives the one that was added under this token before.

        Raises CONFLICT when the upload takes no more, INVALID_REQUEST when it has too many parts or bytes.
        """
        ...

    async def parts(self, tenant: str, upload_id: str, part_ids: Sequence[str]) -> Sequence[UploadPart]:
        """Those of the upload, in the order of `part_ids`; what is not one of its parts is left out."""
        ...

    async def complete(self, upload: Upload, file: FileRecord, *, now: float) -> Upload:
        """The upload ends in `file`, which was pending; or says how it ended before (`file` is pending then).

        What was set aside for the upload becomes the file's.
        """
        ...

    async def cancel(self, tenant: str, upload_id: str) -> Upload | None:
        """A pending upload ends. One that has ended stays as it is."""
        ...

    async def expire(self, *, now: float, limit: int) -> int:
        """Ends pending uploads whose time is over, of any tenant. Says how many."""
        ...

    async def ended(self, *, limit: int) -> Sequence[Owned]:
        """Uploads that ended and whose parts may still lie there."""
        ...

    async def cleared(self, owned: Owned) -> None:
        """The parts of an upload are gone."""
        ...

    async def forget(self, *, before: float, limit: int) -> None:
        """Removes uploads that ended, were cleared, and are older than `before`; and old attempts."""
        ...
