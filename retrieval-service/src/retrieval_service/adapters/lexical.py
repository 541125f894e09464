"""BM25 on tantivy: one folder a store, updated live, durable at return.

Terms come from our own analysis, joined by spaces; tantivy splits them there and does nothing else. A passage
is stored with its terms, so that what is found is read from the same commit. The folder names the version of
all this: another one, or one that cannot be read, raises `IndexDamaged`, and the caller makes it anew.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

import orjson
import tantivy

from retrieval_service.adapters.locks import FolderLock
from retrieval_service.documents.passage import Passage
from retrieval_service.search import analysis, bm25
from retrieval_service.search.ports import Allowed, IndexDamaged, Scored
from servicekit.errors import Reason, SixfoldError

Key = TypeVar("Key")
Value = TypeVar("Value")

VERSION = "1"
"""Of schema and analysis together. Raise it when either changes, and stores are indexed anew."""

UNKNOWN = "-"
"""The language of a passage that has none: an empty term cannot be."""
HEAP = 32 * 1024 * 1024
"""Bytes that a writer collects before it starts a segment."""
KEPT = 4_096
"""Passages, places and terms kept read, each."""
SIFT = 4
KEPT_QUERIES = 64
MAX_TERMS = 256
"""Of a query. What is longer is a document, and its first part tells enough."""
MANY = 64
"""From here on a set of terms is found quicker through the term dictionary than one by one."""


def open_lexical(folder: Path, *, read_only: bool = False) -> TantivyArm:
    """The index in this folder, made if there is none.

    Raises IndexDamaged if what is there cannot be read, SixfoldError SERVICE_UNAVAILABLE if another process
    writes it. Any number of processes may open it read-only, beside a writer; they see each commit.
    """
    return TantivyArm(folder, read_only)


def wipe_lexical(folder: Path) -> None:
    """Deletes the index in this folder, damaged or not, if there is one. Nobody may have it open."""
    shutil.rmtree(folder, ignore_errors=True)


class TantivyArm:
    """A LexicalArm."""

    def __init__(self, folder: Path, read_only: bool) -> None:
        self._folder = folder
        self._lock = None if read_only else FolderLock(folder, "this store's index")
        self._writing = threading.Lock()
        self._writer: Any = None
        try:
            with _reading():
                self._index = _open(folder, create=not read_only)
                self._view = self._first_view()
        except BaseException:
            self.close()
            raise
        self._seen = self._stamp()

    def put(self, attachment: str, passages: Sequence[Passage]) -> None:
        """See the port."""
        self.put_many({attachment: passages})

    def put_many(self, files: Mapping[str, Sequence[Passage]]) -> None:
        """As `put`, several in one commit: it costs tens of milliseconds, a passage a fraction of one."""
        documents = [_document(name, one) for name, passages in files.items() for one in passages]
        with self._changing() as writer:
            for attachment in files:
                if self._names.setdefault(_number(attachment), attachment) != attachment:
                    raise RuntimeError("two attachments of one number")
            self._languages.update(one.language for passages in files.values() for one in passages)
            for attachment in files:
                writer.delete_documents_by_term("attachment", attachment)
            for document in documents:
                writer.add_document(document)

    def remove(self, attachments: Collection[str]) -> None:
        """See the port."""
        if attachments:
            with self._changing() as writer:
                for attachment in attachments:
                    writer.delete_documents_by_term("attachment", attachment)

    def search(self, query: str, limit: int, allowed: Allowed | None = None) -> list[Scored]:
        """See the port."""
        view = self._current()
        if limit < 1 or (allowed and not allowed.attachments and not allowed.complement):
            return []
        with _reading():
            return view.search(query, limit, allowed)

    def score(self, query: str, passage_ids: Sequence[str]) -> dict[str, float]:
        """See the port."""
        view = self._current()
        if not passage_ids:
            return {}
        with _reading():
            return view.score(query, passage_ids)

    def passages(self, passage_ids: Sequence[str]) -> dict[str, Passage]:
        """See the port."""
        with _reading():
            return self._current().read(passage_ids)

    def attachments(self) -> set[str]:
        """See the port."""
        with _reading():
            return self._current().live_attachments()

    def close(self) -> None:
        """See the port. Merges that are under way are given up; they cost no data."""
        with self._writing:
            self._writer = None
            if self._lock:
                self._lock.release()

    @contextmanager
    def _changing(self) -> Iterator[Any]:
        """A writer whose changes are committed, and seen by the next search, or else undone."""
        if self._lock is None:
            raise RuntimeError("opened read-only")
        with self._writing:
            try:
                if self._writer is None:
                    self._writer = self._index.writer(heap_size=HEAP, num_threads=1)
                yield self._writer
                self._writer.commit()
                self._index.reload()
                self._view = _View(self._index, self._names, self._languages)
            except BaseException as error:
                self._undo()
                if isinstance(error, ValueError | OSError):
                    raise SixfoldError(
                        Reason.SERVICE_UNAVAILABLE, "The index cannot be written now; is the disk full?"
                    ) from error
                raise

    def _undo(self) -> None:
        """Forgets what was not committed. A writer that cannot do even that is of no more use."""
        writer, self._writer = self._writer, None
        with suppress(ValueError, OSError):
            if writer is not None:
                writer.rollback()
                self._writer = writer

    def _current(self) -> _View:
        """What was committed last."""
        if self._lock is None and (stamp := self._stamp()) != self._seen:
            with self._writing, _reading():
                self._index.reload()
                self._view = self._first_view()
                self._seen = stamp
        return self._view

    def _stamp(self) -> int:
        try:
            return (self._folder / "meta.json").stat().st_mtime_ns
        except OSError:
            return 0

    def _first_view(self) -> _View:
        """Reads once which attachments and languages there are; later changes are added as they come."""
        searcher = self._index.searcher()
        names = [name for name, _ in searcher.terms_with_prefix("attachment", "")]
        self._names = {_number(name): name for name in names}
        self._languages = {
            "" if one == UNKNOWN else one for one, _ in searcher.terms_with_prefix("language", "")
        }
        return _View(self._index, self._names, self._languages)


class _View:
    """One commit, as many threads may read it at once. What it keeps is as immutable as the commit."""

    def __init__(self, index: Any, names: dict[int, str], languages: set[str]) -> None:
        self._schema = index.schema
        self._searcher = index.searcher()
        self.passages: int = self._searcher.num_docs
        self._names = names
        self._languages = tuple(sorted(languages))
        self._terms: dict[tuple[str, ...], tuple[Any, float]] = {}
        self._queries: dict[str, tuple[Any, float]] = {}
        self._places: dict[str, Any] = {}
        self._read: dict[str, Passage] = {}

    def search(self, query: str, limit: int, allowed: Allowed | None) -> list[Scored]:
        """The best first."""
        wanted, most = self._query(query)
        if wanted is None:
            return []
        if allowed is not None:
            if len(allowed.attachments) > MANY:
                found = self._sifted(wanted, most, limit, allowed)
                if found is not None:
                    return found
            files = self._any_of("attachment", allowed.attachments)
            occur = tantivy.Occur.MustNot if allowed.complement else tantivy.Occur.Must
            wanted = tantivy.Query.boolean_query([(tantivy.Occur.Must, wanted), (occur, files)])
        return self._run(wanted, most, limit)

    def _sifted(self, wanted: Any, most: float, limit: int, allowed: Allowed) -> list[Scored] | None:
        """What a filter of many names leaves of the first few times `limit`; None unless that is enough.

        The same answer as with the filter inside the query, which costs milliseconds for thousands of names.
        """
        found = self._run(wanted, most, SIFT * limit)
        left = [
            one
            for one in found
            if (one.passage_id.rpartition(":")[0] in allowed.attachments) != allowed.complement
        ]
        return left[:limit] if len(left) >= limit or len(found) < SIFT * limit else None

    def score(self, query: str, passage_ids: Sequence[str]) -> dict[str, float]:
        """Scores of these alone."""
        wanted, most = self._query(query)
        if wanted is None:
            return {}
        both = [(tantivy.Occur.Must, wanted), (tantivy.Occur.Must, self._any_of("id", passage_ids))]
        return dict(self._run(tantivy.Query.boolean_query(both), most, len(passage_ids)))

    def read(self, passage_ids: Sequence[str]) -> dict[str, Passage]:
        """Stored passages by id."""
        found: dict[str, Passage] = {}
        places: dict[str, Any] = {}
        unplaced = []
        # What is kept may be forgotten at any time, by another thread: so each is asked for once.
        for one in passage_ids:
            if passage := self._read.get(one):
                found[one] = passage
            elif place := self._places.get(one):
                places[one] = place
            else:
                unplaced.append(one)
        if unplaced:
            names, _, there = self._hits(self._any_of("id", unplaced), len(unplaced))
            places |= zip(names, there, strict=True)
        for one, place in places.items():
            stored = self._searcher.doc(place).get_first("passage")
            found[one] = _keep(self._read, one, _unpack(bytes(stored)))
        return found

    def live_attachments(self) -> set[str]:
        """Those of whose passages one at least is not deleted."""
        return {name for name in set(self._names.values()) if self._any_live(name)}

    def _any_live(self, attachment: str) -> bool:
        return bool(self._searcher.search(self._term("attachment", attachment), 1, count=False).hits)

    def _run(self, query: Any, most: float, limit: int) -> list[Scored]:
        names, scores, places = self._hits(query, limit)
        if len(self._places) > KEPT:
            self._places.clear()
        self._places.update(zip(names, places, strict=True))
        return list(map(Scored, names, bm25.absolute(scores, most)))

    def _hits(self, query: Any, limit: int) -> tuple[list[str], list[float], list[Any]]:
        """Ids, BM25 scores and places, the best first."""
        if not self.passages:
            return [], [], []
        # No more than there are, for tantivy makes room for as many as are asked for.
        hits = self._searcher.search(query, min(limit, self.passages), count=False).hits
        places = [place for _, place in hits]
        files = self._searcher.fast_field_values("file", places)
        indexes = self._searcher.fast_field_values("index", places)
        names = [f"{self._names[file]}:{index}" for file, index in zip(files, indexes, strict=True)]
        return names, [score for score, _ in hits], places

    def _query(self, text: str) -> tuple[Any, float]:
        """The query, and the score that it could attain. None if nothing can match.

        It is kept a while, for one request asks for it twice: to search, and to score what the vectors found.
        """
        return self._queries.get(text) or _keep(self._queries, text, self._make_query(text), KEPT_QUERIES)

    def _make_query(self, text: str) -> tuple[Any, float]:
        clauses, idfs = [], []
        for forms in analysis.query_terms(text, self._languages)[:MAX_TERMS]:
            clause, idf = self._terms.get(forms) or _keep(self._terms, forms, self._clause(forms))
            # A word that no passage has counts too: a query about something else attains little.
            idfs.append(idf)
            if clause is not None:
                clauses.append((tantivy.Occur.Should, clause))
        if not clauses:
            return None, 0.0
        return tantivy.Query.boolean_query(clauses), bm25.attainable(idfs)

    def _clause(self, forms: tuple[str, ...]) -> tuple[Any, float]:
        """What matches a word in any of its forms, and how telling it is."""
        having = {form: self._searcher.doc_freq("body", form) for form in forms}
        terms = [self._term("body", form) for form, some in having.items() if some]
        idf = max(bm25.idf(self.passages, some) for some in having.values() if some or not terms)
        if len(terms) < 2:
            return (terms[0] if terms else None), idf
        return tantivy.Query.disjunction_max_query(terms), idf

    def _any_of(self, field: str, values: Collection[str]) -> Any:
        """What has one of these values. It adds nothing to a score."""
        if len(values) > MANY:
            wanted = tantivy.Query.term_set_query(self._schema, field, list(values))
        else:
            terms = [(tantivy.Occur.Should, self._term(field, value)) for value in values]
            wanted = tantivy.Query.boolean_query(terms) if terms else tantivy.Query.empty_query()
        return tantivy.Query.const_score_query(wanted, 0.0)

    def _term(self, field: str, value: str) -> Any:
        option = "freq" if field == "body" else "basic"
        return tantivy.Query.term_query(self._schema, field, value, index_option=option)


def _keep(kept: dict[Key, Value], key: Key, value: Value, most: int = KEPT) -> Value:
    if len(kept) >= most:
        kept.clear()  # simple, safe between threads, and seldom
    kept[key] = value
    return value


def _open(folder: Path, create: bool) -> Any:
    version = folder / "version"
    if not tantivy.Index.exists(str(folder)):
        if not create:
            raise ValueError("no index")
        version.write_text(VERSION)
        return tantivy.Index(_schema(), path=str(folder))
    if version.read_text() != VERSION:
        raise ValueError("another version")
    index = tantivy.Index.open(str(folder))
    index.config_reader("manual")
    index.reload()
    return index


def _schema() -> Any:
    builder = tantivy.SchemaBuilder()
    for name in ("id", "attachment", "language"):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    builder.add_text_field("body", tokenizer_name="whitespace", index_option="freq")
    # A hit's id is put together from these two: far quicker than reading what is stored.
    builder.add_unsigned_field("file", fast=True)
    builder.add_unsigned_field("index", fast=True)
    builder.add_bytes_field("passage", stored=True)
    return builder.build()


def _document(attachment: str, passage: Passage) -> Any:
    document = tantivy.Document()
    document.add_text("id", f"{attachment}:{passage.index}")
    document.add_text("attachment", attachment)
    document.add_text("language", passage.language or UNKNOWN)
    document.add_text("body", " ".join(analysis.index_terms(passage.indexed_text, passage.language)))
    document.add_unsigned("file", _number(attachment))
    document.add_unsigned("index", passage.index)
    document.add_bytes("passage", _pack(passage))
    return document


def _number(attachment: str) -> int:
    """63 bits that stand for an attachment: among 100,000 in one store, two alike once in 10^9 stores."""
    return int.from_bytes(blake2b(attachment.encode(), digest_size=8).digest(), "big") >> 1


def _pack(passage: Passage) -> bytes:
    return orjson.dumps(
        (
            passage.index, passage.text, passage.headings, passage.page_first, passage.page_last,
            passage.char_start, passage.char_end, passage.language,
        )
    )  # fmt: skip


def _unpack(stored: bytes) -> Passage:
    index, text, headings, *rest = orjson.loads(stored)
    return Passage(index, text, tuple(headings), *rest)


@contextmanager
def _reading() -> Iterator[None]:
    """Turns what tantivy says of damaged files into IndexDamaged."""
    try:
        yield
    except (ValueError, OSError, KeyError) as error:
        raise IndexDamaged from error
    except BaseException as error:
        # tantivy panics on some broken files, and a panic is no Exception.
        if type(error).__name__ == "PanicException":
            raise IndexDamaged from error
        raise
