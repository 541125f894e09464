"""Files: names, limits, deletions that are cut short at every step, and what the sweep finds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.adapters.files_store import FilesStore
from gateway.adapters.uploads_store import UploadsStore
from gateway.files.names import clean_filename
from gateway.files.ports import Owned
from gateway.files.service import FilesService
from gateway.files.sweep import Sweep
from gateway.files.types import FileRecord, FileRules, NewFile
from gateway.files.uploads import UploadsService
from gateway.identity.principal import Principal
from gateway.identity.roles import ROLES
from gateway.openai.files import parse_expiry
from servicekit.errors import Reason, SixfoldError
from servicekit.objects import open_objects

ADA = Principal("acme", "ada", "member", ROLES["member"], "jwt", None, None)
NOTES = NewFile("notes.md", "assistants")


class Documents:
    """What searches know. `away` makes it answer as a service that is."""

    def __init__(self) -> None:
        self.removed: list[tuple[str, str]] = []
        self.away = False

    async def remove(self, tenant: str, subject: str, file_id: str) -> None:
        if self.away:
            raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "Not now.")
        self.removed.append((tenant, file_id))


class Flaky:
    """Passes calls on, until the one that is named fails: before it does anything, or after."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.fails: tuple[str, str] | None = None

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if self.fails is None or self.fails[0] != name:
            return method

        async def failing(*args: Any, **options: Any) -> Any:
            if self.fails is not None and self.fails[1] == "after":
                await method(*args, **options)
            raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "Cut short.")

        return failing


class Room:
    """Files, wired as bootstrap does, over a database and a folder of this test."""

    def __init__(self, store: Any, folder: Path, clock: Any, **rules: Any) -> None:
        self.folder = folder
        self.clock = clock
        self.objects = cast("Any", Flaky(open_objects(f"file://{folder}")))
        self.records = cast("Any", Flaky(FilesStore(store)))
        self.parts = UploadsStore(store)
        self.documents = Documents()
        self.files = FilesService(self.records, self.objects, self.documents, FileRules(**rules), clock=clock)
        self.uploads = UploadsService(self.parts, self.files, self.objects, clock=clock)
        self.sweep = Sweep(self.files, self.records, self.parts, self.objects, period=60, clock=clock)

    async def add(self, data: bytes = b"# Notes", wanted: NewFile = NOTES, token: str = "") -> FileRecord:
        async with self.files.receive(ADA, len(data)) as receiving:
            await receiving.take(pieces(data))
            name = token or f"new-{receiving.owned.id}"
            return (await self.files.finish(receiving, wanted, name)).file

    def left(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file()]

    async def count(self) -> int:
        return len(
            await self.records.list(
                "acme", purpose=None, after=None, ascending=True, limit=100, now=self.clock()
            )
        )


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    yield data


@pytest.fixture
async def make_room(open_store: Any, tmp_path: Path, clock: Any) -> AsyncIterator[Callable[..., Any]]:
    opened: list[Any] = []

    async def make(**rules: Any) -> Room:
        store = await open_store(tmp_path / f"gateway{len(opened)}.db")
        room = Room(store, tmp_path / f"objects{len(opened)}", clock, **rules)
        opened.extend((store, room.objects))
        return room

    yield make
    for each in opened:
        await each.close()


@pytest.fixture
async def room(make_room: Any) -> Room:
    made: Room = await make_room()
    return made


async def reason(work: Any) -> Reason:
    with pytest.raises(SixfoldError) as caught:
        await work
    return caught.value.reason


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("notes.md", "notes.md"),
        ("/etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("a\0b\r\nc.txt", "abc.txt"),
        ("  two  words .txt ", "two words .txt"),
        ("e\u0301.txt", "é.txt"),
        ("\u200b\ufeff", "unnamed"),
        (".", "unnamed"),
        (".env", ".env"),
        ("界" * 100 + ".pdf", "界" * 83 + ".pdf"),
        ("x" * 400, "x" * 255),
        ("a." + "b" * 300, ("a." + "b" * 300)[:255]),
    ],
    ids=repr,
)
def test_names_for_people(name: str, clean: str) -> None:
    assert clean_filename(name) == clean
    assert clean_filename(clean) == clean


