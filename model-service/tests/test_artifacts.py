"""From the object store through the converting process to a folder, and what goes wrong on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from parts.tiny_llama import archive, digest, make_adapter, make_base

from model_service.adapters.artifacts import ChildPreparer
from model_service.engines.types import Origin
from model_service.models.trained import Addition
from model_service.prepare.local import prepare_local
from model_service.prepare.progress import Progress
from servicekit.errors import Reason, SixfoldError
from servicekit.objects import Objects, open_objects


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tiny")
    make_base(root / "tiny")
    prepare_local(root / "tiny", "tiny", root / "models", Progress())
    make_adapter(root / "tiny", root / "adapter")
    return root


@pytest.fixture
async def objects(tmp_path: Path) -> AsyncIterator[Objects]:
    opened = open_objects(f"file://{tmp_path}/objects")
    yield opened
    await opened.close()


async def one(data: bytes) -> AsyncIterator[bytes]:
    yield data


def addition(key: str) -> Addition:
    sha256 = key.rpartition("/")[2]
    return Addition("ft:tiny:acme::abc123", "tiny", "lora", key, "v1", Origin("acme", "tiny", "", "", sha256))


def leftovers(root: Path) -> list[str]:
    return [path.name for path in root.iterdir() if path.name != "objects"]


async def take(objects: Objects, places: Path, tmp_path: Path, key: str, **more: float) -> Path:
    given = {"limit": 1 << 30, "seconds": 100.0, **more}
    preparer = ChildPreparer(objects, tmp_path, limit=int(given["limit"]), seconds=given["seconds"])
    await preparer.prepare(addition(key), places / "models" / "tiny", tmp_path / "made" / "inner")
    return tmp_path / "made" / "inner"


async def test_an_artifact_becomes_a_folder(objects: Objects, places: Path, tmp_path: Path) -> None:
    stored = await objects.put("acme/slug", one(archive(places / "adapter")), limit=1 << 30)
    made = await take(objects, places, tmp_path, stored.key)
    assert {"openvino_model.xml", "card.json", "tokenizer.json"} <= {path.name for path in made.iterdir()}
    assert leftovers(tmp_path) == ["made"]


async def test_each_fault_says_what_it_is(objects: Objects, places: Path, tmp_path: Path) -> None:
    async def fails(key: str, reason: Reason, **more: float) -> None:
        with pytest.raises(SixfoldError) as told:
            await take(objects, places, tmp_path, key, **more)
        assert (told.value.reason, str(tmp_path) in told.value.message) == (reason, False)
        assert leftovers(tmp_path) in ([], ["made"])

    bad = await objects.put("acme/slug", one(b"nonsense" * 1000), limit=1 << 30)
    await fails(bad.key, Reason.INVALID_REQUEST)
    await fails(f"acme/slug/{digest(b'nobody stored this')}", Reason.NOT_FOUND)
    await fails("acme/../secret", Reason.INVALID_REQUEST)
    good = await objects.put("acme/slug", one(archive(places / "adapter")), limit=1 << 30)
    await fails(good.key, Reason.REQUEST_TOO_LARGE, limit=100)
    await fails(good.key, Reason.DEADLINE_EXCEEDED, seconds=0.01)
    (stored,) = [path for path in (tmp_path / "objects").rglob(digest(archive(places / "adapter")))]  # noqa: C416
    stored.write_bytes(stored.read_bytes()[:-1] + b"x")
    await fails(good.key, Reason.DATA_LOSS)
