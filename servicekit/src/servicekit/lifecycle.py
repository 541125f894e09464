"""A service's life: starting, ready, draining. Readiness asks what it depends on."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

from servicekit.errors import SixfoldError
from servicekit.logs import get_logger

State = Literal["starting", "ready", "draining"]
Check = Callable[[], Awaitable[None]]

_FRESH = 0.5
"""Seconds for which an answer about readiness is given again without asking anew."""

_log = get_logger("servicekit.lifecycle")


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the service can answer. `checks` maps a dependency to "ok" or to one word on what is wrong."""

    ready: bool
    state: State
    checks: dict[str, str] = field(default_factory=dict)


class Lifecycle:
    """Starts as "starting"; `started()` makes it "ready"; `begin_drain()` makes it "draining" for good."""

    def __init__(self, service: str, *, drain_seconds: float = 20) -> None:
        self.service = service
        self.drain_seconds = drain_seconds
        self.state: State = "starting"
        self._dependencies: dict[str, tuple[Check, float]] = {}
        self._listeners: list[Callable[[], None]] = []
        self._asking: asyncio.Task[dict[str, str]] | None = None
        self._checks: dict[str, str] = {}
        self._checked_at = float("-inf")

    @property
    def draining(self) -> bool:
        """Whether new work is refused because the service is about to end."""
        return self.state == "draining"

    def depend(self, name: str, check: Check, *, timeout: float = 1.0) -> None:
        """Makes readiness hang on `check`, which raises when the dependency is unwell."""
        self._dependencies[name] = (check, timeout)

    def listen(self, changed: Callable[[], None]) -> None:
        """Calls `changed` after each change of state."""
        self._listeners.append(changed)

    def started(self) -> None:
        """Everything is wired and listening."""
        if self.state == "starting":
            self._become("ready")

    def begin_drain(self) -> None:
        """From now on new work is refused and running work ends."""
        if self.state != "draining":
            self._become("draining")

    def _become(self, state: State) -> None:
        self.state = state
        _log.info(f"service is {state}")
        for changed in self._listeners:
            changed()

    async def readiness(self) -> Readiness:
        """Asks all dependencies at once, each within its timeout; askers share one round."""
        if time.monotonic() - self._checked_at > _FRESH:
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._ask())
            await asyncio.shield(self._asking)
        ready = self.state == "ready" and all(word == "ok" for word in self._checks.values())
        return Readiness(ready, self.state, dict(self._checks))

    async def _ask(self) -> dict[str, str]:
        names = list(self._dependencies)
        words = await asyncio.gather(*(self._ask_one(*self._dependencies[name]) for name in names))
        before, self._checks = self._checks, dict(zip(names, words, strict=True))
        self._checked_at = time.monotonic()
        for name, word in self._checks.items():
            if word != before.get(name, "ok"):
                note = _log.info if word == "ok" else _log.warning
                note("dependency changed", dependency=name, state=word)
        return self._checks

    async def _ask_one(self, check: Check, timeout: float) -> str:
        try:
            async with asyncio.timeout(timeout):
                await check()
        except TimeoutError:
            return "timeout"
        except SixfoldError as error:
            return error.reason.value.lower()
        except Exception as error:  # its text may hold addresses and passwords
            _log.debug("dependency check failed", exc_info=error)
            return "unavailable"
        return "ok"

    async def wait_for_stop(self) -> None:
        """Returns at the first SIGTERM or SIGINT. A second one ends the process at once."""
        loop = asyncio.get_running_loop()
        asked = asyncio.Event()

        def on_signal(number: int) -> None:
            if asked.is_set():
                os._exit(128 + number)
            _log.info("stop asked for", signal=signal.Signals(number).name)
            asked.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal, number)
        await asked.wait()


def run(main: Callable[[], Awaitable[int]]) -> int:
    """Runs a service's main coroutine, on uvloop where it is installed; returns the exit code."""

    async def entry() -> int:
        return await main()

    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(entry())
    except SixfoldError as error:
        print(f"cannot start: {error.message}", file=sys.stderr)  # noqa: T201  for the person who started it
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception:
        _log.exception("service crashed")
        return 1


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
