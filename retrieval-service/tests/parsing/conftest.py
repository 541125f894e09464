"""Reading without a child process: what the readers make of bytes."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from retrieval_service.documents.errors import DocumentError, FileReason
from retrieval_service.documents.parsed import Parsed
from retrieval_service.parsing.limits import ParserLimits
from retrieval_service.parsing.reader import read

Read = Callable[..., Parsed]
Refused = Callable[..., FileReason]


@pytest.fixture
def read_bytes() -> Read:
    """`read_bytes(name, data)` is the document; limits may follow."""

    def read_them(name: str, data: bytes | str, limits: ParserLimits | None = None) -> Parsed:
        content = data.encode() if isinstance(data, str) else data
        return read(io.BytesIO(content), name, limits or ParserLimits())

    return read_them


@pytest.fixture
def refused(read_bytes: Read) -> Refused:
    """`refused(name, data)` is the reason why it is."""

    def reason(name: str, data: bytes | str, limits: ParserLimits | None = None) -> FileReason:
        with pytest.raises(DocumentError) as caught:
            read_bytes(name, data, limits)
        assert len(caught.value.fault.message) < 200
        return caught.value.fault.reason

    return reason
