"""Where files and uploads are recorded, on SQLite and on a real PostgreSQL: the same promises, with races."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import pytest

from gateway.adapters.files_store import FilesStore
from gateway.adapters.files_tables import metadata
from gateway.adapters.uploads_store import UploadsStore
from gateway.files.ports import Owned
from gateway.files.types import Attempt, FileRecord, Upload, UploadPart
from servicekit.errors import Reason, SixfoldError
from servicekit.store import Store

NOW = 1_800_000_000.25
LOTS = 2**40


class Worker(NamedTuple):
    """One worker's way to the records."""

    files: FilesStore
    uploads: UploadsStore


Pair = tuple[Worker, Worker]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database that is migrated once."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('records')}/gateway.db"
        return
    server = request.getfixturevalue("postgres_server")
    made = server.new_database()
    yield made
    server.drop_database(made)


@pytest.fixture
async def pair(url: str) -> AsyncIterator[Pair]:
    """Two workers before the same, empty records."""
    stores = [await Store.open(url, migrations="gateway:migrations") for _ in range(2)]
    async with stores[0].begin() as connection:
        for table in reversed(metadata.sorted_tables):
            await connection.execute(table.delete())
    first, second = (Worker(FilesStore(store), UploadsStore(store)) for store in stores)
    yield first, second
    for store in stores:
        await store.close()


def file_of(tenant: str = "acme", **changes: object) -> FileRecord:
    name, digest = f"file-{secrets.token_hex(12)}", secrets.token_hex(32)
    fields: dict[str, object] = {
        "id": name, "tenant": tenant, "filename": "план 🔑.pdf", "bytes": 5_000_000_000, "sha256": digest,
        "object_key": f"{tenant}/{name}/{digest}", "created_at": NOW, "purpose": "fine-tune",
    } | changes  # fmt: skip
    return FileRecord(**fields)  # type: ignore[arg-type]


def attempt_of(token: str, fingerprint: bytes = b"f" * 32, until: float = NOW + 60) -> Attempt:
    return Attempt(token, fingerprint, until)


async def reserve(
    worker: Worker, file: FileRecord, size: int = 0, *, total: int = LOTS, count: int = 1000
) -> FileRecord:
    await worker.files.reserve(
        Owned(file.tenant, file.id), size, max_total=total, max_files=count, now=NOW, created_by="ada"
    )
    return file


async def keep(worker: Worker, file: FileRecord, attempt: Attempt | None = None) -> FileRecord:
    await reserve(worker, file)
    return (await worker.files.finish(file, attempt, max_total=LOTS, now=NOW)).file


async def refused(work: object) -> Reason:
    with pytest.raises(SixfoldError) as caught:
        await work  # type: ignore[misc]
    return caught.value.reason


async def test_what_goes_in_comes_out(pair: Pair) -> None:
    one, other = pair
    file = await keep(one, file_of(expires_at=NOW + 60))
    assert await other.files.get("acme", file.id, now=NOW) == file
    assert await other.files.get_many("acme", [file.id] * 3, now=NOW) == [file]
    assert await other.files.get("acme", file.id, now=NOW + 60) is None
    pending = await reserve(one, file_of())
    assert await other.files.get("acme", pending.id, now=NOW) is None
    assert not await other.files.known(Owned("acme", pending.id))


async def test_a_tenant_is_part_of_every_question(pair: Pair) -> None:
    one, _ = pair
    file = await keep(one, file_of())
    theirs = Owned("umbrella", file.id)
    assert await one.files.get("umbrella", file.id, now=NOW) is None
    assert await one.files.get_many("umbrella", [file.id], now=NOW) == []
    assert await one.files.list("umbrella", purpose=None, after=None, ascending=True, limit=9, now=NOW) == []
    assert (
        await one.files.list("umbrella", purpose=None, after=file.id, ascending=True, limit=9, now=NOW) == []
    )
    assert not await one.files.known(theirs)
    await one.files.begin_deletion(theirs, now=NOW)
    await one.files.end_deletion(theirs)
    assert not await one.files.abandon(theirs, now=NOW)
    assert await one.files.get("acme", file.id, now=NOW) == file


