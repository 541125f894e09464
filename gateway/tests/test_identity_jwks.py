"""Key sets: which keys are taken, how often they are looked for, and what happens when they cannot be had."""

from __future__ import annotations

import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from gateway.adapters.jwk import parse_jwks
from gateway.adapters.jwks import MAX_BYTES, Jwks, JwksLimits, file_fetch, https_fetch
from gateway.identity.tokens import TokenVerifier
from servicekit.errors import Reason, SixfoldError

ALL = frozenset({"RS256", "ES256", "EdDSA"})
RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()


def jwk(private: Any, algorithm: str, kid: str | None, **changes: Any) -> dict[str, Any]:
    entry = jwt.get_algorithm_by_name(algorithm).to_jwk(private.public_key(), as_dict=True)
    entry.pop("key_ops", None)
    return {k: v for k, v in (entry | {"kid": kid} | changes).items() if v is not None}


def key_set(*entries: Any) -> bytes:
    return json.dumps({"keys": entries}).encode()


GOOD = (jwk(RSA_KEY, "RS256", "r"), jwk(EC_KEY, "ES256", "e"), jwk(ED_KEY, "EdDSA", "d"))


def test_each_key_has_the_one_algorithm_of_its_kind() -> None:
    keys = parse_jwks(key_set(*GOOD), ALL)
    assert {key.kid: key.algorithm for key in keys} == {"r": "RS256", "e": "ES256", "d": "EdDSA"}
    assert [key.kid for key in parse_jwks(key_set(*GOOD), frozenset({"ES256"}))] == ["e"]


@pytest.mark.parametrize(
    "entry",
    [
        {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "kid": "x", "alg": "HS256"},
        jwk(RSA_KEY, "RS256", "x", use="enc"),
        jwk(RSA_KEY, "RS256", "x", alg="RS512"),
        jwk(RSA_KEY, "RS256", "x", alg="HS256"),
        jwk(RSA_KEY, "RS256", "x", alg="none"),
        jwk(RSA_KEY, "RS256", "x", key_ops=["encrypt"]),
        jwk(rsa.generate_private_key(65537, 1024), "RS256", "x"),
        jwk(ec.generate_private_key(ec.SECP384R1()), "ES384", "x"),
        jwk(EC_KEY, "ES256", "x", y="AAAA"),
        jwk(EC_KEY, "ES256", "x", d="AAAA"),
        jwk(RSA_KEY, "RS256", "x", n="!!"),
        {**jwk(RSA_KEY, "RS256", None), "kid": 7},
        {"kty": ["RSA"]},
        "RSA",
        None,
    ],
    ids=repr,
)
def test_a_key_that_does_not_fit_is_passed_over(entry) -> None:
    assert [key.kid for key in parse_jwks(key_set(GOOD[1], entry), ALL)] == ["e"]
    with pytest.raises(ValueError):
        parse_jwks(key_set(entry), ALL)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"keys": 1}', key_set(), key_set(GOOD[0], GOOD[0]), key_set(*GOOD[:1] * 65)],
    ids=len,
)
def test_a_set_that_is_none_is_refused(body) -> None:
    with pytest.raises(ValueError):
        parse_jwks(body, ALL)


class Provider:
    """An identity provider whose answer tests choose."""

    def __init__(self, *entries: Any) -> None:
        self.entries: tuple[Any, ...] | None = entries
        self.asked = 0

    async def __call__(self) -> bytes:
        self.asked += 1
        if self.entries is None:
            raise OSError("away")
        return key_set(*self.entries)


def verifier_of(keys: Jwks, clock: Any) -> TokenVerifier:
    return TokenVerifier(keys, issuer="sixfold", audience="sixfold-gateway", max_lifetime=1e6, clock=clock)


async def test_an_unknown_kid_makes_it_look_but_not_often(sign, clock) -> None:
    provider = Provider(GOOD[1])
    keys = Jwks(provider, ALL, monotonic=clock)
    await keys.refresh()
    verifier = verifier_of(keys, clock)
    assert (
        await verifier.verify(sign(key=EC_KEY, algorithm="ES256", headers={"kid": "e"}).encode())
    ).tenant == "acme"
    provider.entries = (GOOD[1], GOOD[2])
    rotated = sign(key=ED_KEY, algorithm="EdDSA", headers={"kid": "d"}).encode()
    for _ in range(5):
        with pytest.raises(SixfoldError):
            await verifier.verify(rotated)
    assert provider.asked == 1  # it looked a moment ago
    clock.pass_by(10)
    assert (await verifier.verify(rotated)).tenant == "acme"
    assert provider.asked == 2
    clock.pass_by(10)
    for kid in ("a", "b", "../keys", "https://evil.example"):
        with pytest.raises(SixfoldError) as caught:
            await verifier.verify(sign(key=ED_KEY, algorithm="EdDSA", headers={"kid": kid}).encode())
        assert caught.value.reason is Reason.INVALID_TOKEN
    assert provider.asked == 3


async def test_withdrawn_keys_stop_working(sign, clock) -> None:
    provider = Provider(*GOOD)
    keys = Jwks(provider, ALL, monotonic=clock)
    await keys.refresh()
    token = sign(key=ED_KEY, algorithm="EdDSA", headers={"kid": "d"}).encode()
    await verifier_of(keys, clock).verify(token)
    provider.entries = GOOD[:2]
    clock.pass_by(20)
    await keys.refresh()
    with pytest.raises(SixfoldError):
        await verifier_of(keys, clock).verify(token)


async def test_without_keys_it_is_503_not_401(sign, clock) -> None:
    provider = Provider(*GOOD)
    provider.entries = None
    keys = Jwks(provider, ALL, JwksLimits(max_stale_seconds=100), monotonic=clock)
    await keys.start()
    token = sign(key=EC_KEY, algorithm="ES256", headers={"kid": "e"}, exp=int(clock()) + 5000).encode()
    for call in (keys.check(), verifier_of(keys, clock).verify(token)):
        with pytest.raises(SixfoldError) as caught:
            await call
        assert caught.value.reason is Reason.SERVICE_UNAVAILABLE
    provider.entries = GOOD
    clock.pass_by(10)
    assert await keys.refresh()
    await verifier_of(keys, clock).verify(token)
    provider.entries = None
    clock.pass_by(90)
    assert not await keys.refresh()
    await verifier_of(keys, clock).verify(token)  # what was known stays for a while
    clock.pass_by(20)
    with pytest.raises(SixfoldError):
        await verifier_of(keys, clock).verify(token)
    await keys.close()


async def test_a_broken_answer_keeps_the_keys_there_were(clock) -> None:
    provider = Provider(*GOOD)
    keys = Jwks(provider, ALL, monotonic=clock)
    await keys.refresh()
    provider.entries = ("rubbish",)
    clock.pass_by(10)
    assert not await keys.refresh()
    assert keys.keys().find("e")


async def test_a_file(tmp_path) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(key_set(*GOOD))
    assert await file_fetch(path)() == key_set(*GOOD)
    path.write_bytes(b" " * (MAX_BYTES + 1))
    with pytest.raises(ValueError, match="large"):
        await file_fetch(path)()


@pytest.mark.parametrize(
    "url",
    [
        "http://idp.example/keys",
        "file:///etc/passwd",
        "https://",
        "https://a:b@idp.example/",
        "idp.example/keys",
    ],
)
def test_only_https_addresses(url) -> None:
    with pytest.raises(ValueError):
        https_fetch(url)
