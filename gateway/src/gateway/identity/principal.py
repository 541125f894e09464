"""The verified caller of one request."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from servicekit.errors import Reason, SixfoldError

TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
"""What a tenant id looks like. It becomes part of cache keys and metric labels, so nothing else passes."""


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """Limits of one API key, on top of its tenant's. None: the tenant's alone."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls, for which tenant, and what they may do. Only an `Authenticator` makes one."""

    tenant: str
    subject: str
    """The token's `sub`, or `key:<id>` for an API key."""
    role: str
    scopes: frozenset[str]
    credential: Literal["jwt", "key"]
    key_id: str | None
    """Set when the credential is an API key."""
    expires_at: float | None
    """Unix seconds; None for an API key that does not expire."""
    limits: KeyLimits | None = None
    """What an API key is limited to on top of its tenant's limits."""


def is_tenant(value: object) -> bool:
    """Whether `value` is a well-formed tenant id."""
    return isinstance(value, str) and TENANT.fullmatch(value) is not None


def require(principal: Principal, scope: str) -> None:
    """Raises PERMISSION_DENIED unless the principal holds `scope`."""
    if scope not in principal.scopes:
        raise SixfoldError(
            Reason.PERMISSION_DENIED,
            f"This credential may not do that: it lacks the scope {scope}.",
            metadata={"scope": scope},
        )
