"""One eval-service for the tests that do not break it, and models that tests make."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from parts.evaluation import Answering, EvalProcess, Evaluation
from parts.fake_engine import EngineServer
from parts.process import free_port

KEY = secrets.token_bytes(32)
MODEL_PORT = free_port()


@pytest.fixture(scope="session")
def shared_eval(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EvalProcess]:
    service = EvalProcess(tmp_path_factory.mktemp("eval") / "home", KEY, MODEL_PORT)
    yield service.start()
    service.stop()


def _old(text: str, request: Any) -> str:
    return text.split()[0]


def _new(text: str, request: Any) -> str:
    return text.split()[-1]


@pytest.fixture
async def models() -> AsyncIterator[Answering]:
    """Two models: the old one says the first word, the new one the last, which is right."""
    engine = Answering(old=_old, new=_new, other=_new)
    engine.server = EngineServer(engine, KEY, MODEL_PORT)
    await engine.server.start()
    yield engine
    await engine.server.stop()


@pytest.fixture
async def acme(shared_eval: EvalProcess, models: Answering) -> AsyncIterator[Evaluation]:
    """A tenant of the test's own."""
    async with Evaluation(shared_eval, f"acme-{secrets.token_hex(4)}") as client:
        yield client


@pytest.fixture
async def other(shared_eval: EvalProcess, models: Answering) -> AsyncIterator[Evaluation]:
    """Another one."""
    async with Evaluation(shared_eval, f"other-{secrets.token_hex(4)}") as client:
        yield client


@pytest.fixture
def own_eval(tmp_path: Path) -> Iterator[Callable[..., EvalProcess]]:
    """Makes a service that the test may kill."""
    made: list[EvalProcess] = []

    def make(**env: str) -> EvalProcess:
        service = EvalProcess(tmp_path / f"home{len(made)}", KEY, MODEL_PORT, env)
        made.append(service)
        return service.start()

    yield make
    for service in made:
        service.stop()
