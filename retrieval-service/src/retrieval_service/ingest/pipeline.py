"""One file's way into the index: fetch, parse, digest, chunk, embed, index, record.

Every step can be done again. What was written to the index counts only once the row says so, and the row
is written last; whoever dies before that is followed by a try that writes the same again.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol
from weakref import WeakValueDictionary

from retrieval_service.chunking import (
    Signature,
    Strategy,
    chunk,
    document_language,
    signature,
    similarity,
    text_digest,
)
from retrieval_service.chunking.duplicates import SIMILAR
from retrieval_service.documents.embedding import Embedded
from retrieval_service.documents.errors import DocumentError, FileReason
from retrieval_service.documents.parsed import Parsed
from retrieval_service.documents.passage import Passage
from retrieval_service.ingest.observe import Steps
from retrieval_service.ingest.outages import check_room
from retrieval_service.ingest.vectors import PassageVectors
from retrieval_service.stores.opened import OpenStore, OpenStores
from retrieval_service.stores.records import Completed, OriginalGone, Outcome, Records
from retrieval_service.stores.types import Attachment
from servicekit.errors import Reason, SixfoldError


class Contents(Protocol):
    """Where the bytes of files are."""

    async def fetch(self, key: str, path: Path) -> None:
        """To a local file. NOT_FOUND and DATA_LOSS say that it is lost; others say "later"."""
        ...


class Reader(Protocol):
    """What turns files into text."""

    async def parse(self, path: Path, filename: str) -> Parsed:
        """Raises DocumentError for the file's own faults."""
        ...


