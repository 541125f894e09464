"""A whole gateway in this process on a free port, before model services whose answers the tests decide."""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import jwt
import openai
import pytest
from parts.fake_engine import EngineServer, FakeEngine, card
from parts.fake_retrieval import FakeRetrieval, RetrievalServer

from gateway.bootstrap import Gateway, bootstrap
from gateway.server import make_server
from gateway.settings import GatewaySettings
from servicekit.lifecycle import Lifecycle

GENEROUS = (
    "limits: {default: {requests_per_minute: 1000000, tokens_per_minute: 1000000000, concurrency: 1000}}\n"
)


class House:
    """A gateway, its engines, and ways to talk to it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.jwt_key = secrets.token_bytes(32)
        self.service_key = secrets.token_bytes(32)
        self.engines: dict[str, EngineServer] = {}
        self.retrieval_server: RetrievalServer | None = None
        self.gateway: Gateway | None = None
        self.port = 0
        self._stack = AsyncExitStack()
        (home / "secrets").mkdir(parents=True, mode=0o700)
        for name, key in (("jwt", self.jwt_key), ("service", self.service_key)):
            path = home / "secrets" / f"{name}.key"
            path.write_text(key.hex())
            path.chmod(0o600)

    def token(self, tenant: str = "default", role: str = "member", **changes: Any) -> str:
        """A token as `sixfold token` makes it."""
        now = int(time.time())
        claims = {
            "iss": "sixfold", "aud": "sixfold-gateway", "sub": f"{tenant}-user", "tenant": tenant,
            "role": role, "iat": now, "nbf": now, "exp": now + 600, "jti": secrets.token_hex(8),
        } | changes  # fmt: skip
        return jwt.encode(claims, self.jwt_key, algorithm="HS256")

    async def engine(self, name: str, *models: Any) -> FakeEngine:
        """Starts a model service."""
        engine = FakeEngine(*models)
        server = EngineServer(engine, self.service_key)
        await server.start()
        self._stack.push_async_callback(server.stop)
        self.engines[name] = server
        return engine

    async def retrieval(self) -> FakeRetrieval:
        """Starts a retrieval service, for the gateway to find when it starts."""
        retrieval = FakeRetrieval()
        self.retrieval_server = RetrievalServer(retrieval, self.service_key)
        await self.retrieval_server.start()
        self._stack.push_async_callback(self.retrieval_server.stop)
        return retrieval

    def write_config(self, text: str, *, limits: bool = True) -> None:
        """Writes gateway.yaml with the services that run."""
        services = ", ".join(f"{name}: '127.0.0.1:{server.port}'" for name, server in self.engines.items())
        head = f"services: {{{services}}}\n" if services else ""
        (self.home / "gateway.yaml").write_text(head + (GENEROUS if limits else "") + text)

    async def start(self, **settings: Any) -> None:
        """Starts the gateway."""
        at = self.retrieval_server.port if self.retrieval_server is not None else 1  # where nobody is
        settings = {"retrieval_service": f"127.0.0.1:{at}"} | settings
        given = GatewaySettings(home=self.home, log_format="text", access_log=False, **settings)
        lifecycle = Lifecycle("gateway")
        self.gateway = await bootstrap(given, lifecycle)
        self._stack.push_async_callback(self.gateway.close)
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        server = make_server(self.gateway.app, given)
        serving = asyncio.create_task(server.serve(sockets=[listener]))

        async def stop() -> None:
            server.should_exit = True
            await serving

        self._stack.push_async_callback(stop)
        await until(lambda: server.started)
        lifecycle.started()

    async def close(self) -> None:
        await self._stack.aclose()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def openai(self, **token: Any) -> openai.AsyncOpenAI:
        """The official client, which never tries again by itself here."""
        client = openai.AsyncOpenAI(
            base_url=f"{self.base}/v1", api_key=self.token(**token), max_retries=0, timeout=20
        )
        self._stack.push_async_callback(client.close)
        return client

    def http(self, **token: Any) -> httpx.AsyncClient:
        """A plain client."""
        client = httpx.AsyncClient(
            base_url=self.base, headers={"authorization": f"Bearer {self.token(**token)}"}, timeout=20
        )
        self._stack.push_async_callback(client.aclose)
        return client


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Waits until `condition` holds; fails when it never does."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.fixture
def wait_until() -> Callable[..., Awaitable[None]]:
    return until


@pytest.fixture
async def house(tmp_path: Path, open_store: Callable[[Path], Any]) -> AsyncIterator[House]:
    """A house without anything in it but an empty, migrated database."""
    house = House(tmp_path / "home")
    await (await open_store(house.home / "gateway.db")).close()
    yield house
    await house.close()


@pytest.fixture
async def engine(house: House) -> FakeEngine:
    """One model service with a chat model and an embedding model."""
    return await house.engine(
        "local", card("tiny", aliases=("default",)), card("vectors", capabilities="embeddings")
    )


@pytest.fixture
async def ready(house: House, engine: FakeEngine) -> House:
    """A gateway before that service, with generous limits and no routes."""
    house.write_config("")
    await house.start()
    return house


@pytest.fixture
def client(ready: House) -> openai.AsyncOpenAI:
    return ready.openai()


@pytest.fixture
def http(ready: House) -> httpx.AsyncClient:
    return ready.http()
