"""One retrieval-service for the tests that do not break it, and a way to have one's own."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from parts.embedder import EngineServer, WordEmbedder
from parts.process import free_port
from parts.retrieval import Retrieval, RetrievalProcess

_KEY = secrets.token_bytes(32)
_MODEL_PORT = free_port()


@pytest.fixture(scope="session")
def shared_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RetrievalProcess]:
    service = RetrievalProcess(tmp_path_factory.mktemp("retrieval") / "home", _KEY, _MODEL_PORT)
    yield service.start()
    service.stop()


@pytest.fixture
async def embedder() -> AsyncIterator[WordEmbedder]:
    """The model service of all retrieval services here; it lives as long as the test."""
    engine = WordEmbedder()
    server = EngineServer(engine, _KEY, _MODEL_PORT)
    await server.start()
    yield engine
    await server.stop()


@pytest.fixture
async def acme(shared_service: RetrievalProcess, embedder: WordEmbedder) -> AsyncIterator[Retrieval]:
    """A tenant of the test's own."""
    async with Retrieval(shared_service, f"acme-{secrets.token_hex(4)}") as client:
        yield client


@pytest.fixture
async def other(shared_service: RetrievalProcess, embedder: WordEmbedder) -> AsyncIterator[Retrieval]:
    """Another one."""
    async with Retrieval(shared_service, f"other-{secrets.token_hex(4)}") as client:
        yield client


@pytest.fixture
def own_service(tmp_path: Path) -> Iterator[Callable[..., RetrievalProcess]]:
    """Makes a service that the test may kill. Its model service is `embedder`'s."""
    made: list[RetrievalProcess] = []

    def make(**fields: object) -> RetrievalProcess:
        service = RetrievalProcess(tmp_path / f"home{len(made)}", _KEY, _MODEL_PORT, **fields)  # type: ignore[arg-type]
        made.append(service)
        return service

    yield make
    for service in made:
        service.stop()
