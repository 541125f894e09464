"""Keys that verify tokens. A key has exactly one algorithm, so a token can never choose one for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

MIN_HMAC_BYTES = 32


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """One key that may verify tokens, and the only algorithm it verifies with."""

    kid: str | None
    algorithm: str
    """`HS256`, `RS256`, `ES256` or `EdDSA`."""
    key: Any = field(repr=False)
    """Key material as PyJWT takes it: bytes for HS256, a public key object otherwise."""


class Keyring:
    """An immutable set of keys. `kid` is a dictionary lookup and nothing else."""

    def __init__(self, keys: Sequence[VerifyKey]) -> None:
        self._by_kid: Mapping[str, VerifyKey] = {key.kid: key for key in keys if key.kid is not None}
        self._only = keys[0] if len(keys) == 1 else None

    def find(self, kid: str | None) -> VerifyKey | None:
        """The key a token's `kid` names. Without one, the only key there is; None when that is unclear."""
        if kid is None:
            return self._only
        found = self._by_kid.get(kid)
        if found is None and self._only is not None and self._only.kid is None:
            return self._only  # a single nameless key: what a token calls it says nothing
        return found


class KeySource(Protocol):
    """Where verifying keys come from."""

    def keys(self) -> Keyring:
        """The keys known now. Raises SERVICE_UNAVAILABLE when none could be had yet."""
        ...

    async def refresh(self) -> bool:
        """Looks for new keys, as often as limits allow. True when it looked and the keys may differ."""
        ...


class StaticKeys:
    """Keys that are settled at start: the local HS256 secret."""

    def __init__(self, *keys: VerifyKey) -> None:
        for key in keys:
            if key.algorithm.startswith("HS") and len(key.key) < MIN_HMAC_BYTES:
                raise ValueError(f"an HMAC key needs at least {MIN_HMAC_BYTES} bytes")
        self._keyring = Keyring(keys)

    def keys(self) -> Keyring:
        return self._keyring

    async def refresh(self) -> bool:
        return False
