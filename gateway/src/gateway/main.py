"""The gateway's process: read settings, serve, drain on SIGTERM, exit code."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import socket
import sys

from gateway.bootstrap import SERVICE, bootstrap, check_settings
from gateway.server import BACKLOG, make_server
from gateway.settings import GatewaySettings
from gateway.workers import LIFE_FD, LISTEN_FD, supervise
from servicekit.errors import SixfoldError
from servicekit.lifecycle import Lifecycle, run
from servicekit.logs import configure_logs
from servicekit.settings import load_settings
from servicekit.telemetry import configure_tracing


def main() -> int:
    """Runs until stopped. 0 after a clean stop, 1 when it could not start, 2 for bad settings."""
    settings = load_settings(GatewaySettings)
    configure_logs(SERVICE, settings.log_level, settings.log_format)
    try:
        check_settings(settings)
        listener = _listener(settings)
    except SixfoldError as error:
        print(f"cannot start: {error.message}", file=sys.stderr)  # noqa: T201
        return 1
    if settings.workers > 1 and LISTEN_FD not in os.environ:
        return supervise(settings, listener)
    return run(lambda: serve(settings, listener))


def _listener(settings: GatewaySettings) -> socket.socket:
    """The listening socket: a parent's, or a new one. Exits with one line when the address cannot be had."""
    if (inherited := os.environ.get(LISTEN_FD)) is not None:
        return socket.socket(fileno=int(inherited))
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        print(  # noqa: T201
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}. Stop what listens "
            "there, or choose another port with SIXFOLD_PORT.",
            file=sys.stderr,
        )
        raise SystemExit(1) from None
    listener.setblocking(False)
    return listener


async def serve(settings: GatewaySettings, listener: socket.socket) -> int:
    """Serves until asked to stop, then drains within the limit."""
    stop_tracing = configure_tracing(SERVICE, settings.telemetry_url, sample=settings.telemetry_sample)
    lifecycle = Lifecycle(SERVICE, drain_seconds=settings.drain_seconds)
    gateway = await bootstrap(settings, lifecycle)
    server = make_server(gateway.app, settings)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    stopping = asyncio.create_task(_stop_asked(lifecycle))
    try:
        while not server.started and not serving.done():  # noqa: ASYNC110
            await asyncio.sleep(0.005)  # uvicorn has no event for it
        _settle_memory()
        lifecycle.started()
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        # Probes are still answered while running requests end; new ones are sent elsewhere.
        lifecycle.begin_drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(settings.drain_seconds):
                while gateway.app.in_flight and not serving.done():  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        server.should_exit = True
        await serving
        return 0
    finally:
        stopping.cancel()
        await gateway.close()
        stop_tracing()


def _settle_memory() -> None:
    """What was made so far stays: the collector need not look at it again; what imports left is given back.

    A full collection over the modules' objects would otherwise stop every stream for tens of milliseconds.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # glibc only


async def _stop_asked(lifecycle: Lifecycle) -> None:
    """Returns at a signal, or when the parent process of this worker is gone."""
    loop = asyncio.get_running_loop()
    orphaned = asyncio.Event()
    pipe = os.environ.get(LIFE_FD)
    if pipe is not None:
        loop.add_reader(int(pipe), orphaned.set)
    waits = [asyncio.create_task(lifecycle.wait_for_stop()), asyncio.create_task(orphaned.wait())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waits:
            task.cancel()
        if pipe is not None:
            loop.remove_reader(int(pipe))
