"""Files that wait together are written together."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from retrieval_service.documents.passage import Passage
from retrieval_service.stores.writer import Files, Writer
from servicekit.errors import Reason, SixfoldError


class Index:
    """Keeps what it was given; `bad` files break it, and `gate` holds it up."""

    def __init__(self) -> None:
        self.goes: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.bad: set[str] = set()
        self.away = False

    async def write(self, files: Files) -> None:
        self.goes.append(list(files))
        await self.gate.wait()
        if self.away:
            raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "away")
        if self.bad & files.keys():
            raise ValueError("bad")


def put(writer: Writer, name: str, count: int = 1) -> asyncio.Task[None]:
    passages = [Passage(n, "text", (), 0, 0, 0, 4) for n in range(count)]
    return asyncio.create_task(writer.put(name, passages, np.zeros((count, 2), np.float32)))


async def test_what_comes_during_a_go_is_the_next() -> None:
    index = Index()
    writer = Writer(index.write, max_passages=10)
    index.gate.clear()
    first = put(writer, "a")
    await asyncio.sleep(0.01)
    rest = [put(writer, "b", 4), put(writer, "c", 4), put(writer, "d", 4), put(writer, "e", 50)]
    await asyncio.sleep(0.01)
    index.gate.set()
    await asyncio.gather(first, *rest)
    assert index.goes == [["a"], ["b", "c"], ["d"], ["e"]]
    await put(writer, "f")
    assert index.goes[-1] == ["f"]


async def test_a_bad_file_costs_the_others_nothing() -> None:
    index = Index()
    writer = Writer(index.write)
    index.gate.clear()
    first = put(writer, "a")
    await asyncio.sleep(0.01)
    index.bad = {"c"}
    rest = [put(writer, name) for name in "bcd"]
    await asyncio.sleep(0.01)
    index.gate.set()
    done = await asyncio.gather(first, *rest, return_exceptions=True)
    assert [type(each) for each in done] == [type(None), type(None), ValueError, type(None)]


async def test_an_outage_is_everybodys() -> None:
    index = Index()
    index.away = True
    writer = Writer(index.write)
    done = await asyncio.gather(put(writer, "a"), put(writer, "b"), return_exceptions=True)
    assert all(isinstance(each, SixfoldError) for each in done)
    index.away = False
    await put(writer, "a")


async def test_who_is_cancelled_waits_for_the_go_that_has_begun() -> None:
    index = Index()
    writer = Writer(index.write)
    index.gate.clear()
    begun, waiting = put(writer, "a"), None
    await asyncio.sleep(0.01)
    waiting = put(writer, "b")
    await asyncio.sleep(0.01)
    begun.cancel()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.sleep(0.01)
    assert not begun.done()
    index.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await begun
    assert index.goes == [["a"]]
