"""Verifying keys of an identity provider: a JSON Web Key Set, from a file or from one https address.

The address is settled at start and its host is the only one ever asked: no redirects, no proxies from the
environment, a deadline and a size limit on every fetch. Nothing in a token can change where keys come from.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gateway.adapters.jwk import parse_jwks
from gateway.identity.keyring import Keyring
from servicekit.errors import Reason, SixfoldError
from servicekit.logs import get_logger

MAX_BYTES = 256 * 1024
_HEADERS = {"accept": "application/json", "accept-encoding": "identity"}
Fetch = Callable[[], Awaitable[bytes]]
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class JwksLimits:
    """Seconds. `unknown_kid_seconds`: how often at most an unknown `kid` makes us look again."""

    refresh_seconds: float = 300.0
    unknown_kid_seconds: float = 10.0
    fetch_seconds: float = 5.0
    max_stale_seconds: float = 12 * 3600.0


class Jwks:
    """A `KeySource` that keeps a key set fresh. Keys it cannot renew are used for `max_stale_seconds`."""

    def __init__(
        self,
        fetch: Fetch,
        algorithms: frozenset[str],
        limits: JwksLimits | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._algorithms = algorithms
        self._limits = limits or JwksLimits()
        self._monotonic = monotonic
        self._keyring: Keyring | None = None
        self._loaded_at = self._tried_at = float("-inf")
        self._looking: asyncio.Lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Loads the keys if it can, and keeps them fresh. An absent provider is no reason not to start."""
        await self._load()
        self._task = asyncio.create_task(self._keep_fresh(), name="jwks")

    async def close(self) -> None:
        """Ends the background refresh."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def keys(self) -> Keyring:
        if self._keyring is None or self._age() > self._limits.max_stale_seconds:
            raise SixfoldError(
                Reason.SERVICE_UNAVAILABLE,
                "Tokens cannot be checked: the identity provider's keys cannot be had.",
                retry_after=self._limits.unknown_kid_seconds,
            )
        return self._keyring

    async def check(self) -> None:
        """For readiness: raises while there are no usable keys."""
        self.keys()

    async def refresh(self) -> bool:
        if (
            self._monotonic() - self._tried_at < self._limits.unknown_kid_seconds
            and not self._looking.locked()
        ):
            return False
        before = self._tried_at
        async with self._looking:
            if self._tried_at != before:
                return True  # another request looked while this one waited
            return await self._load()

    async def _load(self) -> bool:
        self._tried_at = self._monotonic()
        try:
            async with asyncio.timeout(self._limits.fetch_seconds):
                body = await self._fetch()
            self._keyring = Keyring(parse_jwks(body, self._algorithms))
        except Exception as error:
            _log.warning("jwks_refresh_failed", error=type(error).__name__)
            return False
        self._loaded_at = self._monotonic()
        return True

    async def _keep_fresh(self) -> None:
        while True:
            failed = self._age() > self._limits.refresh_seconds
            await asyncio.sleep(self._limits.unknown_kid_seconds if failed else self._limits.refresh_seconds)
            async with self._looking:
                await self._load()

    def _age(self) -> float:
        return self._monotonic() - self._loaded_at


def file_fetch(path: Path) -> Fetch:
    """Reads a key set from a file, anew each time."""

    def read() -> bytes:
        with path.open("rb") as file:
            return _bounded(file.read(MAX_BYTES + 1))

    async def fetch() -> bytes:
        return await asyncio.to_thread(read)

    return fetch


def https_fetch(url: str, *, ca: Path | None = None) -> Fetch:
    """Fetches a key set over https. `ca` replaces the system's roots. ValueError for another kind of URL."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.fragment:
        raise ValueError("a key set's address is an https URL without user and fragment")

    async def fetch() -> bytes:
        import httpx  # only installations with an identity provider pay for its memory

        context = ssl.create_default_context(cafile=str(ca) if ca else None)
        async with (
            httpx.AsyncClient(verify=context, follow_redirects=False, trust_env=False) as client,
            client.stream("GET", url, headers=_HEADERS) as response,
        ):
            if response.status_code != 200:
                raise ValueError(f"status {response.status_code}")
            body = bytearray()
            async for piece in response.aiter_raw():
                body += piece
                _bounded(body)
            return bytes(body)

    return fetch


def _bounded(body: bytes | bytearray) -> bytes:
    if len(body) > MAX_BYTES:
        raise ValueError("the key set is too large")
    return bytes(body)
