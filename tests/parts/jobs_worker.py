"""A worker of the workshop as a process: package, store, bus, folder, slots and traces are the arguments."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import sys
from pathlib import Path

from parts.jobs import QUICK, Workshop
from servicekit.lifecycle import run
from servicekit.telemetry import configure_tracing


async def main() -> int:
    package, store, bus, folder, slots, traces = sys.argv[1:]
    sys.path.insert(0, package)
    shutdown = configure_tracing("workshop", traces)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    shop = await Workshop.open(store, bus, Path(folder))
    shop.relay.start()
    worker = shop.new_worker(dataclasses.replace(QUICK, slots=int(slots)), telemetry_url=traces)
    await stop.wait()
    await worker.close()
    await shop.close()
    shutdown()
    return 0


sys.exit(run(main))
