"""From an Authorization header to a `Principal`."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable

from gateway.identity.api_keys import PREFIX, ApiKey, digest_of, key_id_of
from gateway.identity.principal import Principal
from gateway.identity.snapshot import KeySnapshot
from gateway.identity.tokens import MAX_TOKEN_BYTES, TokenVerifier, invalid_token
from servicekit.errors import Reason, SixfoldError


class Authenticator:
    """Checks credentials. Verified tokens are remembered by their SHA-256, never by their text.

    `remember_seconds` is the longest a verified token is trusted without verifying it again, and
    `remember_tokens` how many are remembered.
    """

    def __init__(
        self,
        tokens: TokenVerifier,
        keys: KeySnapshot,
        *,
        remember_seconds: float = 60.0,
        remember_tokens: int = 10_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._tokens = tokens
        self._keys = keys
        self._remember_seconds = remember_seconds
        self._remember_tokens = remember_tokens
        self._clock = clock
        self._verified: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()

    def cached(self, authorization: bytes) -> Principal | None:
        """The principal of a credential that needs no more work; None means: ask `authenticate`."""
        token = authorization[7:]
        if token.startswith(PREFIX):
            return self._known_key(token) if authorization[:7].lower() == b"bearer " else None
        entry = self._verified.get(hashlib.sha256(token).digest())
        if entry is None or entry[1] <= self._clock() or authorization[:7].lower() != b"bearer ":
            return None
        return entry[0]

    async def authenticate(self, authorization: bytes | None) -> Principal:
        """Verifies a credential.

        Raises MISSING_CREDENTIALS, INVALID_TOKEN, TOKEN_EXPIRED, INVALID_API_KEY, or SERVICE_UNAVAILABLE
        when the keys to check it with cannot be had.
        """
        token = _bearer(authorization)
        if token.startswith(b"sk-") or b"." not in token:
            return await self._check_key(token)
        cached = self.cached(b"Bearer " + token)
        if cached is not None:
            return cached
        principal = await self._tokens.verify(token)
        self._remember(token, principal)
        return principal

    async def _check_key(self, token: bytes) -> Principal:
        key_id = key_id_of(token)
        if key_id is None:
            raise _invalid_key()
        self._keys.check()
        entry = self._keys.get(key_id) or await self._keys.look_up(key_id)
        if entry is None or not self._fits(entry[0], token):
            raise _invalid_key()
        return entry[1]

    def _known_key(self, token: bytes) -> Principal | None:
        key_id = key_id_of(token)
        entry = self._keys.get(key_id) if key_id is not None else None
        return entry[1] if entry is not None and self._fits(entry[0], token) else None

    def _fits(self, key: ApiKey, token: bytes) -> bool:
        return key.matches(digest_of(token)) and key.status(self._clock()) == "active"

    def _remember(self, token: bytes, principal: Principal) -> None:
        until = self._clock() + self._remember_seconds
        if principal.expires_at is not None:
            until = min(until, principal.expires_at)
        digest = hashlib.sha256(token).digest()
        self._verified[digest] = (principal, until)
        self._verified.move_to_end(digest)
        if len(self._verified) > self._remember_tokens:
            self._verified.popitem(last=False)


def _bearer(authorization: bytes | None) -> bytes:
    """The credential of a Bearer header. Raises MISSING_CREDENTIALS or INVALID_TOKEN."""
    scheme, _, token = (authorization or b"").strip().partition(b" ")
    token = token.strip()
    if scheme.lower() != b"bearer" or not token:
        raise SixfoldError(
            Reason.MISSING_CREDENTIALS,
            "No credential was given. Send a token or API key as 'Authorization: Bearer ...'.",
        )
    if len(token) > MAX_TOKEN_BYTES or b" " in token or b"," in token:
        raise invalid_token()
    return token


def _invalid_key() -> SixfoldError:
    return SixfoldError(Reason.INVALID_API_KEY, "The API key is not valid: unknown, expired or revoked.")