class CalledOff(Exception):
    """The file left its store meanwhile, or was cancelled."""


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a file."""

    completed: Completed
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class _Read:
    """A parsed document and what is known of its text."""

    parsed: Parsed
    passages: Sequence[Passage]
    digest: str
    signature: Signature
    language: str


class Pipeline:
    """Runs any number of files at once; its users bound that."""

    def __init__(
        self,
        records: Records,
        opened: OpenStores,
        contents: Contents,
        reader: Reader,
        vectors: PassageVectors,
        steps: Steps,
        *,
        folder: Path,
        min_free_bytes: int,
        max_passages: int,
        written: Callable[[int, int], None] = lambda pages, passages: None,
        replaced: Callable[[], None] = lambda: None,
    ) -> None:
        """Files lie in `folder` while they are read. `written` is told of pages and passages; `replaced` is
        called when an index has something to forget.
        """
        self._records = records
        self._opened = opened
        self._contents = contents
        self._reader = reader
        self._vectors = vectors
        self._steps = steps
        self._folder = folder
        self._min_free_bytes = min_free_bytes
        self._max_passages = max_passages
        self._written = written
        self._replaced = replaced
        self._same: WeakValueDictionary[tuple[str, str, str], asyncio.Lock] = WeakValueDictionary()

    async def run(self, attachment: Attachment) -> Done:
        """All of it. Raises CalledOff, DocumentError, and what says "later"."""
        began = time.monotonic()
        await asyncio.to_thread(check_room, self._folder, self._min_free_bytes)
        read = await self._read(attachment)
        await self._still_wanted(attachment)
        async with (
            self._opened.use(attachment.tenant, attachment.store_id) as opened,
            # Two files with the same text at the same time: the second waits, and stands on the first.
            self._lock(attachment, read.digest),
        ):
            outcome = await self._as_duplicate(attachment, read)
            if outcome is not None:
                try:
                    return await self._record(opened, attachment, outcome, began)
                except OriginalGone:
                    pass  # then it stands for itself
            outcome = await self._index(opened, attachment, read)
            return await self._record(opened, attachment, outcome, began)

    async def _read(self, attachment: Attachment) -> _Read:
        """The file lies on this disk only while a parser reads it."""
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=self._folder))
        try:
            path = folder / "content"
            with self._steps.step("fetch"):
                await self._fetch(attachment, path)
            with self._steps.step("parse"):
                parsed = await self._reader.parse(path, attachment.file.filename)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        with self._steps.step("chunk"):
            passages = await asyncio.to_thread(_cut, parsed, attachment, self._max_passages)
        with self._steps.step("digest"):
            return await asyncio.to_thread(_look, parsed, passages)

    async def _fetch(self, attachment: Attachment, path: Path) -> None:
        try:
            await self._contents.fetch(attachment.file.object_key, path)
        except ValueError as error:  # a key that names no object
            raise _missing() from error
        except SixfoldError as error:
            if error.reason in (Reason.NOT_FOUND, Reason.DATA_LOSS):
                raise _missing() from error
            raise
        if await asyncio.to_thread(_sha256, path) != attachment.file.sha256:
            raise _missing()

    async def _as_duplicate(self, attachment: Attachment, read: _Read) -> Outcome | None:
        """What stands on another file's passages."""
        original = await self._records.same_text(
            attachment.tenant, attachment.store_id, read.digest, but=attachment.file.id
        )
        if original is None:
            return None
        model, _, version = original.embedding.rpartition("@")
        return Outcome(
            passages=original.passages,
            pages=read.parsed.pages,
            usage_bytes=0,
            language=read.language,
            digest=read.digest,
            embedding_model=model,
            embedding_version=version,
            index_id=original.index_id,
            duplicate_of=original.file.id,
        )

    async def _index(self, opened: OpenStore, attachment: Attachment, read: _Read) -> Outcome:
        """Vectors, then words; neither counts before the row does."""
        store, passages = opened.store, read.passages
        with self._steps.step("embed"):
            made = await self._vectors.embed(
                attachment.tenant,
                store.embedding_model,
                store.embedding_version,
                [passage.indexed_text for passage in passages],
            )
        await self._still_wanted(attachment)
        opened.table.hide(attachment.id)
        with self._steps.step("index"):
            await opened.writer.put(attachment.id, passages, made.vectors)
        bands = [band.hex() for band in read.signature.bands]
        return Outcome(
            passages=len(passages),
            pages=read.parsed.pages,
            usage_bytes=_usage(passages, made),
            language=read.language,
            digest=read.digest,
            embedding_model=store.embedding_model,
            embedding_version=made.version,
            index_id=attachment.id,
            near_duplicate_of=await self._near(attachment, read.signature, bands),
            bands=bands,
            signature=read.signature.data,
        )

    async def _near(self, attachment: Attachment, mine: Signature, bands: Sequence[str]) -> str:
        """The file that says nearly the same, if one does."""
        others = await self._records.near_texts(
            attachment.tenant, attachment.store_id, bands, but=attachment.file.id
        )
        for file_id, data in others:
            if data and similarity(mine, Signature(data)) >= SIMILAR:
                return file_id
        return ""

    async def _record(
        self, opened: OpenStore, attachment: Attachment, outcome: Outcome, began: float
    ) -> Done:
        """The row, then the table that searches look at. See `OpenStores` for the lock."""
        outcome = replace(outcome, seconds=time.monotonic() - began)
        with self._steps.step("record"):
            async with self._opened.lock(attachment.tenant, attachment.store_id):
                completed = await self._records.complete(
                    attachment.tenant, attachment.store_id, attachment.id, outcome
                )
                if completed is not None:
                    opened.table.swap([completed.attachment, *completed.heirs], completed.replaced)
                    if not opened.store.embedding_version:
                        opened.store = replace(opened.store, embedding_version=outcome.embedding_version)
        if completed is None:
            if outcome.index_id == attachment.id:
                await opened.call(opened.arms.index.remove, [attachment.id])
                opened.table.swept([attachment.id])
            raise CalledOff
        self._written(outcome.pages, 0 if outcome.duplicate_of else outcome.passages)
        if completed.replaced:
            self._replaced()
        return Done(completed, outcome)

    async def _still_wanted(self, attachment: Attachment) -> None:
        if not await self._records.waits(attachment.tenant, attachment.store_id, attachment.id):
            raise CalledOff

    def _lock(self, attachment: Attachment, digest: str) -> asyncio.Lock:
        key = (attachment.tenant, attachment.store_id, digest)
        lock = self._same.get(key)
        if lock is None:
            lock = self._same[key] = asyncio.Lock()
        return lock


def _look(parsed: Parsed, passages: Sequence[Passage]) -> _Read:
    """The digest names the places of all passages too: who stands on another's must be cited right."""
    places = hashlib.blake2b(digest_size=16)
    for each in passages:
        place = (each.headings, each.page_first, each.page_last, each.char_start, each.char_end)
        places.update(repr(place).encode())
    digest = f"{text_digest(parsed)}:{places.hexdigest()}"
    return _Read(parsed, passages, digest, signature(parsed), document_language(parsed.text))


def _cut(parsed: Parsed, attachment: Attachment, max_passages: int) -> Sequence[Passage]:
    """Raises NO_TEXT and TOO_LARGE."""
    cut = attachment.chunking
    strategy = Strategy(cut.max_tokens, cut.overlap_tokens)
    passages = [each for each in chunk(parsed, strategy) if each.text.strip()]
    if not passages:
        raise DocumentError(FileReason.NO_TEXT, "There is no text in the file.")
    if len(passages) > max_passages:
        raise DocumentError(
            FileReason.TOO_LARGE,
            f"The file makes more than {max_passages} passages: cut it larger or split it.",
        )
    return [replace(passage, index=index) for index, passage in enumerate(passages)]


def _usage(passages: Sequence[Passage], made: Embedded) -> int:
    return sum(len(passage.text.encode()) for passage in passages) + int(made.vectors.nbytes)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _missing() -> DocumentError:
    return DocumentError(FileReason.CONTENT_MISSING, "The content of the file is not in the object store.")
