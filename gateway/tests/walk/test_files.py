"""Files through the whole gateway, with the official client unchanged."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from parts.fake_retrieval import FakeRetrieval


@pytest.fixture
async def retrieval(house: Any) -> FakeRetrieval:
    return await house.retrieval()


@pytest.fixture
async def files(house: Any, retrieval: FakeRetrieval) -> Any:
    house.write_config("")
    await house.start(max_file_bytes=3_000_000)
    return house


async def test_a_file_from_birth_to_end(files: Any) -> None:
    client = files.openai()
    made = await client.files.create(file=("notes.md", b"# Notes\n"), purpose="assistants")
    assert made.id.startswith("file-")
    assert (made.object, made.bytes, made.filename, made.purpose) == ("file", 8, "notes.md", "assistants")
    assert (made.status, made.expires_at) == ("processed", None)
    assert await client.files.retrieve(made.id) == made
    assert (await client.files.content(made.id)).content == b"# Notes\n"
    assert [file async for file in client.files.list()] == [made]
    deleted = await client.files.delete(made.id)
    assert (deleted.id, deleted.deleted) == (made.id, True)
    with pytest.raises(openai.NotFoundError):
        await client.files.retrieve(made.id)
    with pytest.raises(openai.NotFoundError):
        await client.files.delete(made.id)
    assert [path for path in (files.home / "objects").rglob("*") if path.is_file()] == []
