"""Files on the whole platform, with the official client unchanged."""

from __future__ import annotations

import os

import openai
import pytest
from parts.platform import Platform

pytestmark = pytest.mark.real_model


def test_a_file_in_one_piece_and_in_parts(platform: Platform) -> None:
    client = platform.client()
    data = os.urandom(600_000)
    whole = client.files.create(file=("data.bin", data), purpose="user_data")
    parts = client.uploads.upload_file_chunked(
        file=data, filename="data.bin", bytes=len(data), mime_type="text/plain", purpose="user_data",
        part_size=250_000,
    )  # fmt: skip
    assert parts.file is not None
    assert parts.file.id != whole.id
    assert {whole.id, parts.file.id} <= {file.id for file in client.files.list(purpose="user_data", limit=1)}
    for name in (whole.id, parts.file.id):
        assert client.files.content(name).content == data
        assert client.files.delete(name).deleted
        with pytest.raises(openai.NotFoundError):
            client.files.content(name)
    assert (
        client.files.wait_for_processing(client.files.create(file=("e", b""), purpose="evals").id).bytes == 0
    )
