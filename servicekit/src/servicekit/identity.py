"""Who calls: short-lived signed tokens between services.

A token says which service calls (`sub`), for which tenant, on behalf of whom (`act`), and to which
service (`aud`). The receiving service takes the tenant from here and from nowhere else.
"""

from __future__ import annotations

import time
import uuid
from collections import OrderedDict
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import jwt

from servicekit.errors import Reason, SixfoldError
from servicekit.service_keys import Keys, SharedKey, load_key, load_key_pairs

__all__ = ["NO_TENANT", "Caller", "ServiceIdentity", "current_caller", "load_key"]

ISSUER = "sixfold"
NO_TENANT = "~"
"""The tenant of calls that a service makes on nobody's behalf. No person's token can name it."""
_LEEWAY = 5.0
"""Seconds that two machines' clocks may differ."""
_CACHED = 4096
"""Tokens kept on each side, so that a stream of calls costs one signature a half-life."""


K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who the running call is for. `subject` is the person or key behind the calling service."""

    service: str
    tenant: str
    subject: str


_caller: ContextVar[Caller] = ContextVar("sixfold_caller")


def current_caller() -> Caller:
    """The verified caller of the running RPC.

    Raises SixfoldError(MISSING_CREDENTIALS) outside one.
    """
    try:
        return _caller.get()
    except LookupError:
        raise _missing() from None


def set_caller(caller: Caller) -> None:
    """Names the caller of the running task. Only for the code that verified its token."""
    _caller.set(caller)


class _KeySettings(Protocol):
    @property
    def key_file(self) -> Path: ...
    @property
    def service_private_key_file(self) -> Path | None: ...
    @property
    def service_public_keys_file(self) -> Path | None: ...


class ServiceIdentity:
    """Makes this service's tokens and checks those of others.

    `key` is the one that all services share, or each service's own pair.
    """

    def __init__(self, service: str, key: bytes | Keys, *, ttl: float = 60) -> None:
        if not 1 <= ttl <= 60:
            raise ValueError("a service token lives 1 to 60 seconds")
        self.service = service
        self._keys = SharedKey(key) if isinstance(key, bytes) else key
        self._ttl = ttl
        self._made: OrderedDict[tuple[str, str, str], tuple[float, str]] = OrderedDict()
        self._seen: OrderedDict[str, tuple[float, Caller]] = OrderedDict()

    @classmethod
    def from_settings(cls, service: str, settings: _KeySettings) -> ServiceIdentity:
        """With key pairs where both their files are named, with the shared key otherwise."""
        private, public = settings.service_private_key_file, settings.service_public_keys_file
        if private is None and public is None:
            return cls(service, load_key(settings.key_file))
        if private is None or public is None:
            raise SystemExit(
                "set both SIXFOLD_SERVICE_PRIVATE_KEY_FILE and SIXFOLD_SERVICE_PUBLIC_KEYS_FILE, or neither."
            )
        return cls(service, load_key_pairs(service, private, public))

    def token(self, audience: str, tenant: str, subject: str = "") -> str:
        """A token for one other service. The same one is given out until half its life is over.

        Every call is some tenant's: raises ValueError without one.
        """
        name = (audience, tenant, subject)
        now = time.time()
        made = self._made.get(name)
        if made is not None and now < made[0]:
            return made[1]
        if not (audience and tenant):
            raise ValueError("a service token names an audience and a tenant (NO_TENANT on nobody's behalf)")
        claims = {
            "iss": ISSUER,
            "sub": self.service,
            "aud": audience,
            "tenant": tenant,
            "act": subject,
            "iat": int(now),
            "exp": int(now + self._ttl),
            "jti": uuid.uuid4().hex,
        }
        key, kid = self._keys.signing()
        headers = {"kid": kid} if kid else None
        token = jwt.encode(claims, key, algorithm=self._keys.algorithm, headers=headers)
        _remember(self._made, name, (now + self._ttl / 2, token))
        return token

    def verify(self, token: str) -> Caller:
        """The caller that a token names, if it was made for this service.

        Raises SixfoldError: MISSING_CREDENTIALS, TOKEN_EXPIRED or INVALID_TOKEN.
        """
        if not token:
            raise _missing()
        seen = self._seen.get(token)
        if seen is not None:
            if time.time() < seen[0]:
                return seen[1]
            del self._seen[token]
        expires, caller = self._check(token)
        _remember(self._seen, token, (expires, caller))
        return caller

    def _check(self, token: str) -> tuple[float, Caller]:
        try:
            key, signer = self._keys.verifying(token)
            claims = jwt.decode(
                token,
                key,
                algorithms=[self._keys.algorithm],
                audience=self.service,
                issuer=ISSUER,
                leeway=_LEEWAY,
                options={"require": ["iss", "sub", "aud", "iat", "exp"]},
            )
        except jwt.ExpiredSignatureError:
            raise SixfoldError(Reason.TOKEN_EXPIRED, "The service token has expired.") from None
        except jwt.PyJWTError:
            raise _invalid() from None
        service, tenant, subject = claims["sub"], claims.get("tenant"), claims.get("act", "")
        issued, expires = claims["iat"], claims["exp"]
        if not (isinstance(tenant, str) and tenant and isinstance(subject, str) and service):
            raise _invalid()
        if signer is not None and signer != service:  # one service in another's name
            raise _invalid()
        if expires - issued > 60:  # a token that was meant to live on is no service token
            raise _invalid()
        return float(expires), Caller(service, tenant, subject)


def _remember(kept: OrderedDict[K, V], key: K, value: V) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > _CACHED:
        kept.popitem(last=False)


def _missing() -> SixfoldError:
    return SixfoldError(Reason.MISSING_CREDENTIALS, "The call carries no service token.")


def _invalid() -> SixfoldError:
    return SixfoldError(Reason.INVALID_TOKEN, "The service token is not valid for this service.")
