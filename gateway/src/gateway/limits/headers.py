"""The x-ratelimit headers, written as OpenAI writes them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Standing:
    """How one limit stands after a decision. `reset`: seconds until it is whole again."""

    kind: str
    """`requests` or `tokens`."""
    limit: int
    remaining: int
    reset: float


def ratelimit_headers(standings: Iterable[Standing]) -> Headers:
    """Headers for the tightest limit of each kind: the one with the smallest part left."""
    tightest: dict[str, Standing] = {}
    for each in standings:
        seen = tightest.get(each.kind)
        if seen is None or each.remaining * seen.limit < seen.remaining * each.limit:
            tightest[each.kind] = each
    headers: Headers = []
    for kind, each in tightest.items():
        name = kind.encode()
        headers.append((b"x-ratelimit-limit-" + name, b"%d" % each.limit))
        headers.append((b"x-ratelimit-remaining-" + name, b"%d" % each.remaining))
        headers.append((b"x-ratelimit-reset-" + name, duration(each.reset)))
    return headers


def duration(seconds: float) -> bytes:
    """`120ms`, `1s`, `1.5s`, `6m0s`, `1h0m0s`: rounded up, so that waiting that long is enough."""
    ms = -int(-seconds * 1000 // 1)
    if ms <= 0:
        return b"0s"
    if ms < 1000:
        return b"%dms" % ms
    minutes, ms = divmod(ms, 60_000)
    rest = f"{ms / 1000:.3f}".rstrip("0").rstrip(".")
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s".encode()
    return (f"{minutes}m{rest}s" if minutes else f"{rest}s").encode()
