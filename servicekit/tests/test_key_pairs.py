"""Service tokens with a key pair for each service: nobody can speak for another."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from jwt.algorithms import OKPAlgorithm

from servicekit.errors import Reason, SixfoldError
from servicekit.identity import Caller, ServiceIdentity
from servicekit.settings import ServiceSettings

NAMES = ("gateway", "model-service", "eval-service")


def pem(key: Any) -> str:
    made: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.decode()


class Town:
    """Three services with a pair each, and one file of public keys."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys = {name: Ed25519PrivateKey.generate() for name in NAMES}
        self.public = folder / "services.jwks"
        jwks = [{**OKPAlgorithm.to_jwk(k.public_key(), as_dict=True), "kid": n} for n, k in self.keys.items()]
        self.public.write_text(json.dumps({"keys": jwks}))
        for name, key in self.keys.items():
            self.write(name, pem(key))

    def write(self, name: str, text: str) -> Path:
        file = self.folder / f"{name}.pem"
        file.touch(0o600)
        file.write_text(text)
        return file

    def settings(self, name: str) -> ServiceSettings:
        return ServiceSettings(
            home=self.folder,
            service_private_key_file=self.folder / f"{name}.pem",
            service_public_keys_file=self.public,
        )

    def identity(self, name: str) -> ServiceIdentity:
        return ServiceIdentity.from_settings(name, self.settings(name))

    def forged(self, key: Any, kid: str | None, algorithm: str = "EdDSA", **changes: Any) -> str:
        now = int(time.time())
        claims = {
            "iss": "sixfold",
            "sub": "gateway",
            "aud": "model-service",
            "tenant": "acme",
            "act": "",
            "iat": now,
            "exp": now + 30,
            **changes,
        }
        return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid} if kid else None)


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return Town(tmp_path)


def test_each_service_knows_the_others(town: Town) -> None:
    token = town.identity("gateway").token("model-service", "acme", "u")
    assert jwt.get_unverified_header(token)["alg"] == "EdDSA"
    assert town.identity("model-service").verify(token) == Caller("gateway", "acme", "u")


def test_no_service_can_speak_for_another(town: Town) -> None:
    checker = town.identity("model-service")
    mine = town.keys["eval-service"]
    public = town.keys["gateway"].public_key().public_bytes_raw()
    for token in (
        town.forged(mine, "eval-service"),  # signed by one, naming the other
        town.forged(mine, "gateway"),
        town.forged(mine, None),
        town.forged(mine, "nobody"),
        town.forged(mine, "../gateway"),
        town.forged(public, "gateway", "HS256"),  # the public key as a shared secret
        town.forged("", "gateway", "none"),
    ):
        with pytest.raises(SixfoldError) as caught:
            checker.verify(token)
        assert caught.value.reason is Reason.INVALID_TOKEN
    assert checker.verify(town.forged(town.keys["gateway"], "gateway")).service == "gateway"


def test_a_token_of_the_shared_key_is_not_taken(town: Town) -> None:
    token = ServiceIdentity("gateway", bytes(32)).token("model-service", "acme")
    with pytest.raises(SixfoldError):
        town.identity("model-service").verify(token)


def test_bad_files_are_one_clear_line(town: Town) -> None:
    def refused(words: str) -> None:
        with pytest.raises(SystemExit, match=words):
            town.identity("gateway")

    good = town.public.read_text()
    for bad in (
        "",
        "[]",
        "{}",
        '{"keys": [{"kid": "x"}]}',
        '{"keys": [{"kty": "oct", "k": "aaaa", "kid": "x"}]}',
    ):
        town.public.write_text(bad)
        refused("not a key set")
    leaked = OKPAlgorithm.to_jwk(town.keys["gateway"], as_dict=True)
    town.public.write_text(json.dumps({"keys": [{**leaked, "kid": "gateway"}]}))
    refused("not a key set")
    town.public.write_text(good)
    town.write("gateway", pem(Ed25519PrivateKey.generate()))
    refused("does not belong")
    town.write("gateway", pem(generate_private_key(65537, 2048)))
    refused("not an unencrypted Ed25519")
    town.write("gateway", "nonsense")
    refused("not an unencrypted Ed25519")
    (town.folder / "gateway.pem").chmod(0o644)
    refused("chmod 600")


def test_both_files_or_none(town: Town) -> None:
    half = ServiceSettings(home=town.folder, service_public_keys_file=town.public)
    with pytest.raises(SystemExit, match="SIXFOLD_SERVICE_PRIVATE_KEY_FILE"):
        ServiceIdentity.from_settings("gateway", half)
    secrets = town.folder / "secrets"
    secrets.mkdir()
    (secrets / "service.key").touch(0o600)
    (secrets / "service.key").write_text("ab" * 32)
    shared = ServiceIdentity.from_settings("gateway", ServiceSettings(home=town.folder))
    assert jwt.get_unverified_header(shared.token("x", "acme"))["alg"] == "HS256"
