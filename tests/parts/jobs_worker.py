"""A worker of the workshop as a process: its package, store, bus, folder and slots are the arguments."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import sys
from pathlib import Path

from parts.jobs import QUICK, Workshop


async def main(package: str, store: str, bus: str, folder: str, slots: str) -> None:
    sys.path.insert(0, package)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    shop = await Workshop.open(store, bus, Path(folder))
    shop.relay.start()
    worker = shop.new_worker(dataclasses.replace(QUICK, slots=int(slots)))
    await stop.wait()
    await worker.close()
    await shop.close()


asyncio.run(main(*sys.argv[1:]))
