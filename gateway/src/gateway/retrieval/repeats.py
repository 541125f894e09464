"""Names for changes, so that one that is sent again has no second effect.

The official client tries again by itself, says so in a header, and sends no idempotency key. A repeat is
told from its sender, its path and its body; it takes the name of the request that it repeats, and the
retrieval service gives the first answer again. What several requests with one body have in common never
makes them one: only a request that says that it is a repeat takes a name, and each name is taken once.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from gateway.identity.principal import Principal

_SECONDS = 900.0
"""How long a request can be repeated: the official client waits 600 s for an answer before it tries again."""
_KEPT = 4096
"""Different requests that are remembered, each with at most `_EACH` names."""
_EACH = 64


@dataclass(slots=True)
class _Name:
    value: str
    at: float
    answered: bool = False
    taken: bool = False


class Repeats:
    """Remembers in this process. Who needs more sends an idempotency key."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._names: OrderedDict[str, list[_Name]] = OrderedDict()

    def begin(self, request: str, *, repeated: bool) -> str:
        """The name of a change that begins now. `request` is what `digest` gave."""
        now = self._clock()
        names = [name for name in self._names.pop(request, ()) if now - name.at < _SECONDS]
        free = [name for name in names if not name.taken] if repeated else []
        # the latest that nobody saw the answer of; a lost answer may have counted as given
        chosen = next((n for n in reversed(free) if not n.answered), free[-1] if free else None)
        if chosen is None:
            chosen = _Name(f"new-{secrets.token_hex(16)}", now)
            names.append(chosen)
        else:
            chosen.taken = True
        self._names[request] = names[-_EACH:]
        while len(self._names) > _KEPT:
            self._names.popitem(last=False)
        return chosen.value

    def ended(self, request: str, value: str, *, answered: bool) -> None:
        """The change came to an answer, or to a failure after which it may be sent again."""
        for name in self._names.get(request, ()):
            if name.value == value:
                name.answered, name.taken = answered, name.taken and answered


def digest(caller: Principal, method: str, path: str, body: bytes) -> str:
    """What makes two requests of one caller the same."""
    return _hash(caller, method, path, body)


def keyed(caller: Principal, method: str, path: str, key: str) -> str:
    """The name of a change that its caller gave an idempotency key: nobody else's key is the same."""
    return f"key-{_hash(caller, method, path, key.encode())}"


def _hash(caller: Principal, method: str, path: str, rest: bytes) -> str:
    taken = hashlib.blake2b(digest_size=24)
    for part in (caller.tenant.encode(), caller.subject.encode(), method.encode(), path.encode(), rest):
        taken.update(len(part).to_bytes(8, "big") + part)
    return taken.hexdigest()
