"""Objects: content by the digest of itself, streamed, checked, encrypted where a key is set."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from typing import TypeVar

import structlog

from servicekit.errors import SixfoldError
from servicekit.objects import instruments
from servicekit.objects.base import (
    Full,
    Place,
    Sink,
    Source,
    Stored,
    data_loss,
    full,
    not_found,
    too_large,
    unavailable,
    wrong_key,
)
from servicekit.objects.names import SEALED, check_namespace, sealed_name, split_key, temporary
from servicekit.objects.seal import HEADER, Broken, Opener, Sealer, WrongKey, check_key

BLOCK = 256 * 1024
"""Bytes that go through a thread at a time: what one reader or writer has in memory, about twice."""
_SWEEP = 1000

_log = structlog.get_logger("servicekit.objects")
T = TypeVar("T")


class Objects:
    """Objects in one place. Made by `open_objects`.

    What raises SixfoldError: SERVICE_UNAVAILABLE when the place cannot be reached, is full, or an object is
    encrypted with a key that is not set here.
    """

    def __init__(self, place: Place, *, key: bytes | None, threads: int) -> None:
        if key is not None and len(key) < 32:
            raise ValueError("an object key has at least 32 bytes")
        self._place = place
        self._key = key
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="objects")

    async def put(self, namespace: str, chunks: AsyncIterator[bytes], *, limit: int) -> Stored:
        """Stores what `chunks` gives, under `<namespace>/<sha256 of the content>`, whole or not at all.

        Returns when it is durable. `limit` is in bytes; more raises REQUEST_TOO_LARGE. Whatever `chunks`
        raises comes through, and nothing is left behind.
        """
        check_namespace(namespace)
        name = temporary()
        writing = _Writing(Sealer(self._key, namespace) if self._key is not None else None)
        try:
            await self._call("put", writing.begin, self._place, name)
            async for block in _blocks(chunks, limit):
                await self._call("put", writing.write, block)
            await self._call("put", writing.finish)
            key = f"{namespace}/{writing.digest.hexdigest()}"
            await self._call("put", self._place.publish, name, self._name(key, self._key is not None))
        except BaseException:
            with suppress(SixfoldError):
                await self._call("put", writing.drop)
            raise
        instruments.BYTES.labels("written").inc(writing.size)
        return Stored(key, writing.digest.hexdigest(), writing.size)

    async def read(self, key: str) -> AsyncGenerator[bytes, None]:
        """The content, in pieces. Close it when leaving early (`contextlib.aclosing`).

        Raises NOT_FOUND, and DATA_LOSS for content that is not what was stored. The last piece comes only
        after the whole was checked, so nobody takes damaged content for complete.
        """
        namespace, digest = split_key(key)
        reading = await self._call("read", self._open, key, namespace, digest)
        try:
            while (piece := await self._call("read", reading.next)) is not None:
                instruments.BYTES.labels("read").inc(len(piece))
                yield piece
        finally:
            await self._call("read", reading.close)

    async def fetch(self, key: str, path: Path) -> None:
        """Writes the content to a local file (mode 0600), which appears whole or not at all.

        Raises as `read` does.
        """
        namespace, digest = split_key(key)
        await self._call("read", self._fetch, key, namespace, digest, path)

    async def delete(self, namespace: str) -> None:
        """Removes every object of the namespace. One that holds nothing is fine."""
        check_namespace(namespace)
        await self._call("delete", self._place.remove, namespace)

    async def sweep(self, seconds: float) -> int:
        """Removes what writers that were killed left unfinished, begun over `seconds` ago. Says how many.

        One call removes a thousand at most.
        """

        def work() -> int:
            names = list(islice(self._place.stale(seconds), _SWEEP))
            for name in names:
                self._place.discard(name)
            return len(names)

        return await self._call("sweep", work)

    async def check(self) -> None:
        """Returns when objects can be stored and read."""
        await self._call("check", self._place.check)

    async def close(self) -> None:
        """Lets go of threads and connections. Calling it twice is fine."""
        with suppress(RuntimeError):  # closed before
            await self._call("close", self._place.close)
        self._pool.shutdown(wait=False)

    def _name(self, key: str, sealed: bool) -> str:
        """Where the place has the object of this key."""
        return sealed_name(key, self._key) if sealed and self._key is not None else key

    def _open(self, key: str, namespace: str, digest: str) -> _Reading:
        if self._key is not None:
            with suppress(FileNotFoundError):
                source = self._place.open(self._name(key, True))
                return _Reading(source, Opener(self._key, namespace), digest)
        try:
            # Stored before a key was set. Its digest is checked all the same.
            return _Reading(self._place.open(key), None, digest)
        except FileNotFoundError:
            self._say_if_sealed_otherwise(namespace)
            raise

    def _say_if_sealed_otherwise(self, namespace: str) -> None:
        """Names of encrypted objects depend on the key: a wrong key must not pass for a missing object."""
        for name in self._place.names(namespace):
            if name.endswith(SEALED):
                with closing(self._place.open(name)) as source:
                    check_key(source.read(HEADER), self._key)
                return

    def _fetch(self, key: str, namespace: str, digest: str, path: Path) -> None:
        reading = self._open(key, namespace, digest)
        part = path.with_name(f".{secrets.token_hex(8)}.part")
        try:
            with open(part, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                while (piece := reading.next()) is not None:
                    file.write(piece)
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        finally:
            reading.close()

    async def _call(self, operation: str, work: Callable[..., T], *args: object) -> T:
        """Runs `work` in a thread; its failures become SixfoldError.

        A thread cannot be stopped: when the caller is cancelled, this still waits for its end, because
        whoever cleans up must come after.
        """
        future = asyncio.get_running_loop().run_in_executor(self._pool, work, *args)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            while not future.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait((future,))
            if not future.cancelled():
                future.exception()
            raise
        except Exception as error:
            told = _told(error, operation)
            instruments.FAILURES.labels(operation, told.reason.value).inc()
            if told is not error:
                _log.warning("object_store_failed", operation=operation, error=type(error).__name__)
            raise told from error


class _Writing:
    """One object on its way in: digest, frames, bytes. Runs in threads."""

    def __init__(self, sealer: Sealer | None) -> None:
        self._sealer = sealer
        self._sink: Sink | None = None
        self._undo: Callable[[], None] = lambda: None
        self.digest = hashlib.sha256()
        self.size = 0

    def begin(self, place: Place, name: str) -> None:
        self._undo = lambda: place.discard(name)
        self._sink = place.create(name)
        if self._sealer is not None:
            self._sink.write(self._sealer.header)

    def write(self, block: bytes) -> None:
        assert self._sink is not None
        self.digest.update(block)
        self.size += len(block)
        self._sink.write(block if self._sealer is None else self._sealer.update(block))

    def finish(self) -> None:
        assert self._sink is not None
        if self._sealer is not None:
            self._sink.write(self._sealer.finish())
        self._sink.finish()

    def drop(self) -> None:
        if self._sink is not None:
            self._sink.drop()
        self._undo()


class _Reading:
    """One object on its way out. Holds a piece back until more comes: it may be the last. Runs in threads."""

    def __init__(self, source: Source, opener: Opener | None, digest: str) -> None:
        self._source = source
        self._opener = opener
        self._expected = digest
        self._digest = hashlib.sha256()
        self._held: bytes | None = None
        self._ended = False

    def next(self) -> bytes | None:
        """A piece of content, never empty; None at the end. Raises Broken and WrongKey."""
        while not self._ended:
            piece, self._ended = self._more()
            if self._ended and self._digest.hexdigest() != self._expected:
                raise Broken
            held, self._held = self._held, piece
            if held:
                return held
        held, self._held = self._held, None
        return held or None

    def _more(self) -> tuple[bytes, bool]:
        """Content, and whether it is all."""
        data = piece = self._source.read(BLOCK)
        if self._opener is not None:
            piece = self._opener.update(data) if data else self._opener.finish()
        self._digest.update(piece)
        return piece, not data

    def close(self) -> None:
        self._source.close()


async def _blocks(chunks: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    """The same bytes in pieces of about `BLOCK`. Raises REQUEST_TOO_LARGE as soon as that is known."""
    waiting = bytearray()
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        waiting += chunk
        if len(waiting) >= BLOCK:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)


def _told(error: Exception, operation: str) -> SixfoldError:
    match error:
        case SixfoldError():
            return error
        case FileNotFoundError() if operation == "read":  # elsewhere the place itself is missing
            return not_found()
        case Broken():
            return data_loss()
        case WrongKey():
            return wrong_key()
        case Full():
            return full()
    return unavailable()
