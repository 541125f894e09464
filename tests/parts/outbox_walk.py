"""A process that writes orders, relays their events and handles them, and kills itself where it is told.

Arguments: folder of the package `shop`, store, bus, how many orders there shall be in the end, the step.
It goes on where the last one was killed, and ends when every order has had its effect.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text

from servicekit import outbox
from servicekit.bus import Event, open_bus
from servicekit.outbox import inbox
from servicekit.store import Store

TOPIC = "sixfold.jobs"
_passed = 0


def reach(step: str) -> None:
    """Dies here, the third time that the step is reached, if it is the one."""
    global _passed
    if step == sys.argv[5]:
        _passed += 1
        if _passed == 3:
            os.kill(os.getpid(), signal.SIGKILL)


class Killing:
    """The bus, with death before or after publishing."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def publish(self, topic: str, events: Sequence[Event], *, timeout: float | None = None) -> None:
        reach("before publishing")
        await self.inner.publish(topic, events, timeout=timeout)
        reach("after publishing")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


async def main(package: str, store_url: str, bus_url: str, orders: str, _step: str) -> None:
    sys.path.insert(0, package)
    store = await Store.open(store_url, migrations="shop:migrations", timeout=10)
    bus = open_bus(f"{bus_url}?partitions=2&lease_seconds=0.5")
    relay = outbox.Relay(store, Killing(bus), batch=2, poll_seconds=0.02, lease_seconds=1)

    async def handle(event: Event) -> None:
        async with store.begin() as connection:
            if await inbox.first_time(connection, "effects", event.id):
                await connection.execute(
                    text("INSERT INTO effects (number) VALUES (:n)"), {"n": int(event.data)}
                )
            reach("in the handler")
        reach("after the handler")

    bus.subscribe([TOPIC], "effects", handle)
    relay.start()
    for number in range(await count(store, "orders"), int(orders)):
        made = Event(
            f"evt_{number}", "shop", "made", f"s{number % 2}", datetime.now(UTC), "acme", "", b"%d" % number
        )
        async with store.begin() as connection:
            await connection.execute(text("INSERT INTO orders VALUES (:n)"), {"n": number})
            await outbox.add(connection, TOPIC, made)
            reach("before the commit")
        reach("after the commit")
        relay.wake()
    while await count(store, "effects") < int(orders):  # noqa: ASYNC110 - it asks a database
        await asyncio.sleep(0.02)
    await relay.close()
    await bus.close()
    await store.close()


async def count(store: Store, table: str) -> int:
    async with store.read() as connection:
        return int((await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
