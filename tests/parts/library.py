"""Stores with documents for the walk's tests, and an engine that answers from what it was given."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator
from typing import Any

from parts.fake_engine import FakeEngine
from parts.fake_retrieval import COMPLETED, FakeRetrieval, Shelf, passage
from sixfold.model.v1 import generation_pb2 as gen
from sixfold.retrieval.v1 import search_pb2, store_pb2

DUCKS = "Mallard ducks weigh 1.1 kilograms. They are found in most of Europe."
SWANS = "Mute swans weigh 11 kilograms and live for 20 years."


def shelve(
    retrieval: FakeRetrieval, tenant: str, files: dict[str, list[search_pb2.Passage] | str]
) -> tuple[str, dict[str, str]]:
    """A store of the tenant's with these files; gives its id, and the files' by name."""
    store = store_pb2.Store(id=f"vs_{secrets.token_hex(12)}", name="animals")
    shelf = retrieval.shelves[(tenant, store.id)] = Shelf(store)
    ids: dict[str, str] = {}
    for name, given in files.items():
        file_id = ids[name] = f"file-{secrets.token_hex(12)}"
        retrieval.contents[file_id] = [passage(given)] if isinstance(given, str) else given
        shelf.files[file_id] = store_pb2.StoreFile(
            file_id=file_id,
            store_id=store.id,
            filename=name,
            status=COMPLETED,
            attachment_id=f"att_{secrets.token_hex(8)}",
        )
    return store.id, ids


def prompt_of(request: Any) -> str:
    """The last turn that the engine was given."""
    return str(request.messages[-1].content[0].text)


async def from_passages(engine: FakeEngine, request: Any) -> AsyncIterator[Any]:
    """Says, word by word, the first passage of the prompt that holds the question's first word."""
    prompt = prompt_of(request)
    question = prompt.rpartition("\n")[2]
    first = question.split()[0].lower()
    quoted = re.findall(r"<passage \d+[^>]*>\n(.*?)\n</passage", prompt, re.DOTALL)
    said = next((text for text in quoted if first in text.lower()), "I do not know.")
    by = gen.ServedBy(model=request.model, version=engine.version(request.model), engine="fake")
    for index, word in enumerate(re.findall(r"\s*\S+", said)):
        delta = gen.Delta(text=word, token_count=1)
        if not index:
            delta.served_by.CopyFrom(by)
        yield delta
    yield gen.Delta(finish_reason=gen.FINISH_REASON_STOP)
    yield gen.Usage(prompt_tokens=50, completion_tokens=len(said.split()), cached_tokens=3)


def saying(*words: str) -> Any:
    """An engine that says these pieces."""

    async def behave(engine: FakeEngine, request: Any) -> AsyncIterator[Any]:
        by = gen.ServedBy(model=request.model, version=engine.version(request.model), engine="fake")
        for index, word in enumerate(words):
            delta = gen.Delta(text=word, token_count=1)
            if not index:
                delta.served_by.CopyFrom(by)
            yield delta
        yield gen.Delta(finish_reason=gen.FINISH_REASON_STOP)
        yield gen.Usage(prompt_tokens=50, completion_tokens=len(words))

    return behave
