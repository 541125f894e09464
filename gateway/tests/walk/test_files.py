"""Files through the whole gateway, with the official client unchanged."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from parts.fake_retrieval import FakeRetrieval

from gateway.files.types import PURPOSES
from servicekit.errors import Reason, SixfoldError
from servicekit.objects import folder as objects_folder

LIMIT = 3_000_000


@pytest.fixture
async def retrieval(house: Any) -> FakeRetrieval:
    found: FakeRetrieval = await house.retrieval()
    return found


@pytest.fixture
async def start(house: Any, retrieval: FakeRetrieval) -> Any:
    async def started(**settings: Any) -> Any:
        house.write_config("")
        await house.start(**{"max_file_bytes": LIMIT, **settings})
        return house

    return started


@pytest.fixture
async def files(start: Any) -> Any:
    return await start()


def stored(house: Any) -> list[Path]:
    """Everything that lies in the object store."""
    return [path for path in (house.home / "objects").rglob("*") if path.is_file()]


def error_of(response: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


def field(name: str, value: bytes, *, head: bytes = b"", filename: bytes | None = None) -> bytes:
    named = b"" if filename is None else b'; filename="%s"' % filename
    return b'--B\r\ncontent-disposition: form-data; name="%s"%s\r\n%s\r\n%s\r\n' % (
        name.encode(), named, head, value,
    )  # fmt: skip


FORM = {"content-type": "multipart/form-data; boundary=B"}
FILE = field("file", b"content", filename=b"a.txt")
PURPOSE = field("purpose", b"assistants")
END = b"--B--\r\n"


async def test_a_file_from_birth_to_end(files: Any, retrieval: FakeRetrieval) -> None:
    client = files.openai()
    made = await client.files.create(file=("notes.md", b"# Notes\n"), purpose="assistants")
    assert made.id.startswith("file-")
    assert (made.object, made.bytes, made.filename, made.purpose) == ("file", 8, "notes.md", "assistants")
    assert (made.status, made.expires_at) == ("processed", None)
    assert await client.files.retrieve(made.id) == made
    assert (await client.files.content(made.id)).content == b"# Notes\n"
    assert [file async for file in client.files.list()] == [made]
    deleted = await client.files.delete(made.id)
    assert (deleted.id, deleted.object, deleted.deleted) == (made.id, "file", True)
    assert [request.file_id for request in retrieval.requests] == [made.id]
    for call in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError):
            await call(made.id)
    assert [file async for file in client.files.list()] == []
    assert stored(files) == []


async def test_large_and_empty_files_come_back_as_they_were(files: Any) -> None:
    client = files.openai()
    for size in (0, 1, 65_536, LIMIT):
        data = os.urandom(size)
        made = await client.files.create(file=("data.bin", data), purpose="user_data")
        assert made.bytes == size
        assert made.sha256 == hashlib.sha256(data).hexdigest()
        assert (await client.files.content(made.id)).content == data


async def test_what_a_file_is_for(files: Any) -> None:
    client = files.openai()
    for purpose in PURPOSES:
        made = await client.files.create(file=("a.jsonl", b"{}"), purpose=purpose)
        assert made.purpose == purpose
        lifetime = None if made.expires_at is None else made.expires_at - made.created_at
        assert lifetime == (30 * 86_400 if purpose == "batch" else None)
    with pytest.raises(openai.BadRequestError) as caught:
        await client.files.create(file=("a.txt", b"x"), purpose="world domination")
    assert caught.value.param == "purpose"
    assert len(stored(files)) == len(PURPOSES)


async def test_a_file_that_expires(files: Any) -> None:
    client = files.openai()
    made = await client.files.create(
        file=("a.txt", b"x"), purpose="assistants", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert made.expires_at == made.created_at + 3600
    for expiry in ({"anchor": "created_at", "seconds": 3599}, {"anchor": "now", "seconds": 3600}):
        with pytest.raises(openai.BadRequestError) as caught:
            await client.files.create(file=("a.txt", b"x"), purpose="assistants", expires_after=expiry)
        assert (caught.value.param or "").startswith("expires_after")


async def test_pages(files: Any) -> None:
    client, http = files.openai(), files.http()
    made = [
        (await client.files.create(file=(f"{n}.txt", b"%d" % n), purpose="vision" if n % 2 else "evals")).id
        for n in range(5)
    ]
    page = (await http.get("/v1/files?limit=2")).json()
    assert page["object"] == "list"
    assert [file["id"] for file in page["data"]] == [made[4], made[3]]
    assert (page["first_id"], page["last_id"], page["has_more"]) == (made[4], made[3], True)
    assert [file.id async for file in client.files.list(limit=2)] == made[::-1]
    assert [file.id async for file in client.files.list(limit=2, order="asc")] == made
    assert [file.id async for file in client.files.list(limit=1, purpose="vision")] == [made[3], made[1]]
    last = (await http.get(f"/v1/files?order=asc&after={made[3]}")).json()
    assert ([file["id"] for file in last["data"]], last["has_more"]) == ([made[4]], False)
    for query in ("limit=0", "limit=10001", "limit=x", "order=up", "after=file-1", "after=../x"):
        assert (await http.get(f"/v1/files?{query}")).status_code == 400


FORMS: dict[str, tuple[bytes, str | None]] = {
    "no file": (PURPOSE + END, "file"),
    "no purpose": (FILE + END, "purpose"),
    "two files": (FILE + FILE + PURPOSE + END, "file"),
    "two purposes": (PURPOSE + PURPOSE + FILE + END, "purpose"),
    "another field": (PURPOSE + FILE + field("surprise", b"x") + END, "surprise"),
    "long field": (field("purpose", b"x" * 257) + FILE + END, "purpose"),
    "no end": (FILE + PURPOSE, None),
    "cut": (FILE[:-10], None),
    "empty": (b"", None),
    "nonsense": (b"nonsense", None),
    "long header": (PURPOSE + field("file", b"x", head=b"x-long: %s\r\n" % (b"y" * 9000)) + END, None),
    "many headers": (PURPOSE + field("file", b"x", head=b"x: y\r\n" * 30) + END, None),
    "nameless": (PURPOSE + b"--B\r\n\r\nno name\r\n" + END, None),
    "many fields": (b"".join(field(f"f{n}", b"") for n in range(50)) + END, "f0"),
}


async def test_forms_that_are_none(files: Any) -> None:
    http = files.http()
    for kind, (body, param) in FORMS.items():
        response = await http.post("/v1/files", content=body, headers=FORM)
        assert (response.status_code, error_of(response)["param"]) == (400, param), kind
    assert stored(files) == []
    assert (await http.get("/v1/files")).json()["data"] == []


async def test_fields_in_any_order(files: Any) -> None:
    for body in (
        FILE + PURPOSE + END,
        PURPOSE + FILE + END,
        PURPOSE + FILE + END + b"more",
    ):
        response = await files.http().post("/v1/files", content=body, headers=FORM)
        assert (response.status_code, response.json()["filename"]) == (200, "a.txt"), response.text


async def test_bodies_that_are_no_forms(files: Any) -> None:
    http = files.http()
    for kind in ("application/json", "multipart/form-data", "multipart/form-data; boundary=" + "x" * 71):
        response = await http.post("/v1/files", content=b"{}", headers={"content-type": kind})
        assert response.status_code == 400
    assert (await http.put("/v1/files")).status_code == 405
    assert (await http.post("/v1/files/x/y/z")).status_code == 404


NAMES: dict[bytes, str] = {
    b"../../etc/passwd": "passwd",
    b"C:\\\\secret\\\\plan.docx": "plan.docx",
    b"a\x01\x7fb\tc.txt": "abc.txt",
    "evil\u202etxt.exe".encode(): "eviltxt.exe",
    "中文 报告.pdf".encode(): "中文 报告.pdf",
    b"..": "unnamed",
    b"": "unnamed",
    b"a/": "unnamed",
    b"x" * 300 + b".txt": "x" * 251 + ".txt",
    b"caf\xe9.txt": "café.txt",
}


async def test_file_names(files: Any) -> None:
    http = files.http()
    for sent, kept in NAMES.items():
        body = PURPOSE + field("file", b"x", filename=sent) + END
        made = (await http.post("/v1/files", content=body, headers=FORM)).json()
        assert made["filename"] == kept
        assert len(kept.encode()) <= 255
        assert made["id"] in {path.parent.name for path in stored(files)}  # names make no places
        out = await http.get(f"/v1/files/{made['id']}/content")
        assert out.headers["content-disposition"].startswith("attachment")
        assert out.headers["x-content-type-options"] == "nosniff"
    assert len(stored(files)) == len(NAMES)


async def head_only(house: Any, *lines: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request whose body the test sends, or does not."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(
        b"POST /v1/files HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/form-data; boundary=B\r\n"
        b"authorization: Bearer %s\r\n%s\r\n\r\n" % (house.token().encode(), b"\r\n".join(lines))
    )
    await writer.drain()
    return reader, writer


async def test_a_gigabyte_is_refused_unread(files: Any) -> None:
    reader, writer = await head_only(files, b"content-length: 1073741824")
    answer = await asyncio.wait_for(reader.read(), 20)
    assert answer.startswith(b"HTTP/1.1 413")
    writer.close()
    assert stored(files) == []


async def test_too_much_without_a_length(files: Any) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield PURPOSE + field("file", b"", filename=b"a")[:-2]
        for _ in range(100):
            yield bytes(65_536)

    response = await files.http().post("/v1/files", content=endless(), headers=FORM)
    assert response.status_code == 413
    assert error_of(response)["code"] == "request_too_large"
    assert stored(files) == []


async def test_a_sender_that_leaves_leaves_nothing(files: Any, wait_until: Any) -> None:
    _, writer = await head_only(files, b"content-length: 2000000")
    writer.write(PURPOSE + field("file", bytes(1_000_000), filename=b"a")[:-2])
    await writer.drain()
    await wait_until(lambda: stored(files) != [])
    writer.transport.abort()
    await wait_until(lambda: stored(files) == [])
    await wait_until(lambda: files.gateway.app.in_flight == 0)
    assert b'outcome="client_left"' in (await files.http().get("/metrics")).content


async def test_a_sender_that_is_too_slow(start: Any, wait_until: Any) -> None:
    house = await start(body_seconds=0.3)
    reader, writer = await head_only(house, b"content-length: 2000000")
    writer.write(PURPOSE + FILE[:-4])
    answer = await asyncio.wait_for(reader.read(), 20)
    assert answer.startswith(b"HTTP/1.1 504")
    assert b"too slowly" in answer
    writer.close()
    await wait_until(lambda: stored(house) == [])


async def test_an_idempotency_key(files: Any) -> None:
    http = files.http()
    headers = FORM | {"idempotency-key": "once"}
    first = await http.post("/v1/files", content=PURPOSE + FILE + END, headers=headers)
    again = await http.post("/v1/files", content=FILE + PURPOSE + END, headers=headers)
    assert again.json() == first.json()
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert len(stored(files)) == 1
    other = field("file", b"other", filename=b"a.txt")
    refused = await http.post("/v1/files", content=PURPOSE + other + END, headers=headers)
    assert (refused.status_code, error_of(refused)["code"]) == (409, "already_exists")
    assert len(stored(files)) == 1
    await http.delete(f"/v1/files/{first.json()['id']}")
    anew = await http.post("/v1/files", content=PURPOSE + FILE + END, headers=headers)
    assert anew.json()["id"] != first.json()["id"]
    bad = await http.post(
        "/v1/files", content=PURPOSE + FILE + END, headers=FORM | {"idempotency-key": "a b"}
    )
    assert bad.status_code == 400


async def test_the_official_clients_own_repeat(files: Any) -> None:
    http = files.http()
    body = PURPOSE + FILE + END

    async def post(count: int) -> str:
        headers = FORM | {"x-stainless-retry-count": str(count)}
        made: str = (await http.post("/v1/files", content=body, headers=headers)).json()["id"]
        return made

    first, second = await post(0), await post(0)
    assert first != second  # two that were meant
    assert await post(1) in (first, second)
    assert len(stored(files)) == 2


async def test_who_may_what(files: Any) -> None:
    made = await files.openai().files.create(file=("a.txt", b"x"), purpose="assistants")
    viewer = files.openai(role="viewer")
    assert (await viewer.files.retrieve(made.id)).id == made.id
    assert (await viewer.files.content(made.id)).content == b"x"
    for call in (
        viewer.files.create(file=("a.txt", b"x"), purpose="assistants"),
        viewer.files.delete(made.id),
        viewer.uploads.create(bytes=1, filename="a", mime_type="text/plain", purpose="assistants"),
    ):
        with pytest.raises(openai.PermissionDeniedError):
            await call
    nobody = httpx.AsyncClient(base_url=files.base)
    for method, path in (
        ("POST", "/v1/files"),
        ("GET", f"/v1/files/{made.id}/content"),
        ("GET", "/v1/files"),
    ):
        assert (await nobody.request(method, path)).status_code == 401
    await nobody.aclose()


async def test_another_tenants_files_and_uploads_are_not_there(files: Any) -> None:
    mine, theirs = files.openai(tenant="acme"), files.openai(tenant="umbrella")
    made = await mine.files.create(file=("plan.txt", b"secret"), purpose="assistants")
    upload = await mine.uploads.create(bytes=4, filename="a", mime_type="text/plain", purpose="assistants")
    part = await mine.uploads.parts.create(upload.id, data=b"abcd")
    for call in (
        theirs.files.retrieve(made.id), theirs.files.content(made.id), theirs.files.delete(made.id),
        theirs.uploads.parts.create(upload.id, data=b"abcd"), theirs.uploads.cancel(upload.id),
        theirs.uploads.complete(upload.id, part_ids=[part.id]),
    ):  # fmt: skip
        with pytest.raises(openai.NotFoundError):
            await call
    assert [file async for file in theirs.files.list()] == []
    assert [file async for file in theirs.files.list(after=made.id)] == []
    same = await theirs.files.create(file=("plan.txt", b"secret"), purpose="assistants")
    await theirs.files.delete(same.id)
    assert (await mine.files.content(made.id)).content == b"secret"
    own = await theirs.uploads.create(bytes=4, filename="a", mime_type="text/plain", purpose="assistants")
    with pytest.raises(openai.BadRequestError):  # their part in my upload
        await theirs.uploads.complete(own.id, part_ids=[part.id])


async def test_a_file_in_parts(files: Any) -> None:
    client = files.openai()
    data = os.urandom(1_000_000)
    upload = await client.uploads.create(
        bytes=len(data), filename="../big.bin", mime_type="application/octet-stream", purpose="assistants"
    )
    assert (upload.object, upload.status, upload.bytes, upload.filename) == (
        "upload", "pending", len(data), "big.bin",
    )  # fmt: skip
    assert upload.expires_at == upload.created_at + 3600
    assert upload.file is None
    halves = [data[:400_000], data[400_000:]]
    last, first = [await client.uploads.parts.create(upload.id, data=half) for half in halves[::-1]]
    assert (first.object, first.upload_id) == ("upload.part", upload.id)
    md5 = hashlib.md5(data).hexdigest()
    done = await client.uploads.complete(upload.id, part_ids=[first.id, last.id], md5=md5)
    assert done.status == "completed"
    assert done.file is not None
    assert (await client.files.content(done.file.id)).content == data
    again = await client.uploads.complete(upload.id, part_ids=[first.id, last.id])
    assert again == done
    assert [file.id async for file in client.files.list()] == [done.file.id]
    for call in (client.uploads.parts.create(upload.id, data=b"x"), client.uploads.cancel(upload.id)):
        with pytest.raises(openai.BadRequestError):
            await call


async def test_the_clients_own_helper_for_parts(files: Any) -> None:
    data = os.urandom(700_000)
    done = await files.openai().uploads.upload_file_chunked(
        file=data, filename="a.bin", bytes=len(data), mime_type="text/plain", purpose="user_data",
        part_size=300_000,
    )  # fmt: skip
    assert (await files.openai().files.content(done.file.id)).content == data


async def test_parts_that_do_not_fit(files: Any) -> None:
    client = files.openai()
    upload = await client.uploads.create(bytes=4, filename="a", mime_type="text/plain", purpose="assistants")
    part = await client.uploads.parts.create(upload.id, data=b"abc")
    for ids in ([part.id], [part.id, part.id], ["part_" + "0" * 24], []):
        with pytest.raises(openai.BadRequestError):
            await client.uploads.complete(upload.id, part_ids=ids)
    rest = await client.uploads.parts.create(upload.id, data=b"d")
    with pytest.raises(openai.BadRequestError) as caught:
        await client.uploads.complete(upload.id, part_ids=[part.id, rest.id], md5="0" * 32)
    assert caught.value.param == "md5"
    with pytest.raises(openai.BadRequestError):
        await client.uploads.parts.create(upload.id, data=b"")
    with pytest.raises(openai.APIStatusError) as too_large:
        await client.uploads.parts.create(upload.id, data=b"abcde")
    assert too_large.value.status_code == 413
    with pytest.raises(openai.APIStatusError) as too_big:
        await client.uploads.create(bytes=LIMIT + 1, filename="a", mime_type="x/y", purpose="assistants")
    assert too_big.value.status_code == 413
    cancelled = await client.uploads.cancel(upload.id)
    assert (cancelled.status, (await client.uploads.cancel(upload.id)).status) == ("cancelled", "cancelled")
    for call in (
        client.uploads.parts.create(upload.id, data=b"x"),
        client.uploads.complete(upload.id, part_ids=[part.id, rest.id]),
    ):
        with pytest.raises(openai.BadRequestError):
            await call
    with pytest.raises(openai.NotFoundError):
        await client.uploads.cancel("upload_" + "0" * 24)


async def test_what_a_tenant_may_have(start: Any) -> None:
    house = await start(max_tenant_bytes=1000, max_tenant_files=3)
    client = house.openai()
    first = await client.files.create(file=("a", bytes(600)), purpose="assistants")
    with pytest.raises(openai.BadRequestError) as caught:
        await client.files.create(file=("b", bytes(600)), purpose="assistants")
    assert "no room" in caught.value.message
    with pytest.raises(openai.BadRequestError):
        await client.uploads.create(bytes=600, filename="a", mime_type="text/plain", purpose="assistants")

    async def undeclared() -> AsyncIterator[bytes]:
        yield PURPOSE + field("file", bytes(600), filename=b"a") + END

    assert (await house.http().post("/v1/files", content=undeclared(), headers=FORM)).status_code == 400
    assert len(stored(house)) == 1
    await client.files.delete(first.id)
    for _ in range(3):
        await client.files.create(file=("a", b""), purpose="assistants")
    with pytest.raises(openai.BadRequestError):
        await client.files.create(file=("a", b""), purpose="assistants")
    assert (
        await house.openai(tenant="other").files.create(file=("a", b"x"), purpose="assistants")
    ).bytes == 1


async def test_a_file_stays_while_searches_cannot_forget_it(files: Any, retrieval: FakeRetrieval) -> None:
    client = files.openai()
    made = await client.files.create(file=("a.txt", b"x"), purpose="assistants")
    retrieval.error = SixfoldError(Reason.SERVICE_UNAVAILABLE, "Not now.")
    with pytest.raises(openai.InternalServerError) as caught:
        await client.files.delete(made.id)
    assert caught.value.status_code == 503
    assert (await client.files.content(made.id)).content == b"x"
    retrieval.error = None
    assert (await client.files.delete(made.id)).deleted
    assert len({request.request_id for request in retrieval.requests}) == 1  # one deletion, tried twice


async def test_a_full_disk(files: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = files.openai()
    write = objects_folder._FileSink.write

    def no_room(self: Any, data: bytes) -> None:
        write(self, data[:100])
        raise objects_folder._told(OSError(errno.ENOSPC, "No space left on device"))

    monkeypatch.setattr(objects_folder._FileSink, "write", no_room)
    with pytest.raises(openai.InternalServerError) as caught:
        await client.files.create(file=("a.txt", bytes(1_000_000)), purpose="assistants")
    assert caught.value.status_code == 503
    assert "no room" in caught.value.message
    assert stored(files) == []
    monkeypatch.undo()
    assert (await client.files.create(file=("a.txt", b"x"), purpose="assistants")).bytes == 1


async def test_damaged_content_never_passes_for_the_file(files: Any) -> None:
    client = files.openai()
    made = await client.files.create(file=("a.bin", os.urandom(2_000_000)), purpose="assistants")
    [path] = stored(files)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(openai.APIConnectionError):
        await client.files.content(made.id)
    path.write_bytes(b"x")
    with pytest.raises(openai.InternalServerError) as caught:  # small enough to be seen before the answer
        await client.files.content(made.id)
    assert "checksum" in caught.value.message


async def test_files_are_encrypted_when_a_key_is_set(start: Any, house: Any) -> None:
    key = house.home / "objects.key"
    key.write_text(secrets.token_hex(32))
    key.chmod(0o600)
    house = await start(objects_key_file=key)
    made = await house.openai().files.create(file=("a.txt", b"for nobody's eyes"), purpose="assistants")
    [path] = stored(house)
    assert b"nobody" not in path.read_bytes()
    assert (await house.openai().files.content(made.id)).content == b"for nobody's eyes"


async def test_more_senders_than_places(start: Any, wait_until: Any) -> None:
    house = await start(max_receiving=1)
    _, writer = await head_only(house, b"content-length: 2000000")
    writer.write(PURPOSE + field("file", bytes(600_000), filename=b"a")[:-2])
    await wait_until(lambda: stored(house) != [])
    with pytest.raises(openai.InternalServerError) as caught:
        await house.openai().files.create(file=("a", b"x"), purpose="assistants")
    assert caught.value.status_code == 503
    writer.transport.abort()
    await wait_until(lambda: house.gateway.app.in_flight == 0)
    await house.openai().files.create(file=("a", b"x"), purpose="assistants")


async def test_a_slow_reader_is_cut(start: Any, wait_until: Any) -> None:
    house = await start(slow_reader_seconds=0.3, max_file_bytes=30_000_000)
    made = await house.openai().files.create(file=("a", bytes(25_000_000)), purpose="assistants")
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port, limit=1024)
    writer.write(
        b"GET /v1/files/%s/content HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %s\r\n\r\n"
        % (made.id.encode(), house.token().encode())
    )
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    await wait_until(lambda: house.gateway.app.in_flight == 0)  # without our reading on
    writer.close()
