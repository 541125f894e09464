"""Forged, stolen, old and odd tokens against a real gateway: each is one 401 with a reason, nothing more."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
HMAC = jwt.get_algorithm_by_name("HS256")
PATHS = [("GET", "/v1/models"), ("POST", "/v1/chat/completions"), ("POST", "/v1/completions"),
         ("POST", "/v1/embeddings"), ("GET", "/v1/keys"), ("POST", "/v1/keys")]  # fmt: skip


def error_of(response: httpx.Response) -> dict[str, Any]:
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert response.headers["x-request-id"]
    return dict(body["error"])


def refused(response: httpx.Response, code: str = "invalid_token") -> None:
    assert response.status_code == 401, response.text
    error = error_of(response)
    assert error["code"] == code
    assert error["type"] == "authentication_error"
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["x-should-retry"] == "false"


def test_a_good_token_gets_in(gateway, forge) -> None:
    response = gateway.get(token=forge.sign(gateway.key))
    assert response.status_code == 200
    assert response.json()["object"] == "list"


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_every_path_asks_who_calls(gateway, forge, method, path) -> None:
    body: dict[str, Any] = {} if method == "GET" else {"json": {"model": "default"}}
    refused(gateway.call(method, path, **body), "missing_credentials")
    refused(gateway.call(method, path, forge.sign(b"k" * 32), **body))
    refused(
        gateway.call(method, path, forge.sign(gateway.key, exp=int(time.time()) - 1), **body), "token_expired"
    )
    refused(gateway.call(method, path, "sk-sixfold-" + "0" * 12 + "-" + "A" * 43, **body), "invalid_api_key")


def flipped(token: str) -> str:
    header, body, signature = token.split(".")
    return f"{header}.{body}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"


def spliced(forge: Any, key: bytes) -> str:
    """The signature of a viewer's token under an administrator's claims."""
    viewer, admin = forge.sign(key, role="viewer"), forge.sign(b"k" * 32)
    return ".".join([*admin.split(".")[:2], viewer.split(".")[2]])


ATTACKS: dict[str, Callable[[Any, bytes], str]] = {
    "tampered signature": lambda f, key: flipped(f.sign(key)),
    "tampered claims": spliced,
    "no signature": lambda f, key: f.sign(key).rpartition(".")[0] + ".",
    "another secret": lambda f, key: f.sign(b"k" * 32),
    "empty secret": lambda f, key: f.assemble({"alg": "HS256"}, f.claims(), lambda u: HMAC.sign(u, b"")),
    "alg none": lambda f, key: f.assemble({"alg": "none"}, f.claims(), lambda u: b""),
    "alg None": lambda f, key: f.assemble({"alg": "None"}, f.claims(), lambda u: b""),
    "alg nOnE, signed": lambda f, key: f.assemble({"alg": "nOnE"}, f.claims(), lambda u: HMAC.sign(u, key)),
    "no alg": lambda f, key: f.assemble({"typ": "JWT"}, f.claims(), lambda u: HMAC.sign(u, key)),
    "alg HS512, right secret": lambda f, key: f.assemble(
        {"alg": "HS512"}, f.claims(), lambda u: jwt.get_algorithm_by_name("HS512").sign(u, key)
    ),
    "alg RS256": lambda f, key: f.sign(RSA_KEY, algorithm="RS256"),
    "alg ES256": lambda f, key: f.sign(EC_KEY, algorithm="ES256"),
    "own key in jwk": lambda f, key: f.sign(
        ED_KEY, algorithm="EdDSA",
        headers={"jwk": json.loads(jwt.get_algorithm_by_name("EdDSA").to_jwk(ED_KEY.public_key()))},
    ),
    "own keys at jku": lambda f, key: f.sign(RSA_KEY, algorithm="RS256", headers={"jku": "http://127.0.0.1:9/k"}),
    "own cert at x5u": lambda f, key: f.sign(RSA_KEY, algorithm="RS256", headers={"x5u": "http://127.0.0.1:9/c"}),
    "kid is a path, empty file as secret": lambda f, key: f.assemble(
        {"alg": "HS256", "kid": "../../../../dev/null"}, f.claims(), lambda u: HMAC.sign(u, b"")
    ),
    "kid is SQL": lambda f, key: f.sign(b"x" * 32, headers={"kid": "' UNION SELECT 'xxxxxxxxxxxxxxxx' --"}),
    "kid is a URL": lambda f, key: f.sign(b"k" * 32, headers={"kid": "http://127.0.0.1:9/key"}),
    "crit": lambda f, key: f.assemble(
        {"alg": "HS256", "crit": ["b64"], "b64": False}, f.claims(), lambda u: HMAC.sign(u, key)
    ),
    "not yet valid": lambda f, key: f.sign(key, nbf=int(time.time()) + 3600),
    "issued in the future": lambda f, key: f.sign(
        key, iat=int(time.time()) + 3600, exp=int(time.time()) + 7200
    ),
    "no expiry": lambda f, key: f.sign(key, exp=None),
    "endless": lambda f, key: f.sign(key, exp=int(time.time()) + 100 * 365 * 86400),
    "another audience": lambda f, key: f.sign(key, aud="model-service"),
    "no audience": lambda f, key: f.sign(key, aud=None),
    "another issuer": lambda f, key: f.sign(key, iss="https://evil.example"),
    "no issuer": lambda f, key: f.sign(key, iss=None),
    "no tenant": lambda f, key: f.sign(key, tenant=None),
    "empty tenant": lambda f, key: f.sign(key, tenant=""),
    "tenant of a path": lambda f, key: f.sign(key, tenant="../default"),
    "tenant of a pattern": lambda f, key: f.sign(key, tenant="*"),
    "tenant with a colon": lambda f, key: f.sign(key, tenant="acme:requests"),
    "tenant with a line": lambda f, key: f.sign(key, tenant="acme\n"),
    "tenant with NUL": lambda f, key: f.sign(key, tenant="acme\0"),
    "tenants": lambda f, key: f.sign(key, tenant=["acme", "default"]),
    "tenant in capitals": lambda f, key: f.sign(key, tenant="ACME"),
    "unknown role": lambda f, key: f.sign(key, role="root"),
    "roles": lambda f, key: f.sign(key, role=["admin"]),
    "no subject": lambda f, key: f.sign(key, sub=None),
    "huge": lambda f, key: f.sign(key, padding="x" * 9000),
    "two tokens": lambda f, key: f"{f.sign(key)}, Bearer {f.sign(key)}",
    "a JSON web encryption": lambda f, key: f.sign(key) + ".a.b",
    "rubbish": lambda f, key: "....",
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_one_401(gateway, forge, attack) -> None:
    token = ATTACKS[attack](forge, gateway.key)
    for path in ("/v1/models", "/v1/keys"):
        response = gateway.get(path, token=token)
        refused(response)
        assert token[-40:] not in response.text


def test_a_service_token_is_no_users_token(gateway, forge) -> None:
    service_key = bytes.fromhex((gateway.home / "secrets" / "service.key").read_text())
    refused(gateway.get(token=forge.sign(service_key)))


def test_a_token_that_expires_stops_working_though_it_was_remembered(gateway, forge) -> None:
    token = forge.sign(gateway.key, exp=int(time.time()) + 2)
    assert gateway.get(token=token).status_code == 200
    while time.time() < jwt.decode(token, options={"verify_signature": False})["exp"]:
        time.sleep(0.05)
    refused(gateway.get(token=token), "token_expired")


def test_roles_bound_what_a_token_may(gateway, forge) -> None:
    may = {
        "viewer": {("GET", "/v1/models")},
        "member": set(PATHS) - {("GET", "/v1/keys"), ("POST", "/v1/keys")},
        "admin": set(PATHS),
    }
    for role, allowed in may.items():
        token = forge.sign(gateway.key, role=role)
        for method, path in PATHS:
            body: dict[str, Any] = {} if method == "GET" else {"json": {"model": "nothing"}}
            response = gateway.call(method, path, token, **body)
            assert (response.status_code != 403) == ((method, path) in allowed), (role, path, response.text)
            assert response.status_code != 401
            if response.status_code == 403:
                assert error_of(response)["code"] == "permission_denied"


def test_the_tenant_is_the_tokens_whatever_the_request_says(gateway, forge) -> None:
    own = gateway.call(
        "POST", "/v1/keys", forge.sign(gateway.key, tenant="acme"), json={"name": "acme's"}
    ).json()
    token = forge.sign(gateway.key, tenant="umbrella")
    claimed = {
        "x-tenant": "acme",
        "x-sixfold-tenant": "acme",
        "openai-organization": "acme",
        "cookie": "tenant=acme",
    }
    listed = gateway.get("/v1/keys?tenant=acme", token=token, headers=claimed)
    assert listed.json()["data"] == []
    assert gateway.get(f"/v1/keys/{own['id']}?tenant=acme", token=token, headers=claimed).status_code == 404
    smuggled = gateway.call("POST", "/v1/keys", token, json={"name": "x", "tenant": "acme"}, headers=claimed)
    assert smuggled.status_code == 400
    assert error_of(smuggled)["param"] == "tenant"


@pytest.fixture(scope="module")
def idp_gateway(start_gateway, tmp_path_factory, forge):
    """Trusts the public keys of an identity provider, and no secret."""

    def entry(private: Any, algorithm: str, kid: str) -> dict[str, Any]:
        made = jwt.get_algorithm_by_name(algorithm).to_jwk(private.public_key(), as_dict=True)
        return {k: v for k, v in made.items() if k != "key_ops"} | {
            "kid": kid,
            "use": "sig",
            "alg": algorithm,
        }

    path = tmp_path_factory.mktemp("idp") / "keys.json"
    keys = [entry(RSA_KEY, "RS256", "r"), entry(EC_KEY, "ES256", "e"), entry(ED_KEY, "EdDSA", "d")]
    path.write_text(json.dumps({"keys": keys}))
    return start_gateway(
        SIXFOLD_GATEWAY_JWKS_FILE=str(path), SIXFOLD_GATEWAY_JWT_ISSUER="https://idp.example"
    )


KEYS = {"r": (RSA_KEY, "RS256"), "e": (EC_KEY, "ES256"), "d": (ED_KEY, "EdDSA")}


@pytest.mark.parametrize("kid", KEYS)
def test_an_identity_providers_tokens(idp_gateway, forge, kid) -> None:
    key, algorithm = KEYS[kid]
    iss = "https://idp.example"
    good = forge.sign(key, algorithm=algorithm, headers={"kid": kid}, iss=iss)
    assert idp_gateway.get(token=good).status_code == 200
    refused(
        idp_gateway.get(token=forge.sign(key, algorithm=algorithm, headers={"kid": kid}))
    )  # not its issuer
    refused(idp_gateway.get(token=forge.sign(key, algorithm=algorithm, iss=iss)))  # which key?
    for other in KEYS.keys() - {kid}:
        refused(idp_gateway.get(token=forge.sign(key, algorithm=algorithm, headers={"kid": other}, iss=iss)))
    stranger = ec.generate_private_key(ec.SECP256R1())
    for name in ("e", kid, "../keys.json", "https://idp.example/keys"):
        refused(
            idp_gateway.get(token=forge.sign(stranger, algorithm="ES256", headers={"kid": name}, iss=iss))
        )


@pytest.mark.parametrize("kid", KEYS)
def test_a_public_key_is_no_hmac_secret(idp_gateway, forge, kid) -> None:
    public = KEYS[kid][0].public_key()
    secrets = [
        public.public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
        for encoding in (serialization.Encoding.PEM, serialization.Encoding.DER)
    ]
    secrets += [secrets[0].strip(), secrets[0].replace(b"\n", b"\r\n")]
    for secret in secrets:
        for name in (kid, None):
            header = {"alg": "HS256", "typ": "JWT"} | ({} if name is None else {"kid": name})
            claims = forge.claims(iss="https://idp.example")
            refused(
                idp_gateway.get(token=forge.assemble(header, claims, lambda u, s=secret: HMAC.sign(u, s)))
            )


def test_with_an_identity_provider_the_local_secret_counts_for_nothing(idp_gateway, forge) -> None:
    refused(idp_gateway.get(token=forge.sign(idp_gateway.key, iss="https://idp.example")))
    refused(idp_gateway.get(token=forge.sign(idp_gateway.key)))


def test_nothing_of_a_credential_is_logged(gateway, forge) -> None:
    """Last in the file: the log has seen every attack."""
    good, bad = forge.sign(gateway.key), flipped(forge.sign(gateway.key))
    api_key = gateway.call("POST", "/v1/keys", good, json={"name": "logged"}).json()["key"]
    for token in (good, bad, api_key):
        gateway.get(token=token)
        gateway.get(f"/v1/keys?token={token}", token=token)
        gateway.get(f"/v1/models/{token}", token=token)
    time.sleep(0.5)  # access lines are written in bunches
    log = gateway.log
    assert "request" in log
    for token in (good, bad, api_key):
        assert token not in log
        assert token[-30:] not in log
    assert "Traceback" not in log
    assert "eyJhbGciOi" not in log
    assert "sk-sixfold-" not in log
    assert gateway.key.hex() not in log
