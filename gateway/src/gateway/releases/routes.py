"""Which model a released name means for a caller: what the eval service said last, also while it is away."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Released:
    """Where requests for a name go."""

    alias: str
    tenant: str
    """Whose it is; empty for every tenant."""
    champion: str
    candidate: str = ""
    """What answers its share; empty for nobody."""
    share: float = 0.0
    """The candidate's share, 0 to 1."""
    salt: str = ""
    release_id: str = ""

    def has_candidate(self, subject: str) -> bool:
        """Whether this caller gets the candidate.

        Always the same answer while salt and share stay; a larger share sends nobody back to the champion.
        """
        if not self.candidate or self.share <= 0:
            return False
        digest = hashlib.blake2b(f"{self.salt}\0{subject}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") < self.share * 2**64


class Releases:
    """Every released name. Reading it never waits."""

    def __init__(self) -> None:
        self._routes: dict[tuple[str, str], Released] = {}

    def take(self, routes: Iterable[Released]) -> None:
        """From now on these, and no others."""
        self._routes = {(route.tenant, route.alias): route for route in routes if route.champion}

    def find(self, alias: str, tenant: str) -> Released | None:
        """A tenant's own route for a name, else everybody's."""
        if not self._routes:
            return None
        return self._routes.get((tenant, alias)) or self._routes.get(("", alias))

    def seen_by(self, tenant: str) -> list[Released]:
        """Every name that means something to this tenant, each once."""
        names = {alias for owner, alias in self._routes if owner in ("", tenant)}
        return [route for name in sorted(names) if (route := self.find(name, tenant)) is not None]
