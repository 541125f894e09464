"""Starts services in order, keeps them running, and ends them in reverse order leaving nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from sixfold_cli.console import Console
from sixfold_cli.errors import CliError
from sixfold_cli.home import Home
from sixfold_cli.logfile import Tail, for_people, rotate, severity
from sixfold_cli.ports import taken
from sixfold_cli.probe import is_ready
from sixfold_cli.process import Child, describe_exit
from sixfold_cli.services import Service
from sixfold_cli.state import ServiceState, State

_BAD_SETTINGS = 2
"""Exit code of a service whose settings are wrong: trying again cannot help."""


@dataclass(frozen=True)
class Patience:
    """How long to wait, and how often to try; seconds."""

    start: float = 180.0
    """From a start to ready."""
    optional: float = 15.0
    """For an optional service, once the others are ready."""
    drain: float = 28.0
    """From SIGTERM to SIGKILL, a service."""
    settled: float = 2.0
    """Ready for so long, a service counts as healthy: its failures are forgotten."""
    first_delay: float = 0.2
    longest_delay: float = 10.0
    longest_optional_delay: float = 30.0
    """Of a service that is tried for ever: each start costs the others two seconds of processor."""
    tries: int = 5
    """Failures in a row after which the supervisor gives up."""
    doubts: int = 3
    """Failures in a row after which nobody waits for an optional service any more."""
    tick: float = 0.1


class Supervisor:
    """Runs services for one home until it is told to stop or one of them cannot be kept running."""

    def __init__(
        self,
        home: Home,
        services: Sequence[Service],
        state: State,
        console: Console,
        patience: Patience | None = None,
    ) -> None:
        self.home = home
        self.state = state
        self.console = console
        self.patience = patience or Patience()
        self._services = list(services)
        self._children = {
            each.name: Child(each.name, each.command, each.env, home.logs / f"{each.name}.log")
            for each in services
        }
        self._tails = {name: Tail(child.log) for name, child in self._children.items()}
        self._states = {each.name: self._blank(each) for each in services}
        state.services = list(self._states.values())
        self._keepers: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    def _blank(self, service: Service) -> ServiceState:
        host, port = service.ready
        log = str(self._children[service.name].log)
        return ServiceState(
            service.name, log=log, ready_host=host, ready_port=port, ports=dict(service.ports)
        )

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Returns after a stop that was asked for. CliError when a service cannot be started or kept."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._kill_all)
            async with self._watching():
                try:
                    self._tell("starting")
                    await self._start_all()
                    if not self._stop.is_set():
                        self._tell("ready")
                        on_ready()
                    await self._wait(self._stop)
                finally:
                    await self._end_all()

    def stop(self) -> None:
        """Asks for an orderly end; asked twice, for an immediate one."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    @contextlib.asynccontextmanager
    async def _watching(self) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        for number in numbers:
            loop.add_signal_handler(number, self.stop)
        logs = asyncio.create_task(self._show_logs())
        try:
            yield
        finally:
            logs.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await logs
            for number in numbers:
                loop.remove_signal_handler(number)

    async def _start_all(self) -> None:
        """One after the other, each when the one before is ready; optional ones first and beside them."""
        waiting = []
        for service in sorted(self._services, key=lambda each: not each.optional):
            if self._stop.is_set():
                return
            if service.absent:
                self.console.step(f"{service.name} is {service.absent}; the others go on without it")
                self._note_absent(service)
                continue
            self.console.step(f"starting {service.name}")
            heard = asyncio.Event()
            self._keepers.append(asyncio.create_task(self._keep(service, heard)))
            if service.optional:
                waiting.append((service, heard))
            else:
                await self._wait(heard)
        limit = time.monotonic() + self.patience.optional
        for service, heard in waiting:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit - time.monotonic()):
                    await self._wait(heard)
            seen = self._states[service.name]
            if seen.state != "ready" and not self._stop.is_set():
                why = f" ({seen.note})" if seen.note else ""
                self.console.service(service.name, f"not ready yet{why}; the others go on without it", "warn")

    async def _wait(self, event: asyncio.Event) -> None:
        """Returns once `event` happened or a stop was asked for. Raises what ended a keeper."""
        waits = [asyncio.create_task(event.wait()), asyncio.create_task(self._stop.wait())]
        try:
            await asyncio.wait([*waits, *self._keepers], return_when=asyncio.FIRST_COMPLETED)
            for keeper in self._keepers:
                if keeper.done():
                    keeper.result()
        finally:
            for wait in waits:
                wait.cancel()

    async def _keep(self, service: Service, heard: asyncio.Event) -> None:
        """Runs one service again and again; sets `heard` once it is ready, or seems not to become so.

        CliError when it makes no sense to go on, which for an optional one is only when its settings are
        wrong: it is tried for as long as the others run.
        """
        child, seen, failures, was_ready = self._children[service.name], self._states[service.name], 0, False
        while True:
            code, ready_at = None, None
            blocked = end = taken(service.listens)
            if not blocked:
                try:
                    child.start()
                except OSError as error:
                    raise CliError(
                        f"{service.name} cannot be started: {error.strerror}.", reason="START_FAILED"
                    ) from None
                self._note(seen, "starting", child)
                end = await self._until_ready(service, child)
                if not end:
                    ready_at, seen.note = time.monotonic(), ""
                    self._show(service.name)
                    self._note(seen, "ready", child)
                    if was_ready:
                        self.console.service(service.name, "ready again", "good")
                    else:
                        self.console.step(f"{service.name} is ready")
                    was_ready = True
                    heard.set()
                    while child.running:  # noqa: ASYNC110  a process has no event without a thread
                        await asyncio.sleep(self.patience.tick)
                    end = f"ended ({describe_exit(child.exit_code() or 0)})"
                code = child.exit_code()
                child.kill()  # what a dead process may have left, or a live one that never became ready
            if ready_at is not None and time.monotonic() - ready_at >= self.patience.settled:
                failures = 0
            failures += 1
            hopeless = failures >= self.patience.tries and not service.optional
            if hopeless or (ready_at is None and code == _BAD_SETTINGS):
                self._note(seen, "failed", child)
                raise self._gave_up(service, child, end, failures)
            seen.note = end if failures < self.patience.doubts else f"{end}, {failures} times in a row"
            if service.optional and (blocked or failures >= self.patience.doubts):
                heard.set()
            delay = min(self.patience.first_delay * 2 ** min(failures - 1, 30), self._longest_delay(service))
            self.console.service(service.name, f"{end}; starting it again in {delay:.1f} s", "warn")
            seen.restarts += 1
            self._note(seen, "restarting", child)
            await asyncio.sleep(delay)

    def _longest_delay(self, service: Service) -> float:
        return self.patience.longest_optional_delay if service.optional else self.patience.longest_delay

    async def _until_ready(self, service: Service, child: Child) -> str:
        """ "" once ready, else what went wrong."""
        limit, told = time.monotonic() + self.patience.start, time.monotonic()
        host, port = service.ready
        why = "no answer"
        while time.monotonic() < limit:
            if not child.running:
                return f"ended ({describe_exit(child.exit_code() or 0)}) before it was ready"
            ok, why = await is_ready(host, port)
            if ok and child.running:
                return ""
            if time.monotonic() - told > 10:
                told = time.monotonic()
                self.console.step(f"  still waiting for {service.name}: {why}")
            await asyncio.sleep(self.patience.tick)
        return f"was not ready after {self.patience.start:.0f} s ({why})"

    def _gave_up(self, service: Service, child: Child, end: str, failures: int) -> CliError:
        lines = [part for line in child.last_lines() for part in for_people(line)]
        times = f", {failures} times in a row" if failures > 1 else ""
        return CliError(
            f"{service.name} {end}{times}.",
            f"Its whole log: {child.log}",
            reason="SERVICE_FAILED",
            details="\n".join(f"  {service.name} | {line}" for line in lines),
        )

    async def _end_all(self) -> None:
        """SIGTERM in reverse order, each within its limit, then SIGKILL.

        Optional services need none of each other: neighbours end together.
        """
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        running = [service for service in reversed(self._services) if self._children[service.name].running]
        if running:
            self._tell("stopping")
            self.console.write("")
            self.console.step("stopping (again to stop at once)")
        for _, group in groupby(running, key=lambda each: "optional" if each.optional else each.name):
            await self._end([service.name for service in group])

    async def _end(self, names: Sequence[str]) -> None:
        limit = time.monotonic() + self.patience.drain
        children = [self._children[name] for name in names]
        for child in children:
            child.terminate()
        while any(each.running for each in children) and not self._hurry.is_set():
            if time.monotonic() >= limit:
                break
            await asyncio.sleep(self.patience.tick / 2)
        for name, child in zip(names, children, strict=True):
            if child.running:
                why = (
                    "asked to hurry" if self._hurry.is_set() else f"no end within {self.patience.drain:.0f} s"
                )
                self.console.service(name, f"killed: {why}", "warn")
            child.kill()
            self._note(self._states[name], "stopped", child)
            self.console.step(f"{name} has ended")

    def _kill_all(self) -> None:
        for child in self._children.values():
            child.kill()

    async def _show_logs(self) -> None:
        """Warnings and worse to the terminal; large logs aside."""
        while True:
            for name, tail in self._tails.items():
                self._show(name)
                rotate(tail.path)
            await asyncio.sleep(2 * self.patience.tick)

    def _show(self, name: str) -> None:
        """New lines of one service: warnings; only errors while it starts, for then it waits as we do."""
        least = 40 if self._states[name].state == "starting" else 30
        for line in self._tails[name].lines():
            level = severity(line)
            if level >= least:
                for part in for_people(line):
                    self.console.service(name, part, "warn" if level < 40 else "bad")

    def _note_absent(self, service: Service) -> None:
        seen = self._states[service.name]
        seen.state, seen.note = "absent", service.absent
        self._save()

    def _note(self, seen: ServiceState, word: str, child: Child) -> None:
        seen.state, seen.started_at = word, child.started_at
        seen.pid = child.pid if child.running else None
        self._save()

    def _tell(self, phase: str) -> None:
        self.state.phase, self.state.pid = phase, os.getpid()
        self._save()

    def _save(self) -> None:
        with contextlib.suppress(OSError):  # a full disk must not end running services
            self.state.write(self.home)
