"""Making, listing and revoking API keys, always within the caller's own tenant."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.identity.api_keys import ApiKey, digest_of, new_key
from gateway.identity.principal import KeyLimits, Principal, require
from gateway.identity.roles import KEYS_WRITE, ROLES, SCOPES
from gateway.identity.seal import Seal
from gateway.identity.snapshot import KeySnapshot
from gateway.identity.store import Attempt, KeyStore
from servicekit.errors import Reason, SixfoldError

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class KeyRules:
    """Bounds on what may be made."""

    max_keys: int = 1000
    """Usable keys a tenant may have."""
    default_lifetime: float = 90 * DAY
    max_lifetime: float = 366 * DAY
    remember_attempts: float = DAY
    """Seconds for which a repeated Idempotency-Key gets the first answer again."""


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """What a caller asks for. None: the default."""

    name: str
    scopes: frozenset[str] | None = None
    expires_in: float | None = None
    """Seconds from now."""
    limits: KeyLimits | None = None

    def fingerprint(self) -> bytes:
        """SHA-256 of the request's content."""
        scopes = None if self.scopes is None else sorted(self.scopes)
        return hashlib.sha256(repr((self.name, scopes, self.expires_in, self.limits)).encode()).digest()


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key, and the secret that is shown once."""

    key: ApiKey
    secret: str
    repeated: bool
    """The answer to an earlier request with the same Idempotency-Key, given again."""


class KeysService:
    """API keys for their administrators. Every method raises PERMISSION_DENIED without `keys:write`."""

    def __init__(
        self,
        store: KeyStore,
        snapshot: KeySnapshot,
        seal: Seal,
        rules: KeyRules | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._snapshot = snapshot
        self._seal = seal
        self._rules = rules or KeyRules()
        self._clock = clock

    async def create(self, caller: Principal, wanted: KeyRequest, idempotency_key: str | None) -> IssuedKey:
        """Makes a key for the caller's tenant, with no more rights and no more time than the caller has.

        Raises INVALID_REQUEST, PERMISSION_DENIED, and ALREADY_EXISTS for an Idempotency-Key that was used
        for something else.
        """
        require(caller, KEYS_WRITE)
        now = self._clock()
        key_id, secret = new_key()
        scopes = _scopes(caller, wanted.scopes)
        key = ApiKey(
            id=key_id,
            tenant=caller.tenant,
            name=wanted.name,
            role=_role(scopes),
            scopes=scopes,
            digest=digest_of(secret.encode()),
            created_at=now,
            created_by=caller.subject,
            expires_at=self._expiry(caller, wanted.expires_in, now),
            limits=None if wanted.limits == KeyLimits() else wanted.limits,
        )
        attempt = None
        if idempotency_key is not None:
            place = (caller.tenant, caller.subject, idempotency_key)
            attempt = Attempt(
                self._seal.token(*place),
                wanted.fingerprint(),
                self._seal.close(secret, *place),
                now + self._rules.remember_attempts,
            )
        created = await self._store.create(key, attempt, max_keys=self._rules.max_keys, now=now)
        first = created.repeat_of
        if first is None or idempotency_key is None:
            self._snapshot.put(created.key)
            return IssuedKey(created.key, secret, repeated=False)
        shown = self._seal.open(first.sealed, caller.tenant, caller.subject, idempotency_key)
        if first.fingerprint != wanted.fingerprint() or shown is None:
            raise SixfoldError(
                Reason.ALREADY_EXISTS,
                "This Idempotency-Key was used for a different request.",
                param="Idempotency-Key",
            )
        return IssuedKey(created.key, shown, repeated=True)

    async def list(
        self, caller: Principal, *, after: str | None, limit: int
    ) -> tuple[Sequence[ApiKey], bool]:
        """The tenant's keys, newest first, and whether there are more behind them."""
        require(caller, KEYS_WRITE)
        keys = await self._store.list(caller.tenant, after=after, limit=limit + 1)
        return keys[:limit], len(keys) > limit

    async def get(self, caller: Principal, key_id: str) -> ApiKey:
        """One key of the tenant. Raises NOT_FOUND, for another tenant's key too."""
        require(caller, KEYS_WRITE)
        return _found(await self._store.get(caller.tenant, key_id))

    async def revoke(self, caller: Principal, key_id: str) -> ApiKey:
        """Ends a key: here at once, in other workers with their next refresh. Raises NOT_FOUND."""
        require(caller, KEYS_WRITE)
        key = _found(await self._store.revoke(caller.tenant, key_id, at=self._clock()))
        self._snapshot.put(key)
        return key

    def status(self, key: ApiKey) -> str:
        """`active`, `expired` or `revoked`, now."""
        return key.status(self._clock())

    def _expiry(self, caller: Principal, expires_in: float | None, now: float) -> float:
        lifetime = self._rules.default_lifetime if expires_in is None else expires_in
        if not 0 < lifetime <= self._rules.max_lifetime:
            raise SixfoldError(
                Reason.INVALID_REQUEST,
                f"expires_in_seconds must be above 0 and at most {self._rules.max_lifetime:.0f}.",
                param="expires_in_seconds",
            )
        until = now + lifetime
        if caller.credential == "key" and caller.expires_at is not None:
            until = min(until, caller.expires_at)  # a leaked key must not renew itself
        return until


def _scopes(caller: Principal, wanted: frozenset[str] | None) -> frozenset[str]:
    if wanted is None:
        return caller.scopes & ROLES["member"]
    unknown = wanted - SCOPES
    if unknown or not wanted:
        raise SixfoldError(
            Reason.INVALID_REQUEST, f"scopes must be some of: {', '.join(sorted(SCOPES))}.", param="scopes"
        )
    if not wanted <= caller.scopes:
        raise SixfoldError(
            Reason.PERMISSION_DENIED, "A key cannot have scopes that its creator lacks.", param="scopes"
        )
    return wanted


def _role(scopes: frozenset[str]) -> str:
    """The smallest role that holds `scopes`."""
    return next(role for role, has in ROLES.items() if scopes <= has)


def _found(key: ApiKey | None) -> ApiKey:
    if key is None:
        raise SixfoldError(Reason.NOT_FOUND, "There is no such API key.")
    return key