def test_expiry_as_forms_give_it() -> None:
    assert parse_expiry(None, None) is None
    assert parse_expiry("created_at", "3600") == 3600
    for anchor, seconds in (
        ("created_at", None), (None, "3600"), ("x", "3600"), ("created_at", "3599"),
        ("created_at", "2592001"), ("created_at", "-1"), ("created_at", "3600.0"),
        ("created_at", "٣٦٠٠"), ("created_at", "9" * 99),
    ):  # fmt: skip
        with pytest.raises(SixfoldError):
            parse_expiry(anchor, seconds)


async def test_what_others_need_to_know_of_a_file(room: Room) -> None:
    file = await room.add()
    refs = await room.files.refs("acme", [file.id, "file-" + "0" * 24, file.id])
    assert list(refs) == [file.id]
    ref = refs[file.id]
    assert (ref.filename, ref.bytes, ref.sha256) == ("notes.md", 7, file.sha256)
    assert ref.object_key == f"acme/{file.id}/{file.sha256}"
    assert ref.created_at == int(room.clock())
    assert await room.files.refs("umbrella", [file.id]) == {}
    assert await room.files.refs("acme", []) == {}
    assert await reason(room.files.get("umbrella", file.id)) is Reason.NOT_FOUND
    assert await room.files.get("acme", file.id) == file


STEPS = [
    (part, call, when)
    for part, call in (("records", "begin_deletion"), ("objects", "delete"), ("records", "end_deletion"))
    for when in ("before", "after")
]


@pytest.mark.parametrize(("part", "call", "when"), STEPS, ids=lambda value: str(value))
@pytest.mark.parametrize("ends", ["repeat", "sweep"])
async def test_a_deletion_that_is_cut_short_can_be_ended(
    room: Room, part: str, call: str, when: str, ends: str
) -> None:
    other = await room.add(b"other")
    file = await room.add()
    getattr(room, part).fails = (call, when)
    assert await reason(room.files.delete(ADA, file.id)) is Reason.SERVICE_UNAVAILABLE
    getattr(room, part).fails = None
    assert room.documents.removed[0] == ("acme", file.id)  # searches forget first, whatever fails then
    if ends == "repeat":
        with suppress(SixfoldError):  # NOT_FOUND where nothing but the answer was missing
            await room.files.delete(ADA, file.id)
    else:
        room.clock.pass_by(61)
        await room.sweep.once()
        if call == "begin_deletion" and when == "before":  # nothing was begun: it is still there, and whole
            assert (await room.files.get("acme", file.id)) == file
            await room.files.delete(ADA, file.id)
    assert await reason(room.files.get("acme", file.id)) is Reason.NOT_FOUND
    assert await reason(room.files.delete(ADA, file.id)) is Reason.NOT_FOUND
    assert [path.parent.name for path in room.left()] == [other.id]


async def test_nothing_is_deleted_while_searches_cannot_forget(room: Room) -> None:
    file = await room.add()
    room.documents.away = True
    assert await reason(room.files.delete(ADA, file.id)) is Reason.SERVICE_UNAVAILABLE
    assert await room.files.get("acme", file.id) == file
    assert len(room.left()) == 1


async def test_an_expired_file_is_gone_at_once_and_removed_later(room: Room) -> None:
    file = await room.add(wanted=NewFile("a.txt", "assistants", 3600))
    room.clock.pass_by(3600)
    assert await reason(room.files.get("acme", file.id)) is Reason.NOT_FOUND
    assert await room.files.refs("acme", [file.id]) == {}
    assert await room.count() == 0
    room.documents.away = True
    await room.sweep.once()  # retrieval is away: later
    assert len(room.left()) == 1
    room.documents.away = False
    await room.sweep.once()
    assert room.left() == []
    assert room.documents.removed == [("acme", file.id)]


