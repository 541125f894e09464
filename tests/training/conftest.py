"""One training-service for all of these tests."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator

import pytest
from parts.tiny_base import make_base
from parts.training import Training, TrainingProcess


@pytest.fixture(scope="session")
def training_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingProcess]:
    folder = tmp_path_factory.mktemp("training")
    service = TrainingProcess(folder / "home", secrets.token_bytes(32), make_base(folder / "base"))
    service.process.start()
    yield service
    service.process.stop()


@pytest.fixture
async def training(training_process: TrainingProcess) -> AsyncIterator[Training]:
    async with Training(training_process) as client:
        yield client
