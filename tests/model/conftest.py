"""The real models, loaded once a module."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from parts.models import EMBEDDING, TEXT, prepared_models

from model_service.adapters.openvino.engine import OpenVinoEngine
from model_service.adapters.sentence_transformers.engine import SentenceTransformersEngine


@pytest.fixture(scope="session")
def models() -> Path:
    return prepared_models()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(models: Path) -> AsyncIterator[OpenVinoEngine]:
    """Two answers at once, two in line."""
    made = OpenVinoEngine(TEXT, f"openvino://{models / TEXT}", {"max_running": 2, "max_waiting": 2})
    await made.start()
    yield made
    await made.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def embeddings(models: Path) -> AsyncIterator[SentenceTransformersEngine]:
    made = SentenceTransformersEngine(
        EMBEDDING, f"sentence-transformers://{models / EMBEDDING}", {"max_batch": 8}
    )
    await made.start()
    yield made
    await made.close()
