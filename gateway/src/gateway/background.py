"""Work that runs beside requests, and ends with the process."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Coroutine
from typing import Any, Protocol

from gateway import metrics
from gateway.config.live import LiveConfig
from gateway.routing.router import Router
from servicekit.logs import get_logger

_log = get_logger("gateway.background")
_PERIOD = 0.5
_STATES = {"closed": 0, "half_open": 1, "open": 2}


class Background:
    """Tasks with names. One that fails is logged, never silent."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def run(self, name: str, work: Coroutine[Any, Any, Any]) -> None:
        """Starts `work`."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("background work failed", name=task.get_name(), exc_info=error)

    async def close(self) -> None:
        """Cancels what still runs."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task


class _App(Protocol):
    in_flight: int


async def watch_loop(router: Router, live: LiveConfig, app: _App) -> None:
    """Keeps the gauges: how late the loop is, what runs, where breakers stand."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _PERIOD
        await asyncio.sleep(_PERIOD)
        metrics.LOOP_LAG.set(max(0.0, loop.time() - due))
        metrics.HTTP_IN_FLIGHT.set(app.in_flight)
        metrics.CONFIG_STALE.set(live.stale is not None)
        now = router.clock()
        worst: dict[str, int] = {}
        running: Counter[str] = Counter()
        for target in router.targets():
            label = metrics.label_of(target.name)
            worst[label] = max(worst.get(label, 0), _STATES[target.breaker.state(now)])
            running[label] += target.in_flight
        for label, state in worst.items():
            metrics.BREAKER.labels(label).set(state)
            metrics.TARGET_IN_FLIGHT.labels(label).set(running[label])
