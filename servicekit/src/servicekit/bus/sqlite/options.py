"""Options of `sqlite://`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from servicekit.bus.options import Query


@dataclass(frozen=True, slots=True)
class EmbeddedOptions:
    """Times are in seconds."""

    path: Path
    timeout: float = 10
    """How long one write waits for other processes' writes."""
    partitions: int = 8
    retention_seconds: float = 7 * 86400
    """Events older than this go, unless a group that was there within that time has yet to read them."""
    retention_bytes: int = 1 << 30
    """Size of the file. Above it the oldest events go that no group waits for; then publishing is refused."""
    poll_seconds: float = 0.1
    """Between two looks for other processes' events. This process's own are seen at once."""
    lease_seconds: float = 6
    """A member that is silent for so long loses its partitions."""

    @classmethod
    def parse(cls, url: str, *, timeout: float) -> EmbeddedOptions:
        """From `sqlite:///relative/path` or `sqlite:////absolute/path`. Raises ValueError."""
        parts = urlsplit(url)
        path = unquote(parts.path[1:])
        if parts.netloc or not path or path == ":memory:":
            raise ValueError("an embedded bus needs a file: sqlite:///path/to/bus.db")
        query = Query(parts.query)
        options = cls(
            path=Path(path),
            timeout=timeout,
            partitions=int(query.number("partitions", 8, least=1, most=256)),
            retention_seconds=3600 * query.number("retention_hours", 168, least=1 / 3600, most=876_000),
            retention_bytes=int(query.number("retention_bytes", 1 << 30, least=1 << 20, most=1 << 45)),
            poll_seconds=query.number("poll_ms", 100, least=5, most=10_000) / 1000,
            lease_seconds=query.number("lease_seconds", 6, least=0.5, most=600),
        )
        query.end()
        return options
