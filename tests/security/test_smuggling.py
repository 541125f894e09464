"""Requests that two parties could read differently: nobody may act on the second reading."""

from __future__ import annotations

import pytest


def request(*lines: str, body: bytes = b"", method: str = "GET", path: str = "/v1/models") -> bytes:
    head = [f"{method} {path} HTTP/1.1", "Host: gateway", "Connection: close", *lines]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


def status_of(answer: bytes) -> int:
    """0 when the gateway closed without a word."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


@pytest.fixture
def good(gateway, forge) -> str:
    return f"Bearer {forge.sign(gateway.key)}"


@pytest.fixture
def other(gateway, forge) -> str:
    return f"Bearer {forge.sign(gateway.key, tenant='umbrella')}"


def test_the_plain_request_works(gateway, good) -> None:
    assert status_of(gateway.raw(request(f"Authorization: {good}"))) == 200


@pytest.mark.parametrize("path", ["/v1/models", "/v1/keys"])
def test_two_authorization_headers(gateway, good, other, path) -> None:
    for first, second in ((good, other), (good, good), (good, "Bearer x"), ("", good), ("Bearer x", good)):
        answer = gateway.raw(request(f"Authorization: {first}", f"authorization: {second}", path=path))
        assert status_of(answer) == 401, answer


def test_names_that_only_look_like_the_header(gateway, good) -> None:
    for line in (
        f"Authorization : {good}", f" Authorization: {good}", f"X-Authorization: {good}",
        f"Authorization\0: {good}", f"Proxy-Authorization: {good}",
        f"Authorization_: {good}", f"Cookie: authorization={good}",
    ):  # fmt: skip
        assert status_of(gateway.raw(request(line))) in (0, 400, 401), line


def test_values_that_are_bent(gateway, good) -> None:
    for value in (
        f"{good}\0",
        f"\0{good}",
        f"{good},",
        f"{good} x",
        f"{good}, {good}",
        f"Basic {good}",
        f"Bearer{good}",
    ):
        assert status_of(gateway.raw(request(f"Authorization: {value}"))) in (0, 400, 401), value


def test_a_folded_header_is_refused_or_one(gateway, good) -> None:
    scheme, token = good.split(" ")
    for folded in (f"Authorization: {scheme}\r\n {token}x", f"Authorization: Bearer x\r\n {good}"):
        assert status_of(gateway.raw(request(folded))) in (0, 400, 401)


def test_a_body_of_two_lengths_is_refused(gateway, good, other) -> None:
    inner = request(f"Authorization: {other}", path="/v1/keys")
    auth = f"Authorization: {good}"
    for framing in (
        ("Content-Length: 4", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 4"),
        ("Content-Length: 4", "Content-Length: 5"),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
        ("Transfer-Encoding: xchunked",),
        ("Content-Length: +4",),
        ("Content-Length: 4 4",),
    ):
        answer = gateway.raw(
            request(auth, *framing, method="POST", path="/v1/embeddings", body=b"0\r\n\r\n" + inner)
        )
        assert answer.count(b"HTTP/1.1 ") <= 1, (framing, answer)  # the inner request was not answered
        assert status_of(answer) in (0, 400, 401, 404, 411, 501), (framing, answer)


@pytest.mark.parametrize(
    "path",
    ["/v1/models/../keys", "/v1//keys", "//v1/keys", "/v1/keys/", "/V1/KEYS", "/v1/keys%00", "/v1/%6beys",
     "/v1/keys;a=b", "/v1/models/..%2fkeys", "http://gateway/v1/keys", "/v1/keys?x=1#y"],
)  # fmt: skip
def test_odd_paths_open_nothing(gateway, forge, path) -> None:
    answer = gateway.raw(request(path=path))
    assert status_of(answer) in (0, 400, 401, 404), answer
    viewer = f"Authorization: Bearer {forge.sign(gateway.key, role='viewer')}"
    answer = gateway.raw(request(viewer, path=path))
    assert status_of(answer) in (0, 400, 403, 404), answer
    assert b"sk-" not in answer


def test_a_request_id_is_a_plain_word(gateway, good) -> None:
    for sent, kept in (
        ("trace-123", True),
        ("a b", False),
        ("x" * 200, False),
        ("é", False),
        ("<script>", False),
    ):
        answer = gateway.raw(request(f"Authorization: {good}", f"X-Request-Id: {sent}"))
        assert (
            f"x-request-id: {sent}\r\n".encode("latin-1") in answer.replace(b"X-Request-Id", b"x-request-id")
        ) == kept
        assert answer.lower().count(b"\r\nx-request-id:") == 1
