"""What every object store promises, in a folder and on a server that speaks S3, plain and encrypted."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from parts.s3 import S3Server
from structlog.testing import capture_logs

from servicekit.errors import Reason, SixfoldError
from servicekit.objects import Objects, open_objects
from servicekit.objects.seal import FRAME, HEADER

LIMIT = 100_000_000
KEY = secrets.token_bytes(32)


@dataclass
class Corner:
    """A store, and a way to what lies in it behind its back."""

    url: str
    key: bytes | None
    server: S3Server | None
    objects: Objects

    def names(self) -> list[str]:
        """Everything that lies there, unfinished things too."""
        if self.server is not None:
            return [name.removeprefix("some/prefix/") for name in self.server.keys(self.url)]
        root = Path(self.url.removeprefix("file://"))
        return [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]

    def get(self, name: str) -> bytes:
        if self.server is None:
            return self._path(name).read_bytes()
        return bytes(self.server.files.cat_file(self._address(name)))

    def set(self, name: str, data: bytes) -> None:
        if self.server is None:
            self._path(name).write_bytes(data)
        else:
            self.server.files.pipe_file(self._address(name), data)

    def again(self, key: bytes | None) -> Objects:
        """The same place with another key."""
        return open_objects(self.url, key=key)

    def _path(self, name: str) -> Path:
        return Path(self.url.removeprefix("file://")) / name

    def _address(self, name: str) -> str:
        return f"{self.url.removeprefix('s3://').partition('?')[0]}/{name}"


@pytest.fixture(params=["file", "file sealed", "s3", "s3 sealed"])
async def corner(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Corner]:
    scheme, _, sealed = request.param.partition(" ")
    server: S3Server | None = None
    url = f"file://{tmp_path / 'objects'}"
    if scheme == "s3":
        server = request.getfixturevalue("s3_server")
        url = server.new_bucket()
    key = KEY if sealed else None
    objects = open_objects(url, key=key)
    yield Corner(url, key, server, objects)
    await objects.close()


async def pieces(data: bytes, size: int = 70_001) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def read(objects: Objects, key: str) -> bytes:
    return b"".join([piece async for piece in objects.read(key)])


def left(folder: Path, pattern: str = "*") -> list[Path]:
    return [path for path in folder.glob(pattern) if path.is_file()]


async def reason(work: Any) -> Reason:
    with pytest.raises(SixfoldError) as caught:
        await work
    return caught.value.reason


async def test_what_goes_in_comes_out(corner: Corner, tmp_path: Path) -> None:
    local = tmp_path / "local"
    for size in (0, 1, FRAME - 1, FRAME, FRAME + 1, 3 * FRAME, 256 * 1024, 700_001):
        data = os.urandom(size)
        stored = await corner.objects.put("acme/file-1", pieces(data), limit=LIMIT)
        assert (stored.bytes, stored.sha256) == (size, hashlib.sha256(data).hexdigest())
        assert stored.key == f"acme/file-1/{stored.sha256}"
        assert await read(corner.objects, stored.key) == data
        await corner.objects.fetch(stored.key, local)
        assert (local.read_bytes(), local.stat().st_mode & 0o777) == (data, 0o600)
    assert len(corner.names()) == 8


async def test_more_than_one_part_of_s3(corner: Corner) -> None:
    data = os.urandom(20_000_000)
    stored = await corner.objects.put("acme/large", pieces(data, 900_000), limit=LIMIT)
    assert await read(corner.objects, stored.key) == data
    assert len(corner.names()) == 1


async def test_what_lies_there_is_encrypted_when_a_key_is_set(corner: Corner) -> None:
    data = b"a plan that nobody may read " * 100
    stored = await corner.objects.put("acme/file-1", pieces(data), limit=LIMIT)
    [name] = corner.names()
    lies = corner.get(name)
    assert (b"nobody" in lies) == (corner.key is None)
    assert (stored.sha256 in name) == (corner.key is None)  # a digest would confirm a guess


async def test_the_same_twice_is_one_object(corner: Corner) -> None:
    first = await corner.objects.put("acme/file-1", pieces(b"same"), limit=LIMIT)
    again = await corner.objects.put("acme/file-1", pieces(b"same"), limit=LIMIT)
    assert first == again
    assert await read(corner.objects, first.key) == b"same"
    assert len(corner.names()) == 1


async def test_deleting_a_namespace_touches_no_other(corner: Corner) -> None:
    objects = corner.objects
    kept = [
        await objects.put(name, pieces(b"same"), limit=LIMIT)
        for name in ("acme/file-10", "umbrella/file-1", "acme/file-1x")
    ]
    gone = [await objects.put("acme/file-1", pieces(data), limit=LIMIT) for data in (b"same", b"other")]
    await objects.delete("acme/file-1")
    await objects.delete("acme/file-1")  # again is fine
    for stored in gone:
        assert await reason(read(objects, stored.key)) is Reason.NOT_FOUND
    for stored in kept:
        assert await read(objects, stored.key) == b"same"
    assert len(corner.names()) == 3


async def test_what_was_never_stored(corner: Corner, tmp_path: Path) -> None:
    key = f"acme/file-1/{'0' * 64}"
    assert await reason(read(corner.objects, key)) is Reason.NOT_FOUND
    assert await reason(corner.objects.fetch(key, tmp_path / "local")) is Reason.NOT_FOUND
    assert left(tmp_path) == []


def flip(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "last byte gone": lambda data: data[:-1],
    "cut": lambda data: data[: len(data) // 2],
    "emptied": lambda data: b"",
    "longer": lambda data: data + b"x",
    "first byte": lambda data: flip(data, 0),
    "middle byte": lambda data: flip(data, len(data) // 2),
    "last byte": lambda data: flip(data, -1),
}


async def test_damage_is_told_and_never_given_for_whole(corner: Corner, tmp_path: Path) -> None:
    data = os.urandom(3 * 256 * 1024 + 5)
    stored = await corner.objects.put("acme/file-1", pieces(data), limit=LIMIT)
    [name] = corner.names()
    whole = corner.get(name)
    for kind, damage in DAMAGE.items():
        corner.set(name, damage(whole))
        got = b""
        with pytest.raises(SixfoldError) as caught:
            async for piece in corner.objects.read(stored.key):
                got += piece
        assert caught.value.reason is Reason.DATA_LOSS, kind
        assert len(got) < len(data), kind
    assert await reason(corner.objects.fetch(stored.key, tmp_path / "local")) is Reason.DATA_LOSS
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda head, frames: head + frames[1] + frames[0] + frames[2],
        lambda head, frames: head + frames[0] + frames[2],
        lambda head, frames: head + frames[0] + frames[1],
        lambda head, frames: head + frames[0] + frames[0] + frames[1] + frames[2],
        lambda head, frames: head,
    ],
    ids=["two swapped", "middle gone", "last gone", "one twice", "all gone"],
)
async def test_frames_stay_where_they_are(
    tmp_path: Path, change: Callable[[bytes, list[bytes]], bytes]
) -> None:
    objects = open_objects(f"file://{tmp_path}", key=KEY)
    stored = await objects.put("acme/file-1", pieces(os.urandom(3 * FRAME)), limit=LIMIT)
    [path] = (tmp_path / "acme" / "file-1").iterdir()
    data = path.read_bytes()
    size = FRAME + 16
    frames = [data[start : start + size] for start in range(HEADER, len(data), size)]
    assert len(frames) == 3
    path.write_bytes(change(data[:HEADER], frames))
    assert await reason(read(objects, stored.key)) is Reason.DATA_LOSS
    await objects.close()


async def test_an_object_does_not_open_in_anothers_place(tmp_path: Path) -> None:
    objects = open_objects(f"file://{tmp_path}", key=KEY)
    mine = await objects.put("acme/file-1", pieces(b"same content"), limit=LIMIT)
    theirs = await objects.put("umbrella/file-1", pieces(b"same content"), limit=LIMIT)
    [mine_at], [theirs_at] = ((tmp_path / name / "file-1").iterdir() for name in ("acme", "umbrella"))
    theirs_at.write_bytes(mine_at.read_bytes())
    assert await reason(read(objects, theirs.key)) is Reason.DATA_LOSS
    assert await read(objects, mine.key) == b"same content"
    await objects.close()


async def test_another_key_and_none(corner: Corner) -> None:
    stored = await corner.objects.put("acme/file-1", pieces(b"content"), limit=LIMIT)
    other = corner.again(secrets.token_bytes(32))
    if corner.key is None:  # stored before a key was set
        assert await read(other, stored.key) == b"content"
    else:
        assert await reason(read(other, stored.key)) is Reason.SERVICE_UNAVAILABLE
        none = corner.again(None)
        assert await reason(read(none, stored.key)) is Reason.SERVICE_UNAVAILABLE
        await none.close()
    await other.close()


async def test_too_much_leaves_nothing(corner: Corner) -> None:
    given = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            given += 1
            yield bytes(100_000)

    assert (
        await reason(corner.objects.put("acme/file-1", endless(), limit=9_500_000))
        is Reason.REQUEST_TOO_LARGE
    )
    assert given == 96
    assert corner.names() == []


async def test_a_writer_that_fails_or_leaves_leaves_nothing(corner: Corner) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield bytes(9_000_000)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await corner.objects.put("acme/file-1", failing(), limit=LIMIT)
    assert corner.names() == []
    began = asyncio.Event()

    async def stuck() -> AsyncIterator[bytes]:
        yield bytes(9_000_000)
        began.set()
        await asyncio.sleep(3600)
        yield b""

    task = asyncio.create_task(corner.objects.put("acme/file-1", stuck(), limit=LIMIT))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert corner.names() == []


async def test_a_reader_may_leave(corner: Corner) -> None:
    data = os.urandom(2_000_000)
    stored = await corner.objects.put("acme/file-1", pieces(data), limit=LIMIT)
    for _ in range(20):  # more than there are threads
        async with aclosing(corner.objects.read(stored.key)) as content:
            piece = await anext(content)
            assert piece == data[: len(piece)]
    assert await read(corner.objects, stored.key) == data


async def test_many_at_once(corner: Corner) -> None:
    data = [os.urandom(200_000) for _ in range(24)]
    stored = await asyncio.gather(
        *(corner.objects.put(f"acme/file-{n}", pieces(d), limit=LIMIT) for n, d in enumerate(data))
    )
    assert list(await asyncio.gather(*(read(corner.objects, s.key) for s in stored))) == data


BAD_NAMES = [
    "", "/", "..", "../acme", "acme/..", "acme//file", "/acme", "acme/", ".incoming", "a b", "a\n", "ä",
    "a" * 129,
]  # fmt: skip


async def test_names_that_are_no_names(corner: Corner) -> None:
    for name in BAD_NAMES:
        for call in (corner.objects.put(name, pieces(b""), limit=1), corner.objects.delete(name)):
            with pytest.raises(ValueError):
                await call
        with pytest.raises(ValueError):
            await read(corner.objects, f"{name}/{'0' * 64}")
    with pytest.raises(ValueError):
        await read(corner.objects, "acme/file-1/../../etc/passwd")


async def test_what_a_killed_writer_left_is_swept(corner: Corner) -> None:
    for number in range(2):
        corner_name = f".incoming/{number:032x}"
        await corner.objects.put("acme/file-1", pieces(b"kept"), limit=LIMIT)
        if corner.server is None:
            corner._path(".incoming").mkdir(exist_ok=True)
        corner.set(corner_name, b"half")
    assert await corner.objects.sweep(3600) == 0
    await asyncio.sleep(1.1)  # S3 tells times in whole seconds
    assert await corner.objects.sweep(0.5) == 2
    assert len(corner.names()) == 1


async def test_a_place_that_can_be_used(corner: Corner) -> None:
    await corner.objects.check()
    await corner.objects.close()
    await corner.objects.close()


async def test_an_unfinished_upload_to_s3_is_swept(s3_server: S3Server) -> None:
    url = s3_server.new_bucket()
    bucket = url.removeprefix("s3://").partition("/")[0]
    for key in (f"some/prefix/.incoming/{'0' * 32}", "elsewhere/thing"):
        s3_server.files.call_s3("create_multipart_upload", Bucket=bucket, Key=key)
    assert len(s3_server.keys(url)) == 2
    objects = open_objects(url)
    await asyncio.sleep(1.1)
    assert await objects.sweep(0.5) == 1
    assert s3_server.keys(url) == ["elsewhere/thing"]  # somebody else's in the same bucket
    await objects.close()


async def test_a_server_that_hangs_and_one_that_is_not_there(s3_server: S3Server) -> None:
    url = s3_server.new_bucket()
    patient, hasty = open_objects(url, timeout=20), open_objects(url, timeout=0.3)
    stored = await patient.put("acme/file-1", pieces(b"content"), limit=LIMIT)
    s3_server.pause()
    try:
        assert await reason(read(hasty, stored.key)) is Reason.SERVICE_UNAVAILABLE
        assert await reason(hasty.put("acme/f", pieces(b"x"), limit=LIMIT)) is Reason.SERVICE_UNAVAILABLE
        assert await reason(hasty.check()) is Reason.SERVICE_UNAVAILABLE
    finally:
        s3_server.resume()
    assert await read(patient, stored.key) == b"content"
    for objects in (patient, hasty):
        await objects.close()
    away = open_objects("s3://bucket?endpoint=http://127.0.0.1:9&key=k&secret=s&region=r", timeout=0.3)
    with capture_logs() as logs:
        assert await reason(away.check()) is Reason.SERVICE_UNAVAILABLE
    assert [(line["event"], line["operation"]) for line in logs] == [("object_store_failed", "check")]
    await away.close()


async def test_a_bucket_that_is_not_there(s3_server: S3Server) -> None:
    url = s3_server.new_bucket().replace("sixfold-", "other-")
    objects = open_objects(url)
    assert await reason(objects.check()) is Reason.SERVICE_UNAVAILABLE
    assert await reason(objects.put("acme/f", pieces(b"x"), limit=LIMIT)) is Reason.SERVICE_UNAVAILABLE
    await objects.close()


async def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from servicekit.objects import folder

    objects = open_objects(f"file://{tmp_path}")
    written = 0

    def write(self: Any, data: bytes) -> None:
        nonlocal written
        written += len(data)
        if written > 500_000:
            try:
                raise OSError(errno.ENOSPC, "No space left on device")
            except OSError as error:
                raise folder._told(error) from error
        self._file.write(data)

    monkeypatch.setattr(folder._FileSink, "write", write)
    with pytest.raises(SixfoldError) as caught:
        await objects.put("acme/file-1", pieces(bytes(2_000_000)), limit=LIMIT)
    assert caught.value.reason is Reason.SERVICE_UNAVAILABLE
    assert "room" in caught.value.message
    assert left(tmp_path, "**/*") == []
    monkeypatch.undo()
    await objects.put("acme/file-1", pieces(b"room again"), limit=LIMIT)
    await objects.close()


@pytest.mark.parametrize(
    "url",
    ["", "objects", "file://", "file://host/folder", "http://x", "s3://", "s3://b?bogus=1", "memory://"],
)
def test_urls_that_name_no_store(url: str) -> None:
    with pytest.raises(ValueError):
        open_objects(url)


def test_a_folder_needs_no_s3_client() -> None:
    program = (
        "import sys; from servicekit.objects import open_objects; open_objects('file:///tmp/x');"
        "sys.exit(any(name in sys.modules for name in ('s3fs', 'botocore', 'aiobotocore', 'aiohttp')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