async def test_pages_hold_still_while_files_come(pair: Pair) -> None:
    """Many files of one moment have one order all the same."""
    one, _ = pair
    made = [(await keep(one, file_of(created_at=NOW + n // 3))).id for n in range(7)]
    for ascending in (True, False):
        seen: list[str] = []
        while page := await one.files.list(
            "acme",
            purpose="fine-tune",
            after=seen[-1] if seen else None,
            ascending=ascending,
            limit=2,
            now=NOW + 9,
        ):
            seen += [file.id for file in page]
            await keep(one, file_of(purpose="vision", created_at=NOW + 1))
        assert sorted(seen) == sorted(made)
        assert len(seen) == 7
    assert await one.files.get_many("acme", made * 200, now=NOW + 9)


async def test_a_crowd_does_not_fit_into_room_for_few(pair: Pair) -> None:
    done = await asyncio.gather(
        *(reserve(pair[n % 2], file_of(), 10, total=35) for n in range(8)), return_exceptions=True
    )
    assert sum(isinstance(each, FileRecord) for each in done) == 3
    assert {each.reason for each in done if isinstance(each, SixfoldError)} == {Reason.INVALID_REQUEST}
    await reserve(pair[0], file_of("umbrella"), 35, total=35)


async def test_one_attempt_makes_one_file(pair: Pair) -> None:
    token = secrets.token_hex(16)
    made = await asyncio.gather(*(keep(pair[n % 2], file_of(), attempt_of(token)) for n in range(8)))
    assert len({file.id for file in made}) == 1
    listed = await pair[0].files.list("acme", purpose=None, after=None, ascending=True, limit=9, now=NOW)
    assert [file.id for file in listed] == [made[0].id]
    assert len(await pair[0].files.half_deleted(before=NOW + 1, limit=99)) == 7  # their bytes are to go
    assert await refused(keep(pair[1], file_of(), attempt_of(token, b"g" * 32))) is Reason.ALREADY_EXISTS
    later = await reserve(pair[0], file_of())
    late = attempt_of(token, b"g" * 32, NOW + 200)
    assert not (await pair[0].files.finish(later, late, max_total=LOTS, now=NOW + 60)).repeated


async def test_a_file_is_stored_or_given_up_and_never_both(pair: Pair) -> None:
    one, other = pair
    for _ in range(6):
        file = await reserve(one, file_of())
        finished, abandoned = await asyncio.gather(
            one.files.finish(file, None, max_total=LOTS, now=NOW),
            other.files.abandon(Owned("acme", file.id), now=NOW),
            return_exceptions=True,
        )
        stored = await one.files.get("acme", file.id, now=NOW)
        assert (stored is None) == (abandoned is True)
        assert isinstance(finished, SixfoldError) == (abandoned is True)


async def test_a_deletion_gives_its_room_back_once(pair: Pair) -> None:
    one, other = pair
    file = await reserve(one, file_of(bytes=30), 30, total=30)
    await one.files.finish(file, attempt_of("token"), max_total=30, now=NOW)
    owned = Owned("acme", file.id)
    await one.files.begin_deletion(owned, now=NOW)
    assert await one.files.known(owned)  # to be deleted again
    assert await one.files.get("acme", file.id, now=NOW) is None
    await asyncio.gather(*(worker.files.end_deletion(owned) for worker in (one, other, one, other)))
    assert not await one.files.known(owned)
    await reserve(one, file_of(), 30, total=30)
    assert await refused(reserve(one, file_of(), 1, total=30)) is Reason.INVALID_REQUEST


def upload_of(size: int = 10) -> Upload:
    return Upload(
        f"upload_{secrets.token_hex(12)}", "acme", "a.txt", "vision", size, "text/plain", NOW, NOW + 3600
    )


async def begin(worker: Worker, upload: Upload, token: str, total: int = LOTS) -> Upload:
    made = await worker.uploads.begin(
        upload, attempt_of(token), max_total=total, max_files=100, created_by="ada"
    )
    return made.upload


def part_of(upload: Upload, size: int = 5) -> UploadPart:
    return UploadPart(f"part_{secrets.token_hex(12)}", upload.id, size, f"acme/{upload.id}/{'0' * 64}", NOW)


async def test_uploads_from_begin_to_end(pair: Pair) -> None:
    one, other = pair
    upload = await begin(one, upload_of(), "token", total=10)
    assert await begin(other, upload_of(), "token", total=10) == upload
    assert await other.uploads.get("acme", upload.id) == upload
    assert await other.uploads.get("umbrella", upload.id) is None
    parts = [await one.uploads.add_part("acme", part_of(upload), f"t{n}", max_parts=9) for n in range(2)]
    assert await other.uploads.add_part("acme", part_of(upload), "t0", max_parts=9) == parts[0]
    assert (
        await refused(one.uploads.add_part("umbrella", part_of(upload), "x", max_parts=9)) is Reason.CONFLICT
    )
    assert (
        await refused(one.uploads.add_part("acme", part_of(upload), "x", max_parts=2))
        is Reason.INVALID_REQUEST
    )
    assert await refused(one.uploads.add_part("acme", part_of(upload, 11), "x", max_parts=9)) is (
        Reason.INVALID_REQUEST
    )
    ids = [parts[1].id, "part_unknown", parts[0].id]
    assert await other.uploads.parts("acme", upload.id, ids) == parts[::-1]
    assert await other.uploads.parts("umbrella", upload.id, ids) == []
    files = [await reserve(one, file_of(bytes=10)) for _ in range(4)]
    ended = await asyncio.gather(
        *(pair[n % 2].uploads.complete(upload, file, now=NOW) for n, file in enumerate(files))
    )
    assert len({each.file_id for each in ended}) == 1
    assert {each.state for each in ended} == {"completed"}
    stored = [file for file in files if await one.files.get("acme", file.id, now=NOW)]
    assert [file.id for file in stored] == [ended[0].file_id]
    assert (await one.uploads.cancel("acme", upload.id)) == ended[0]
    assert await one.uploads.ended(limit=9) == [Owned("acme", upload.id)]
    await one.uploads.cleared(Owned("acme", upload.id))
    assert await one.uploads.ended(limit=9) == []
    assert await one.uploads.parts("acme", upload.id, ids) == []
    await one.uploads.forget(before=NOW + 1, limit=9)
    assert await one.uploads.get("acme", upload.id) is None


async def test_an_upload_ends_once_and_gives_its_room_back_once(pair: Pair) -> None:
    one, other = pair
    upload = await begin(one, upload_of(30), "token", total=30)
    assert await refused(begin(one, upload_of(1), "other", total=30)) is Reason.INVALID_REQUEST
    await asyncio.gather(
        one.uploads.cancel("acme", upload.id),
        other.uploads.cancel("acme", upload.id),
        other.uploads.expire(now=NOW + 3600, limit=9),
    )
    ended = await one.uploads.get("acme", upload.id)
    assert ended is not None
    assert ended.state in ("cancelled", "expired")
    again = await begin(one, upload_of(30), "another", total=30)
    assert again.state == "pending"
    assert await refused(begin(one, upload_of(1), "other", total=30)) is Reason.INVALID_REQUEST
    assert await one.uploads.cancel("umbrella", again.id) is None
