"""Names of objects. They are made of ids and digests, never of what a person typed."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

_NAMESPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}(?:/[A-Za-z0-9][A-Za-z0-9_-]{0,127}){0,3}")
_DIGEST = re.compile(r"[0-9a-f]{64}")

INCOMING = ".incoming"
"""Where an object lies while it is written. No namespace can begin with a dot."""
SEALED = ".sealed"
"""How the name of an encrypted object ends in the store."""


def check_namespace(namespace: str) -> str:
    """The namespace itself: one to four ids with slashes between. ValueError for anything else."""
    if not _NAMESPACE.fullmatch(namespace):
        raise ValueError("a namespace is one to four ids of letters, digits, _ and -, with slashes between")
    return namespace


def split_key(key: str) -> tuple[str, str]:
    """`<namespace>/<sha256>` → both. ValueError for anything else."""
    namespace, _, digest = key.rpartition("/")
    if not _DIGEST.fullmatch(digest):
        raise ValueError("an object's key ends in the SHA-256 of its content")
    return check_namespace(namespace), digest


def temporary() -> str:
    """A place for an object whose digest is not known yet."""
    return f"{INCOMING}/{secrets.token_hex(16)}"


def sealed_name(key: str, secret: bytes) -> str:
    """Where the encrypted object of this key lies.

    The digest of the content stays out of the name: it would confirm a guess of what is inside.
    """
    namespace, digest = split_key(key)
    name = hmac.digest(
        secret, b"sixfold-object-name\0" + namespace.encode() + b"/" + digest.encode(), "sha256"
    )
    return f"{namespace}/{name.hex()}{SEALED}"


def fingerprint(secret: bytes) -> bytes:
    """Eight bytes that tell one key from another and say nothing about either."""
    return hashlib.sha256(b"sixfold-object-key\0" + secret).digest()[:8]
