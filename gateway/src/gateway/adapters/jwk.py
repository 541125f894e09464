"""Reads a JSON Web Key Set into verifying keys, each with exactly one algorithm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from gateway.identity.keyring import VerifyKey

MAX_KEYS = 64
MIN_RSA_BITS = 2048
MAX_RSA_BITS = 8192
_ALGORITHM = {("RSA", None): "RS256", ("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}
_KINDS: Mapping[str, type] = {
    "RS256": RSAPublicKey,
    "ES256": EllipticCurvePublicKey,
    "EdDSA": Ed25519PublicKey,
}


def parse_jwks(body: bytes, algorithms: frozenset[str]) -> list[VerifyKey]:
    """The signature keys of a set that use one of `algorithms`; others are passed over.

    Secrets (`oct`) and private keys are never taken. Raises ValueError when the set is not one, names a
    `kid` twice, or has no usable key.
    """
    document = orjson.loads(body)
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise ValueError("not a JSON Web Key Set")
    keys = [key for entry in entries if (key := _key(entry, algorithms)) is not None]
    named = [key.kid for key in keys]
    if not keys or len(set(named)) != len(named):
        raise ValueError("the key set has no usable key, or two of one name")
    return keys


def _key(entry: Any, algorithms: frozenset[str]) -> VerifyKey | None:
    if not isinstance(entry, dict) or "d" in entry or entry.get("use", "sig") != "sig":
        return None
    operations = entry.get("key_ops", ["verify"])
    curve = entry.get("crv") if entry.get("kty") != "RSA" else None
    algorithm = _ALGORITHM.get((str(entry.get("kty")), curve if isinstance(curve, str) else None))
    # A key's own `alg` may only confirm what its kind says: one key, one algorithm.
    if algorithm is None or algorithm not in algorithms or entry.get("alg", algorithm) != algorithm:
        return None
    kid = entry.get("kid")
    if (
        not (kid is None or isinstance(kid, str))
        or not isinstance(operations, list)
        or "verify" not in operations
    ):
        return None
    try:
        key = jwt.PyJWK(entry, algorithm=algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if not isinstance(key, _KINDS[algorithm]):
        return None
    if isinstance(key, RSAPublicKey) and not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        return None
    return VerifyKey(kid, algorithm, key)
