"""Files against a real gateway process: two tenants over every call, and senders with bad intentions."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FORM = {"content-type": "multipart/form-data; boundary=B"}
HEAD = b'--B\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nassistants\r\n'
OPEN = b'--B\r\ncontent-disposition: form-data; name="file"; filename="%s"\r\n\r\n'
END = b"\r\n--B--\r\n"


@pytest.fixture(scope="module")
def gateway(start_gateway: Callable[..., Any]) -> Any:
    return start_gateway(
        SIXFOLD_GATEWAY_MAX_FILE_BYTES="2000000",
        SIXFOLD_GATEWAY_FILES_SWEEP_SECONDS="0.5",
        SIXFOLD_GATEWAY_MAX_RECEIVING="4",
    )


def lying(gateway: Any) -> list[Path]:
    """Everything in the object store."""
    return [path for path in (gateway.home / "objects").rglob("*") if path.is_file()]


def wait(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)


def send(gateway: Any, token: str, content: bytes = b"content", name: bytes = b"a.txt") -> Any:
    return gateway.call("POST", "/v1/files", token, content=HEAD + OPEN % name + content + END, headers=FORM)


def test_no_call_reaches_another_tenants_file_or_upload(gateway: Any, forge: Any) -> None:
    mine, theirs = (forge.sign(gateway.key, tenant=name) for name in ("acme", "umbrella"))
    file = send(gateway, mine, b"the plan").json()["id"]
    wanted = {"bytes": 4, "filename": "a", "mime_type": "text/plain", "purpose": "assistants"}
    upload = gateway.call("POST", "/v1/uploads", mine, json=wanted).json()["id"]
    data = HEAD.replace(b"purpose", b"data").replace(b"assistants", b"abcd") + END[2:]
    part = gateway.call("POST", f"/v1/uploads/{upload}/parts", mine, content=data, headers=FORM).json()["id"]

    def calls(file: str, upload: str) -> list[tuple[str, str, dict[str, Any]]]:
        return [
            ("GET", f"/v1/files/{file}", {}),
            ("GET", f"/v1/files/{file}/content", {}),
            ("DELETE", f"/v1/files/{file}", {}),
            ("POST", f"/v1/uploads/{upload}/parts", {"content": data, "headers": FORM}),
            ("POST", f"/v1/uploads/{upload}/complete", {"json": {"part_ids": [part]}}),
            ("POST", f"/v1/uploads/{upload}/cancel", {}),
        ]

    nothing = calls("file-" + "0" * 24, "upload_" + "0" * 24)
    for (method, path, options), (_, empty, _) in zip(calls(file, upload), nothing, strict=True):
        answer = gateway.call(method, path, theirs, **options)
        unknown = gateway.call(method, empty, theirs, **options)
        assert (answer.status_code, unknown.status_code) == (404, 404), path
        assert answer.text.replace(file, "ID").replace(upload, "ID") == unknown.text.replace(
            "file-" + "0" * 24, "ID"
        ).replace("upload_" + "0" * 24, "ID")
    assert gateway.get("/v1/files", theirs).json()["data"] == []
    assert gateway.get(f"/v1/files?after={file}&order=asc", theirs).json()["data"] == []
    assert gateway.get(f"/v1/files/{file}/content", mine).content == b"the plan"
    done = gateway.call("POST", f"/v1/uploads/{upload}/complete", mine, json={"part_ids": [part]})
    assert done.json()["file"]["bytes"] == 4
    objects = gateway.home / "objects"
    assert {path.relative_to(objects).parts[0] for path in lying(gateway)} == {"acme"}


def test_the_same_idempotency_key_of_two_tenants(gateway: Any, forge: Any) -> None:
    body = HEAD + OPEN % b"a" + b"same" + END
    made = [
        gateway.call(
            "POST", "/v1/files", forge.sign(gateway.key, tenant=tenant, sub="same"), content=body,
            headers=FORM | {"idempotency-key": "same"},
        ).json()["id"]
        for tenant in ("one", "two")
    ]  # fmt: skip
    assert made[0] != made[1]


@pytest.mark.parametrize(
    "name",
    [b"../../../../../../tmp/evil", b"/etc/cron.d/evil", b"..\\..\\evil", b"a\x00b", b"evil\x1b[31m", b"."],
    ids=repr,
)
def test_names_go_nowhere(gateway: Any, forge: Any, name: bytes) -> None:
    token = forge.sign(gateway.key, tenant="names")
    answer = send(gateway, token, b"x", name)
    if answer.status_code == 200:
        shown = answer.json()["filename"]
        assert "/" not in shown
        assert "\\" not in shown
        assert shown.isprintable()
    else:
        assert answer.status_code == 400
    for path in lying(gateway):
        assert b"evil" not in path.name.encode()
    assert not Path("/tmp/evil").exists()


@pytest.mark.parametrize(
    "path", ["../../secrets/jwt.key", "%2e%2e%2f%2e%2e%2fsecrets%2fjwt.key", "file-", "."]
)
def test_ids_go_nowhere(gateway: Any, forge: Any, path: str) -> None:
    token = forge.sign(gateway.key, tenant="names")
    for tail in ("", "/content"):
        answer = gateway.raw(
            f"GET /v1/files/{path}{tail} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n"
            "connection: close\r\n\r\n".encode()
        )
        assert answer.startswith(b"HTTP/1.1 404"), answer


def begin(gateway: Any, token: str, length: int, body: bytes = b"") -> socket.socket:
    """A sender whose body the test goes on with, or not."""
    connection = socket.create_connection(("127.0.0.1", gateway.port), timeout=20)
    connection.sendall(
        b"POST /v1/files HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/form-data; boundary=B\r\n"
        b"authorization: Bearer %s\r\ncontent-length: %d\r\n\r\n" % (token.encode(), length) + body
    )
    return connection


def test_a_gigabyte_is_refused_before_a_byte_of_it(gateway: Any, forge: Any) -> None:
    with begin(gateway, forge.sign(gateway.key), 2**30) as connection:
        assert connection.recv(65_536).startswith(b"HTTP/1.1 413")


def test_who_may_not_write_is_refused_before_a_byte(gateway: Any, forge: Any) -> None:
    for token, status in ((forge.sign(gateway.key, role="viewer"), 403), ("nonsense", 401)):
        with begin(gateway, token, 1_000_000) as connection:
            assert connection.recv(65_536).startswith(b"HTTP/1.1 %d" % status)


def test_senders_that_leave_or_stall_take_nothing_from_others(gateway: Any, forge: Any) -> None:
    token = forge.sign(gateway.key, tenant="crowd")
    before = set(lying(gateway))  # of earlier tests' uploads some may still go
    stalled = [begin(gateway, token, 1_900_000, HEAD + OPEN % b"a" + bytes(300_000)) for _ in range(4)]
    wait(lambda: len({*lying(gateway)} - before) == 4)
    refused = send(gateway, token)
    assert (refused.status_code, refused.headers["x-should-retry"]) == (503, "true")
    assert gateway.get("/healthz").status_code == 200
    for connection in stalled:
        connection.close()
    wait(lambda: {*lying(gateway)} <= before)
    wait(lambda: send(gateway, token).status_code == 200)  # their places are free a moment after their bytes
    assert len(gateway.get("/v1/files", token).json()["data"]) == 1


def test_no_name_and_no_content_is_in_a_log(gateway: Any, forge: Any) -> None:
    send(gateway, forge.sign(gateway.key, tenant="hush"), b"hush-content", b"hush-name.txt")
    send(gateway, forge.sign(gateway.key, tenant="hush"), b"hush-content", b"hush-name.txt" * 400)
    assert b"hush-" not in gateway.get("/metrics").content
    assert "hush-" not in gateway.log


def test_a_killed_gateway_shows_no_half_file(start_gateway: Callable[..., Any], forge: Any) -> None:
    gateway = start_gateway()
    token = forge.sign(gateway.key)
    whole = send(gateway, token, b"whole").json()["id"]
    with begin(gateway, token, 1_900_000, HEAD + OPEN % b"a" + bytes(600_000)):
        wait(lambda: len(lying(gateway)) == 2)
        gateway.process.kill()
    gateway.process.start()
    assert [file["id"] for file in gateway.get("/v1/files", token).json()["data"]] == [whole]
    assert gateway.get(f"/v1/files/{whole}/content", token).content == b"whole"
