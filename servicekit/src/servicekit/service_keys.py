"""The keys that service tokens are made and checked with: one that all share, or a pair for each service.

The shared key (HS256) needs one file and suits one machine. With pairs (EdDSA, Ed25519) a service holds
only its own private key, so who reads one service's secrets cannot speak for another.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import jwt


class Keys(Protocol):
    """One algorithm, fixed here and never taken from a token."""

    algorithm: str

    def signing(self) -> tuple[Any, str | None]:
        """The key to sign with, and its name for the token's header."""

    def verifying(self, token: str) -> tuple[Any, str | None]:
        """The key to check with, and the only service whose token it may be. Raises jwt.PyJWTError."""


class SharedKey:
    """HS256 with 32 bytes or more."""

    algorithm = "HS256"

    def __init__(self, key: bytes) -> None:
        if len(key) < 32:
            raise ValueError("a service key has at least 32 bytes")
        self._key = key

    def signing(self) -> tuple[Any, str | None]:
        """The key; it has no name."""
        return self._key, None

    def verifying(self, token: str) -> tuple[Any, str | None]:
        """The key, for any service that holds it."""
        return self._key, None


class KeyPairs:
    """EdDSA: this service's private key, and everybody's public keys by the name of the service."""

    algorithm = "EdDSA"

    def __init__(self, service: str, private: Any, public: Mapping[str, Any]) -> None:
        self._service = service
        self._private = private
        self._public = dict(public)

    def signing(self) -> tuple[Any, str | None]:
        """The private key, named for the service."""
        return self._private, self._service

    def verifying(self, token: str) -> tuple[Any, str | None]:
        """The public key of the service that the header names; the token must be that service's."""
        name = jwt.get_unverified_header(token).get("kid")
        if not isinstance(name, str) or name not in self._public:
            raise jwt.InvalidTokenError
        return self._public[name], name


def load_key(path: Path) -> bytes:
    """Reads a key of 64 hex characters. Exits with one line if it is missing, short or not private."""
    try:
        key = bytes.fromhex(_read_private(path, "`sixfold up` makes one, or write 64 hex characters there"))
    except ValueError:
        raise SystemExit(f"{path}: a key is 64 hex characters.") from None
    if len(key) < 32:
        raise SystemExit(f"{path}: the key is too short, it needs 64 hex characters.")
    return key


def load_key_pairs(service: str, private_file: Path, public_file: Path) -> KeyPairs:
    """Reads an Ed25519 private key (PEM, mode 0600) and a JWKS of public keys, `kid` the service names."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    text = _read_private(private_file, "make one with: openssl genpkey -algorithm ed25519")
    try:
        private = load_pem_private_key(text.encode(), None)
    except (ValueError, TypeError):
        private = None
    if not isinstance(private, Ed25519PrivateKey):
        raise SystemExit(f"{private_file}: not an unencrypted Ed25519 private key in PEM.")
    public: dict[str, Ed25519PublicKey] = {}
    try:
        for item in json.loads(public_file.read_text("utf-8"))["keys"]:
            key = jwt.PyJWK(item, algorithm="EdDSA").key
            if not isinstance(key, Ed25519PublicKey):  # a private key in this file would be a leak
                raise ValueError
            public[str(item["kid"])] = key
    except (OSError, ValueError, KeyError, TypeError, jwt.PyJWTError):
        raise SystemExit(
            f'{public_file}: not a key set. Write {{"keys": [{{"kid": "SERVICE", "kty": "OKP", '
            '"crv": "Ed25519", "x": "…"}, …]}.'
        ) from None
    if service in public and public[service] != private.public_key():
        raise SystemExit(f"{public_file}: the public key of {service} does not belong to {private_file}.")
    return KeyPairs(service, private, public)


def _read_private(path: Path, advice: str) -> str:
    try:
        mode = path.stat().st_mode
        text = path.read_text("ascii").strip()
    except FileNotFoundError:
        raise SystemExit(f"{path}: no such key file. {advice[0].upper()}{advice[1:]}, mode 0600.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SystemExit(f"{path}: cannot read the key file ({type(error).__name__}).") from None
    if stat.S_IMODE(mode) & 0o077:
        raise SystemExit(f"{path}: others can read this key file. Run: chmod 600 {path}")
    return text
