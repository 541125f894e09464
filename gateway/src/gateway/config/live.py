"""The configuration in force, replaced whole when its file changes. A broken file changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from gateway.config.file import ConfigError, GatewayConfig, read_config
from servicekit.logs import get_logger

_log = get_logger("gateway.config")
_POLL_SECONDS = 1.0


class LiveConfig:
    """`current` is always usable; `stale` holds the reason why the file on disk is not in force."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.current: GatewayConfig = read_config(path)
        self.stale: str | None = None
        self._listeners: list[Callable[[GatewayConfig], None]] = []
        self._seen = self._stamp()

    def on_change(self, listener: Callable[[GatewayConfig], None]) -> None:
        """Calls `listener` with every later configuration."""
        self._listeners.append(listener)

    def notes(self) -> dict[str, str]:
        """What readiness tells of it."""
        return {"config": "ok" if self.stale is None else "stale"}

    def reload(self) -> bool:
        """Reads the file again; whether a configuration is newly in force."""
        try:
            fresh = read_config(self.path)
        except ConfigError as error:
            self.stale = str(error)
            _log.warning(
                "gateway.yaml is broken, the one before stays in force",
                path=str(self.path),
                reason=str(error),
            )
            return False
        if self.stale is None and fresh == self.current:
            return False
        self.stale = None
        self.current = fresh
        for listener in self._listeners:
            listener(fresh)
        _log.info("gateway.yaml is in force", path=str(self.path), routes=len(fresh.routes))
        return True

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            stat = self.path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino

    def reload_if_changed(self) -> bool:
        """Reads the file again if its time, size or identity differ."""
        stamp = self._stamp()
        if stamp == self._seen:
            return False
        self._seen = stamp
        return self.reload()

    async def watch(self) -> None:
        """Follows the file until cancelled.

        One stat a second costs microseconds, needs no thread, and sees what notifications miss:
        network mounts, a folder made later, and the symlinks that Kubernetes swaps.
        """
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            self.reload_if_changed()
