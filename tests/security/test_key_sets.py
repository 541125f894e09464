"""An identity provider over real TLS: only its address, its certificate and a bounded answer count."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from parts.certificates import Certificate, server_certificate

from gateway.adapters.jwks import MAX_BYTES, Jwks, JwksLimits, https_fetch
from servicekit.errors import SixfoldError

KEY = ed25519.Ed25519PrivateKey.generate()


def key_set(kid: str) -> bytes:
    entry = jwt.get_algorithm_by_name("EdDSA").to_jwk(KEY.public_key(), as_dict=True) | {"kid": kid}
    entry.pop("key_ops", None)
    return json.dumps({"keys": [entry]}).encode()


class Provider(ThreadingHTTPServer):
    """Answers by path; `seen` are the paths that it was asked for."""

    daemon_threads = True

    def __init__(self, certificate: Certificate) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.certificate, certificate.key)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.kid = "one"
        self.seen: list[str] = []

    def address(self, path: str) -> str:
        return f"https://127.0.0.1:{self.server_address[1]}{path}"

    def handle_error(self, *_: Any) -> None:
        """A client that hangs up on purpose is no news."""


class _Answer(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:
        self.server.seen.append(self.path)
        if self.path == "/redirect":
            self.send_response(302)
            self.send_header("location", self.server.address("/keys"))
            self.end_headers()
            return
        self.send_response(500 if self.path == "/broken" else 200)
        self.end_headers()
        if self.path == "/endless":
            for _ in range(10_000):
                self.wfile.write(b" " * 65536)
        elif self.path == "/slow":
            for _ in range(100):
                self.wfile.write(b" ")
                time.sleep(0.1)
        else:
            self.wfile.write(key_set(self.server.kid))

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return server_certificate(tmp_path_factory.mktemp("idp"), "idp")


@pytest.fixture
def provider(certificate: Certificate) -> Iterator[Provider]:
    server = Provider(certificate)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


async def test_the_key_set_is_fetched(provider: Provider, certificate: Certificate) -> None:
    assert await https_fetch(provider.address("/keys"), ca=certificate.certificate)() == key_set("one")


async def test_a_stranger_with_the_same_address_is_not_believed(provider: Provider) -> None:
    with pytest.raises(httpx.ConnectError):
        await https_fetch(provider.address("/keys"))()
    assert provider.seen == []


async def test_a_redirect_is_not_followed(provider: Provider, certificate: Certificate) -> None:
    with pytest.raises(ValueError, match="302"):
        await https_fetch(provider.address("/redirect"), ca=certificate.certificate)()
    assert provider.seen == ["/redirect"]


async def test_a_proxy_of_the_environment_is_not_asked(
    provider: Provider, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert await https_fetch(provider.address("/keys"), ca=certificate.certificate)()


async def test_an_endless_answer_ends(provider: Provider, certificate: Certificate) -> None:
    with pytest.raises(ValueError, match="large"):
        await https_fetch(provider.address("/endless"), ca=certificate.certificate)()
    assert MAX_BYTES < 10_000 * 65536


@pytest.mark.parametrize("path", ["/slow", "/broken"])
async def test_a_provider_that_fails_is_given_up(
    provider: Provider, certificate: Certificate, path: str
) -> None:
    fetch = https_fetch(provider.address(path), ca=certificate.certificate)
    keys = Jwks(fetch, frozenset({"EdDSA"}), JwksLimits(fetch_seconds=0.5))
    assert not await keys.refresh()
    with pytest.raises(SixfoldError):
        keys.keys()


def test_a_gateway_behind_a_provider(
    start_gateway: Any, forge: Any, provider: Provider, certificate: Certificate
) -> None:
    gateway = start_gateway(
        SIXFOLD_GATEWAY_JWKS_URL=provider.address("/keys"),
        SIXFOLD_GATEWAY_JWT_ALGORITHMS='["EdDSA"]',
        SSL_CERT_FILE=str(certificate.certificate),
    )
    assert provider.seen == ["/keys"]
    good = forge.sign(KEY, algorithm="EdDSA", headers={"kid": "one"})
    assert gateway.get(token=good).status_code == 200
    for kid in ("two", "../keys", provider.address("/broken")):
        odd = {"kid": kid, "jku": provider.address("/redirect"), "x5u": provider.address("/slow")}
        forged = forge.sign(ed25519.Ed25519PrivateKey.generate(), algorithm="EdDSA", headers=odd)
        assert gateway.get(token=forged).status_code == 401
    assert set(provider.seen) == {"/keys"}  # whatever the tokens named
    assert len(provider.seen) == 1  # and unknown kids do not make it ask at once
