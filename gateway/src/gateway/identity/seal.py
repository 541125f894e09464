"""Keeps a shown key for a repeat of the very request that made it, and for nobody else.

A client whose answer got lost repeats its request with the same Idempotency-Key and must get the same key.
So the key is stored encrypted under one that is derived from a secret of this installation and from what the
client sent: neither the database nor the secret alone opens it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE = 12


class Seal:
    """Seals and opens with keys derived per request. `secret` has at least 32 bytes."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 32:
            raise ValueError("the secret needs at least 32 bytes")
        self._secret = secret

    def token(self, tenant: str, subject: str, idempotency_key: str) -> bytes:
        """What a request is found by when it is repeated: 32 bytes that say nothing about it."""
        return self._derive(b"find", tenant, subject, idempotency_key)

    def close(self, text: str, tenant: str, subject: str, idempotency_key: str) -> bytes:
        """Encrypts `text` (AES-256-GCM, nonce first)."""
        nonce = secrets.token_bytes(_NONCE)
        key = self._derive(b"open", tenant, subject, idempotency_key)
        return nonce + AESGCM(key).encrypt(nonce, text.encode(), None)

    def open(self, sealed: bytes, tenant: str, subject: str, idempotency_key: str) -> str | None:
        """What `close` was given; None when it was closed for something else or under another secret."""
        key = self._derive(b"open", tenant, subject, idempotency_key)
        try:
            return AESGCM(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], None).decode()
        except (InvalidTag, ValueError):
            return None

    def _derive(self, purpose: bytes, *parts: str) -> bytes:
        place = b"\0".join(
            [b"sixfold-api-key", purpose, *(hashlib.sha256(p.encode()).digest() for p in parts)]
        )
        return hmac.digest(self._secret, place, "sha256")
