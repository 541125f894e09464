"""Which tokens get in, and that nothing in a token chooses how it is checked."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from gateway.identity.keyring import Keyring, StaticKeys, VerifyKey
from gateway.identity.roles import ROLES
from gateway.identity.tokens import TokenVerifier
from servicekit.errors import Reason, SixfoldError


async def refused(verifier: TokenVerifier, token: str) -> SixfoldError:
    with pytest.raises(SixfoldError) as caught:
        await verifier.verify(token.encode())
    return caught.value


def raw(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"x") -> str:
    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    return ".".join([part(json.dumps(header).encode()), part(json.dumps(claims).encode()), part(signature)])


async def test_a_good_token_says_who_calls(verifier, sign) -> None:
    principal = await verifier.verify(sign(role="member").encode())
    assert (principal.tenant, principal.subject, principal.role) == ("acme", "ada", "member")
    assert principal.scopes == ROLES["member"]
    assert principal.credential == "jwt"
    assert principal.expires_at == sign.claims()["exp"]


@pytest.mark.parametrize("claim", ["exp", "iat", "iss", "aud", "sub", "tenant", "role"])
async def test_every_claim_is_needed(verifier, sign, claim) -> None:
    assert (await refused(verifier, sign(**{claim: None}))).reason is Reason.INVALID_TOKEN


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "sixfold-other"},
        {"aud": []},
        {"iss": "someone"},
        {"role": "owner"},
        {"role": ["admin"]},
        {"sub": ""},
        {"sub": "x" * 257},
        {"sub": "a\nb"},
        {"tenant": ""},
        {"tenant": "Acme"},
        {"tenant": "acme\n"},
        {"tenant": "../default"},
        {"tenant": "a:b"},
        {"tenant": "a*"},
        {"tenant": "-acme"},
        {"tenant": "x" * 64},
        {"tenant": "аcme"},  # a Cyrillic a
        {"tenant": ["acme"]},
        {"tenant": 7},
    ],
    ids=repr,
)
async def test_a_wrong_claim_is_refused(verifier, sign, changes) -> None:
    assert (await refused(verifier, sign(**changes))).reason is Reason.INVALID_TOKEN


@pytest.mark.parametrize(
    "value", ["soon", True, [], {}, 10**400, float("nan"), float("inf"), -float("inf")], ids=repr
)
@pytest.mark.parametrize("claim", ["exp", "iat", "nbf"])
async def test_a_date_is_a_finite_number(verifier, sign, claim, value) -> None:
    token = sign()
    claims = sign.claims(**{claim: value})
    header, _, _ = token.split(".")
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    signature = jwt.get_algorithm_by_name("HS256").sign(f"{header}.{body}".encode(), sign.key)
    forged = f"{header}.{body}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    assert (await refused(verifier, forged)).reason is Reason.INVALID_TOKEN


async def test_times(verifier, sign, clock) -> None:
    now = int(clock())
    assert (await refused(verifier, sign(exp=now))).reason is Reason.TOKEN_EXPIRED
    assert (await refused(verifier, sign(nbf=now + 60))).reason is Reason.INVALID_TOKEN
    assert (await refused(verifier, sign(iat=now + 60, nbf=now))).reason is Reason.INVALID_TOKEN
    assert (await refused(verifier, sign(iat=now - 10, exp=now + 400 * 86400))).reason is Reason.INVALID_TOKEN
    assert (await refused(verifier, sign(iat=now + 4, exp=now + 3))).reason is Reason.INVALID_TOKEN
    await verifier.verify(sign(nbf=now + 4, iat=now + 4).encode())  # clocks differ a little
    clock.pass_by(599)
    token = sign(iat=now, nbf=now, exp=now + 600)
    await verifier.verify(token.encode())
    clock.pass_by(1)
    assert (await refused(verifier, token)).reason is Reason.TOKEN_EXPIRED


async def test_a_tampered_token_is_refused(verifier, sign) -> None:
    header, body, signature = sign(role="viewer").split(".")
    claims = sign.claims(role="admin")
    other = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    flipped = signature[:-2] + ("A" if signature[-2] != "A" else "B") + signature[-1]
    for token in (f"{header}.{other}.{signature}", f"{header}.{body}.{flipped}", f"{header}.{body}."):
        assert (await refused(verifier, token)).reason is Reason.INVALID_TOKEN
    assert (await refused(verifier, sign(key=b"k" * 32))).reason is Reason.INVALID_TOKEN


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "NONE", "nOnE", "HS384", "HS512", "RS256", "", None, 7, ["HS256"]]
)
async def test_the_algorithm_is_the_keys(verifier, sign, algorithm) -> None:
    header = {"typ": "JWT"} | ({} if algorithm is None else {"alg": algorithm})
    for signature in (b"", b"x"):
        assert (await refused(verifier, raw(header, sign.claims(), signature))).reason is Reason.INVALID_TOKEN


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
@pytest.mark.filterwarnings("ignore:The HMAC key is")
async def test_the_right_secret_with_another_hash_is_refused(verifier, sign, algorithm) -> None:
    assert (await refused(verifier, sign(algorithm=algorithm))).reason is Reason.INVALID_TOKEN


async def test_a_public_key_is_no_hmac_secret(sign, clock) -> None:
    private = rsa.generate_private_key(65537, 2048)
    public = private.public_key()
    verifier = TokenVerifier(
        StaticKeys(VerifyKey("rsa", "RS256", public)),
        issuer="sixfold", audience="sixfold-gateway", max_lifetime=1e9, clock=clock,
    )  # fmt: skip
    await verifier.verify(sign(key=private, algorithm="RS256", headers={"kid": "rsa"}).encode())
    hmac = jwt.get_algorithm_by_name("HS256")
    for encoding, form in (
        (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        (serialization.Encoding.PEM, serialization.PublicFormat.PKCS1),
    ):
        unsigned = raw({"alg": "HS256", "typ": "JWT", "kid": "rsa"}, sign.claims()).rpartition(".")[0]
        signature = hmac.sign(unsigned.encode(), public.public_bytes(encoding, form))
        forged = f"{unsigned}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
        assert (await refused(verifier, forged)).reason is Reason.INVALID_TOKEN


@pytest.mark.parametrize(
    "kid", ["../../dev/null", "/etc/passwd", "http://127.0.0.1/keys", "' OR 1=1 --", "", "x" * 500]
)
async def test_a_kid_is_looked_up_and_nothing_else(sign, clock, kid) -> None:
    keys = [VerifyKey("one", "HS256", sign.key), VerifyKey("two", "HS256", b"2" * 32)]
    verifier = TokenVerifier(
        StaticKeys(*keys), issuer="sixfold", audience="sixfold-gateway", max_lifetime=1e9, clock=clock
    )
    await verifier.verify(sign(headers={"kid": "one"}).encode())
    assert (await refused(verifier, sign(headers={"kid": kid}))).reason is Reason.INVALID_TOKEN
    assert (await refused(verifier, sign(headers={"kid": "two"}))).reason is Reason.INVALID_TOKEN
    assert (await refused(verifier, sign())).reason is Reason.INVALID_TOKEN  # which key is not clear


async def test_keys_that_a_token_brings_are_not_read(verifier, sign, clock) -> None:
    private = ed25519.Ed25519PrivateKey.generate()
    own = json.loads(jwt.get_algorithm_by_name("EdDSA").to_jwk(private.public_key()))
    headers = {
        "jwk": own, "jku": "https://evil.example/keys", "x5u": "https://evil.example/cert", "x5c": ["AAAA"],
    }  # fmt: skip
    forged = sign(key=private, algorithm="EdDSA", headers=headers)
    assert (await refused(verifier, forged)).reason is Reason.INVALID_TOKEN
    await verifier.verify(sign(headers=headers).encode())  # rightly signed, they do no harm


@pytest.mark.parametrize(
    "header", [{"crit": ["b64"]}, {"crit": []}, {"b64": False}, {"kid": 7}, {"kid": ["a"]}, {"kid": None}]
)
async def test_headers_that_change_the_rules_are_refused(verifier, sign, header) -> None:
    token = raw({"alg": "HS256"} | header, sign.claims()).rpartition(".")[0]
    signature = jwt.get_algorithm_by_name("HS256").sign(token.encode(), sign.key)
    signed = f"{token}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    assert (await refused(verifier, signed)).reason is Reason.INVALID_TOKEN


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "e30.e30.",
        "\xff.\xff.\xff",
        "." * 5000,
        "x" * 9000,
        "[" * 3000 + ".a.b",
    ],
)
async def test_rubbish_is_refused(verifier, token) -> None:
    assert (await refused(verifier, token)).reason is Reason.INVALID_TOKEN


async def test_a_deep_token_is_refused(verifier, sign) -> None:
    deep = base64.urlsafe_b64encode(b"[" * 5000).decode()
    assert (await refused(verifier, f"{deep}.{deep[:900]}.x")).reason is Reason.INVALID_TOKEN
    header = sign().split(".")[0]
    assert (await refused(verifier, f"{header}.{deep[:6000]}.x")).reason is Reason.INVALID_TOKEN


async def test_a_refusal_says_nothing_of_the_token(verifier, sign) -> None:
    error = await refused(verifier, sign(tenant="Secret Tenant", sub="a secret"))
    assert "ecret" not in error.message
    assert not error.metadata


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_public_key_algorithms(sign, clock, algorithm) -> None:
    private: Any = {
        "RS256": lambda: rsa.generate_private_key(65537, 2048),
        "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate,
    }[algorithm]()
    verifier = TokenVerifier(
        StaticKeys(VerifyKey("k", algorithm, private.public_key()), VerifyKey("local", "HS256", sign.key)),
        issuer="sixfold", audience="sixfold-gateway", max_lifetime=1e9, clock=clock,
    )  # fmt: skip
    signed = sign(key=private, algorithm=algorithm, headers={"kid": "k"})
    assert (await verifier.verify(signed.encode())).tenant == "acme"
    assert (await refused(verifier, sign(headers={"kid": "k"}))).reason is Reason.INVALID_TOKEN
    crossed = sign(key=private, algorithm=algorithm, headers={"kid": "local"})
    assert (await refused(verifier, crossed)).reason is Reason.INVALID_TOKEN


def test_a_weak_secret_is_not_taken() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        StaticKeys(VerifyKey(None, "HS256", b"short"))


def test_a_keyring_finds_by_name() -> None:
    one, two = VerifyKey("one", "RS256", 1), VerifyKey("two", "RS256", 2)
    assert Keyring([one, two]).find("two") is two
    assert Keyring([one, two]).find(None) is None
    assert Keyring([one]).find(None) is one
    assert Keyring([one]).find("two") is None
    assert Keyring([]).find(None) is None
