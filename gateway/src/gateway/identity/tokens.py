"""Verifies JSON web tokens.

Nothing in a token's header is followed: `alg` must equal the configured key's, `kid` is a dictionary
key, and `jku`, `x5u`, `jwk` and `x5c` are never read. Refusals say the same words whatever the token held.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import jwt

from gateway.identity.keyring import KeySource, VerifyKey
from gateway.identity.principal import Principal, is_tenant
from gateway.identity.roles import ROLES
from servicekit.errors import Reason, SixfoldError

MAX_TOKEN_BYTES = 8192
MAX_SUBJECT = 256
_REQUIRED = ["exp", "iat", "iss", "aud", "sub", "tenant", "role"]
_DECODE_OPTIONS: Any = {
    "require": _REQUIRED,
    "verify_exp": False,  # times are checked below, against one clock that tests can hold
    "verify_nbf": False,
    "verify_iat": False,
}


def invalid_token() -> SixfoldError:
    """The one answer to any token that does not verify."""
    return SixfoldError(Reason.INVALID_TOKEN, "The bearer token is not valid here.")


def expired_token() -> SixfoldError:
    return SixfoldError(Reason.TOKEN_EXPIRED, "The bearer token has expired.")


class TokenVerifier:
    """Turns a token into a `Principal`, or raises INVALID_TOKEN or TOKEN_EXPIRED.

    `max_lifetime` and `clock_skew` are seconds; the skew helps `nbf` and `iat`, never `exp`.
    """

    def __init__(
        self,
        keys: KeySource,
        *,
        issuer: str,
        audience: str,
        max_lifetime: float,
        clock_skew: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._max_lifetime = max_lifetime
        self._skew = clock_skew
        self._clock = clock

    async def verify(self, token: bytes) -> Principal:
        """Verifies signature and claims; looks for new keys once when the token's `kid` is unknown."""
        header = _header(token)
        kid = header.get("kid")
        key = self._keys.keys().find(kid)
        if key is None and await self._keys.refresh():
            key = self._keys.keys().find(kid)
        if key is None or header.get("alg") != key.algorithm:
            raise invalid_token()
        return self._principal(self._claims(token, key))

    def _claims(self, token: bytes, key: VerifyKey) -> Mapping[str, Any]:
        try:
            return jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm],
                audience=self._audience,
                issuer=self._issuer,
                options=_DECODE_OPTIONS,
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise invalid_token() from None

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        expires_at = self._check_times(claims)
        tenant, role, subject = claims["tenant"], claims["role"], claims["sub"]
        if not is_tenant(tenant) or not isinstance(role, str) or role not in ROLES:
            raise invalid_token()
        if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT or not subject.isprintable():
            raise invalid_token()
        return Principal(tenant, subject, role, ROLES[role], "jwt", None, expires_at)

    def _check_times(self, claims: Mapping[str, Any]) -> float:
        now = self._clock()
        expires_at, issued_at = _seconds(claims["exp"]), _seconds(claims["iat"])
        not_before = _seconds(claims.get("nbf", issued_at))
        if issued_at > now + self._skew or not_before > now + self._skew:
            raise invalid_token()
        if expires_at <= now:
            raise expired_token()
        if not 0 < expires_at - issued_at <= self._max_lifetime:
            raise invalid_token()
        return expires_at


def _header(token: bytes) -> Mapping[str, Any]:
    """The token's header, once its size and outline are those of a signed token."""
    if len(token) > MAX_TOKEN_BYTES or token.count(b".") != 2:
        raise invalid_token()
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise invalid_token() from None
    kid = header.get("kid")
    if "crit" in header or "b64" in header or not (kid is None or isinstance(kid, str)):
        raise invalid_token()
    return header


def _seconds(value: object) -> float:
    """A NumericDate as finite seconds. Booleans, strings, NaN and infinities are no dates."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise invalid_token()
    try:
        seconds = float(value)
    except OverflowError:
        raise invalid_token() from None
    if not math.isfinite(seconds):
        raise invalid_token()
    return seconds
