"""What is kept of every request: one access line, counters, a histogram."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from functools import lru_cache
from typing import IO, Any

import orjson

from gateway import metrics
from gateway.api.exchange import Exchange

_FLUSH_SECONDS = 0.2
_FLUSH_LINES = 256


class Observer:
    """Counts requests and writes access lines, many in one write. Lines hold facts, never content."""

    def __init__(self, *, log: bool, text: bool, out: IO[bytes] | None = None) -> None:
        self._log = log
        self._text = text
        self._out = out or sys.stderr.buffer
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None

    def ended(self, exchange: Exchange) -> None:
        """Takes note of a request that is over."""
        elapsed = exchange.elapsed
        method = exchange.scope["method"]
        count, duration = _instruments(
            exchange.label, method if method in _METHODS else "other", exchange.status, exchange.code
        )
        count.inc()
        duration.observe(elapsed)
        if self._log and exchange.label not in _QUIET:
            self._lines.append(self._line(exchange, method, elapsed))
            if len(self._lines) >= _FLUSH_LINES:
                self.flush()
            elif self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self.flush)

    def _line(self, exchange: Exchange, method: str, elapsed: float) -> bytes:
        line: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "level": "info",
            "service": "gateway",
            "event": "request",
            "request_id": exchange.request_id,
            "method": method,
            "path": exchange.label,
            "status": exchange.status,
            "ms": round(elapsed * 1000, 2),
        }
        if exchange.code:
            line["code"] = exchange.code
        line.update(exchange.facts)
        if self._text:
            rest = " ".join(f"{key}={value}" for key, value in list(line.items())[4:])
            return f"{line['time'][11:23]} info    gateway: request {rest}\n".encode()
        return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)

    def flush(self) -> None:
        """Writes what has gathered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines = self._lines, []
        if lines:
            self._out.write(b"".join(lines))
            self._out.flush()


_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})


@lru_cache(maxsize=2048)
def _instruments(label: str, method: str, status: int, code: str) -> tuple[Any, Any]:
    return metrics.HTTP_REQUESTS.labels(label, method, str(status), code), metrics.HTTP_DURATION.labels(label)
