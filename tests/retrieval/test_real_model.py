"""Documents found by what they mean: real vectors, from the real model service over gRPC."""

from __future__ import annotations

import json
import secrets
import sys
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from parts.models import EMBEDDING
from parts.process import Process, free_port
from parts.retrieval import COMPLETED, Retrieval, RetrievalProcess

pytestmark = pytest.mark.real_model

TEXTS = {
    "car.txt": b"The automobile was repaired by a mechanic after the engine had failed.\n",
    "cake.txt": b"Mix flour, sugar and eggs, then put it into the oven for forty minutes.\n",
    "court.txt": b"The judge ruled that the contract was void and ordered damages to be paid.\n",
    "wetter.txt": "明天北京有大雨，气温下降到十五度。\n".encode(),
}


@pytest.fixture
async def acme(prepared_models: Path, tmp_path: Path) -> AsyncIterator[Retrieval]:
    key, home, rpc, ops = secrets.token_bytes(32), tmp_path / "home", free_port(), free_port()
    service = RetrievalProcess(home, key, rpc)
    (home / "models").symlink_to(prepared_models)
    (home / "models.yaml").write_text(
        json.dumps(
            {
                "models": [
                    {"name": EMBEDDING, "engine": f"sentence-transformers://{prepared_models / EMBEDDING}"}
                ]
            }
        )
    )

    def ready() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{ops}/readyz", timeout=2) as answer:
                return bool(json.loads(answer.read())["ready"])
        except OSError:
            return False

    models = Process(
        [sys.executable, "-m", "model_service"],
        log=home / "model-service.log",
        ready=ready,
        env={
            "SIXFOLD_HOME": str(home),
            "SIXFOLD_MODEL_SERVICE_LISTEN": f"127.0.0.1:{rpc}",
            "SIXFOLD_MODEL_SERVICE_OPS_LISTEN": f"127.0.0.1:{ops}",
        },
        start_seconds=90,
    )
    models.start()
    service.start()
    async with Retrieval(service) as client:
        yield client
    service.stop()
    models.stop()


async def test_meaning_is_found_without_a_word_in_common(acme: Retrieval) -> None:
    store = await acme.store()
    files = {name: await acme.upload(text, name) for name, text in TEXTS.items()}
    long = b" ".join(b"Sentence number %d tells of a lighthouse keeper." % n for n in range(300))
    files["long.txt"] = await acme.upload(long, "long.txt")
    await acme.add(store, *list(files.values())[:-1], batch=True)
    await acme.add(
        store, files["long.txt"], max_tokens=2000, overlap_tokens=0
    )  # far over what the model reads
    for file in files.values():
        done = await acme.ended(store, file.id, 100)
        assert (done.status, done.error.reason) == (COMPLETED, "")
    for query, name in (
        ("vehicle broke down", "car.txt"),
        ("baking a dessert", "cake.txt"),
        ("legal verdict about an agreement", "court.txt"),
        ("北京明天下雨吗", "wetter.txt"),
        ("who lives by the sea and keeps the light", "long.txt"),
    ):
        answer = await acme.search(store, query)
        assert answer.hits[0].filename == name, query
        assert answer.hits[0].score >= answer.hits[-1].score
    assert (await acme.search(store, "vehicle broke down")).vectors_used