async def test_what_a_crash_leaves_is_swept(room: Room) -> None:
    """The record is there before the bytes, so the sweep finds both."""
    room.records.fails = ("abandon", "before")  # the process ended before it could clean up

    async def crash() -> None:
        async with room.files.receive(ADA, 10) as receiving:
            await receiving.take(pieces(b"0123456789"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await crash()
    room.records.fails = None
    assert len(room.left()) == 1
    await room.sweep.once()
    assert len(room.left()) == 1  # it may still be arriving
    room.clock.pass_by(room.files.rules.pending + 1)
    await room.sweep.once()
    assert room.left() == []


async def test_a_record_whose_answer_got_lost_keeps_its_bytes(room: Room) -> None:
    """The database stored the file and the connection broke: this failure must delete nothing."""
    room.records.fails = ("finish", "after")
    assert await reason(room.add()) is Reason.SERVICE_UNAVAILABLE
    room.records.fails = None
    assert await room.count() == 1
    [path] = room.left()
    assert path.read_bytes() == b"# Notes"


async def test_a_file_that_was_given_up_does_not_come_back(room: Room) -> None:
    async with room.files.receive(ADA, 1) as receiving:
        await receiving.take(pieces(b"x"))
        room.clock.pass_by(room.files.rules.pending + 1)
        await room.sweep.once()
        assert await reason(room.files.finish(receiving, NOTES, "t")) is Reason.CONFLICT
    assert await room.count() == 0


async def test_room_is_given_back(make_room: Any) -> None:
    room = await make_room(max_total=10, max_files=2)
    assert await reason(room.add(b"x" * 11)) is Reason.INVALID_REQUEST
    for _ in range(3):
        file = await room.add(b"x" * 10)
        assert await reason(room.add(b"x")) is Reason.INVALID_REQUEST
        await room.files.delete(ADA, file.id)
    await room.add(b"")
    await room.add(b"")
    assert await reason(room.add(b"")) is Reason.INVALID_REQUEST
    theirs = Owned("umbrella", "file-" + "0" * 24)
    await room.records.reserve(theirs, 10, max_total=10, max_files=2, now=0, created_by="x")


async def test_the_same_request_twice_takes_room_once(make_room: Any) -> None:
    room = await make_room(max_total=20, max_files=3)
    first = await room.add(b"x" * 10, token="key-1")
    assert await room.add(b"x" * 10, token="key-1") == first
    assert len(room.left()) == 1
    assert await reason(room.add(b"z" * 10, token="key-1")) is Reason.ALREADY_EXISTS
    await room.add(b"y" * 10)
    assert await room.count() == 2


async def upload_of(room: Room, size: int, token: str = "t") -> Any:
    return (await room.uploads.create(ADA, NOTES, size=size, mime_type="text/plain", token=token)).upload


async def part_of(room: Room, upload: Any, data: bytes, token: str) -> Any:
    stored = await room.uploads.store_part(upload, pieces(data))
    return await room.uploads.add_part(upload, stored, token)


async def test_an_upload_that_nobody_ends_expires(make_room: Any) -> None:
    room = await make_room(max_total=4)
    upload = await upload_of(room, 4)
    part = await part_of(room, upload, b"abcd", "p")
    room.clock.pass_by(3600)
    assert await reason(room.uploads.expecting(ADA, upload.id)) is Reason.INVALID_REQUEST
    assert await reason(room.uploads.complete(ADA, upload.id, [part.id], None)) is Reason.INVALID_REQUEST
    assert len(room.left()) == 1
    await room.sweep.once()
    assert room.left() == []
    await upload_of(room, 4, "another")  # its room is free again
    room.clock.pass_by(86_401)
    await room.sweep.once()
    assert await room.parts.get("acme", upload.id) is None


async def test_a_request_that_is_sent_again_adds_nothing(make_room: Any) -> None:
    room = await make_room(max_files=1)
    upload = await upload_of(room, 4)
    assert await upload_of(room, 4) == upload
    assert await reason(upload_of(room, 5)) is Reason.ALREADY_EXISTS
    first = await part_of(room, upload, b"ab", "p")
    assert await part_of(room, upload, b"ab", "p") == first
    assert (await part_of(room, upload, b"ab", "q")).id != first.id  # the same bytes may come twice in a file
    await part_of(room, upload, b"abcd", "r")
    assert (
        await reason(part_of(room, upload, b"a", "s")) is Reason.INVALID_REQUEST
    )  # twice its size is enough


async def test_the_parts_of_a_completed_upload_are_removed_and_its_file_stays(make_room: Any) -> None:
    room = await make_room(max_total=8, max_files=2)
    upload = await upload_of(room, 4)
    ids = [(await part_of(room, upload, data, data.decode())).id for data in (b"ab", b"cd")]
    done = await room.uploads.complete(ADA, upload.id, ids, None)
    assert done.file is not None
    await room.sweep.once()
    [path] = room.left()
    assert path.read_bytes() == b"abcd"
    assert (await room.uploads.complete(ADA, upload.id, ids, None)).file == done.file
    await room.files.delete(ADA, done.file.id)
    await upload_of(room, 8, "as large as all there is")


async def test_two_requests_complete_one_upload(room: Room) -> None:
    upload = await upload_of(room, 4)
    part = await part_of(room, upload, b"abcd", "p")
    put = room.objects._inner.put
    inner: Any = None

    async def slow(*args: Any, **options: Any) -> Any:
        nonlocal inner
        stored = await put(*args, **options)
        if inner is None:
            inner = True
            inner = await room.uploads.complete(ADA, upload.id, [part.id], None)
        return stored

    room.objects._inner.put = slow
    outer = await room.uploads.complete(ADA, upload.id, [part.id], None)
    assert inner.file == outer.file
    assert await room.count() == 1
    await room.sweep.once()
    assert len(room.left()) == 1


async def test_only_those_who_may(room: Room) -> None:
    file = await room.add()
    viewer = Principal("acme", "eve", "viewer", ROLES["viewer"], "jwt", None, None)
    nobody = Principal("acme", "eve", "none", frozenset(), "jwt", None, None)
    assert await room.files.show(viewer, file.id) == file
    assert await reason(room.files.show(nobody, file.id)) is Reason.PERMISSION_DENIED
    assert await reason(room.files.delete(viewer, file.id)) is Reason.PERMISSION_DENIED
    assert await reason(room.uploads.cancel(viewer, "x")) is Reason.PERMISSION_DENIED

    async def receive() -> None:
        async with room.files.receive(viewer, 0):
            pass

    assert await reason(receive()) is Reason.PERMISSION_DENIED


async def test_one_file_that_cannot_go_keeps_no_other_from_going(room: Room, monkeypatch: Any) -> None:
    first, second = [await room.add(wanted=NewFile(f"{n}.txt", "assistants", 3600)) for n in range(2)]
    room.clock.pass_by(3600)
    remove = room.documents.remove

    async def picky(tenant: str, subject: str, file_id: str) -> None:
        if file_id == first.id:
            raise SixfoldError(Reason.INVALID_REQUEST, "Not this one.")
        await remove(tenant, subject, file_id)

    monkeypatch.setattr(room.documents, "remove", picky)
    await room.sweep.once()
    assert [path.parent.name for path in room.left()] == [first.id]

    assert room.documents.removed == [("acme", second.id)]


async def test_a_step_that_fails_keeps_no_other_from_running(room: Room, monkeypatch: Any) -> None:
    upload = await upload_of(room, 4)
    await part_of(room, upload, b"abcd", "p")
    await room.uploads.cancel(ADA, upload.id)

    async def broken(**_: Any) -> Any:
        raise RuntimeError("of no kind that anybody foresaw")

    monkeypatch.setattr(room.records, "expired", broken)
    await room.sweep.once()
    assert room.left() == []


async def test_a_part_that_comes_after_its_upload_was_cleared_leaves_nothing(room: Room) -> None:
    upload = await upload_of(room, 4)
    expected = await room.uploads.expecting(ADA, upload.id)
    await room.uploads.cancel(ADA, upload.id)
    await room.sweep.once()
    assert await reason(part_of(room, expected, b"abcd", "p")) is Reason.CONFLICT
    await room.sweep.once()
    assert room.left() == []


async def test_a_file_that_comes_after_it_was_given_up_leaves_nothing(room: Room) -> None:
    async def late() -> AsyncIterator[bytes]:
        yield b"# No"
        room.clock.pass_by(room.files.rules.pending + 1)
        await room.sweep.once()
        yield b"tes"

    async def receive() -> None:
        async with room.files.receive(ADA, 7) as receiving:
            await receiving.take(late())
            await room.files.finish(receiving, NOTES, "late")

    assert await reason(receive()) is Reason.CONFLICT
    await room.sweep.once()
    assert room.left() == []


async def test_parts_that_are_refused_or_repeated_take_no_room(room: Room) -> None:
    upload = await upload_of(room, 4)
    first = await part_of(room, upload, b"ab", "p")
    assert await part_of(room, upload, b"ab", "p") == first
    second = await part_of(room, upload, b"ab", "q")
    await part_of(room, upload, b"abcd", "r")
    assert len(room.left()) == 3
    for data in (b"x", b"xy", b"xyz"):
        assert await reason(part_of(room, upload, data, data.decode())) is Reason.INVALID_REQUEST
    assert await reason(part_of(room, upload, b"", "empty")) is Reason.INVALID_REQUEST
    assert len(room.left()) == 3
    done = await room.uploads.complete(ADA, upload.id, [first.id, second.id], None)
    assert done.file is not None
    assert b"".join([piece async for piece in room.files.content(done.file)]) == b"abab"
    await room.sweep.once()
    assert len(room.left()) == 1
