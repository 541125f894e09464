"""Requests of the contract to the domain's words. What is outside the bounds is INVALID_REQUEST."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retrieval_service.documents.attributes import (
    Attributes,
    Comparison,
    Compound,
    Filter,
    Operator,
    Value,
)
from retrieval_service.search.filters import MAX_DEPTH
from retrieval_service.search.filters import check as check_filter
from retrieval_service.stores.finder import Query
from retrieval_service.stores.tuning import JudgedQuery
from retrieval_service.stores.types import Chunking, FileRef, FileState, NewFile, Page
from servicekit.errors import Reason, SixfoldError
from sixfold.retrieval.v1 import retrieval_service_pb2 as pb
from sixfold.retrieval.v1 import search_pb2, store_pb2

MAX_PAIRS, MAX_KEY, MAX_TEXT = 16, 64, 512
MAX_NAME, MAX_DESCRIPTION = 256, 1024
MIN_TOKENS, MAX_TOKENS = 100, 4096
MAX_STORES, MAX_QUERIES, MAX_RESULTS = 8, 8, 50
MAX_EXPIRY_DAYS = 3650
MIN_JUDGED, MAX_JUDGED = 10, 1000
_PAGE, _LARGEST_PAGE = 20, 100
_PASSAGES, _MOST_PASSAGES = 100, 1000
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_SHA256 = re.compile(r"[0-9a-f]{64}")

_STATES = {
    store_pb2.FILE_STATUS_UNSPECIFIED: None,
    store_pb2.FILE_STATUS_IN_PROGRESS: FileState.IN_PROGRESS,
    store_pb2.FILE_STATUS_COMPLETED: FileState.COMPLETED,
    store_pb2.FILE_STATUS_FAILED: FileState.FAILED,
    store_pb2.FILE_STATUS_CANCELLED: FileState.CANCELLED,
}
_OPERATORS = {
    search_pb2.OPERATOR_EQ: Operator.EQ,
    search_pb2.OPERATOR_NE: Operator.NE,
    search_pb2.OPERATOR_GT: Operator.GT,
    search_pb2.OPERATOR_GTE: Operator.GTE,
    search_pb2.OPERATOR_LT: Operator.LT,
    search_pb2.OPERATOR_LTE: Operator.LTE,
    search_pb2.OPERATOR_IN: Operator.IN,
    search_pb2.OPERATOR_NIN: Operator.NIN,
}


_CHUNKING = Chunking(200, 40)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one call may ask for, and how documents are cut that nobody says it of."""

    max_files: int = 500
    max_file_bytes: int = 512 << 20
    max_query_chars: int = 8_192
    chunking: Chunking = _CHUNKING


def invalid(message: str, param: str) -> SixfoldError:
    """A request outside the contract."""
    return SixfoldError(Reason.INVALID_REQUEST, message, param=param)


def request_id(given: str) -> str:
    """Of a call that changes something: it must have one."""
    if not _REQUEST_ID.fullmatch(given):
        raise invalid("A request id of 1 to 128 letters, digits and ._:- is required.", "request_id")
    return given


def named(given: str, param: str) -> str:
    """An id. One that cannot be anybody's is not looked for."""
    if not _ID.fullmatch(given):
        raise SixfoldError(Reason.NOT_FOUND, "There is no such thing.", param=param)
    return given


def page(given: pb.Page) -> Page:
    """The contract's defaults applied."""
    if given.limit < 0:
        raise invalid("A limit is positive.", "page.limit")
    for name in ("after", "before"):
        if len(getattr(given, name)) > 64:
            raise invalid(f"'{name}' names nothing in this list.", name)
    return Page(min(given.limit or _PAGE, _LARGEST_PAGE), given.after, given.before, given.ascending)


def passage_page(size: int, token: str) -> tuple[int, int]:
    """Where a page of passages starts, and how many it may have."""
    if size < 0 or (token and not (token.isascii() and token.isdigit() and len(token) < 10)):
        raise invalid("The page token is not one of this list.", "page_token")
    return int(token or 0), min(size or _PASSAGES, _MOST_PASSAGES)


def state(given: store_pb2.FileStatus) -> FileState | None:
    """A file's state; None for all."""
    if given not in _STATES:
        raise invalid("There is no such status.", "status")
    return _STATES[given]


def name(given: str) -> str:
    """Of a store."""
    return _text(given, MAX_NAME, "name")


def description(given: str) -> str:
    """Of a store."""
    return _text(given, MAX_DESCRIPTION, "description")


def expiry(days: int) -> int:
    """Days; 0 for never."""
    if not 0 <= days <= MAX_EXPIRY_DAYS:
        raise invalid(f"A store expires after 1 to {MAX_EXPIRY_DAYS} days.", "expires_after_days")
    return days


def metadata(given: Mapping[str, str]) -> dict[str, str]:
    """The caller's own notes."""
    _check_keys(given, "metadata")
    return {key: _text(value, MAX_TEXT, f"metadata.{key}") for key, value in given.items()}


def attributes(given: Mapping[str, store_pb2.AttributeValue], param: str) -> Attributes:
    """What searches filter by."""
    _check_keys(given, param)
    return {key: value(item, f"{param}.{key}") for key, item in given.items()}


def value(given: store_pb2.AttributeValue, param: str) -> Value:
    """A text, a number, or yes or no."""
    match given.WhichOneof("kind"):
        case "text":
            return _text(given.text, MAX_TEXT, param)
        case "number":
            if not math.isfinite(given.number):
                raise invalid("A number is finite.", param)
            return given.number
        case "flag":
            return given.flag
    raise invalid("A value is a text, a number, or true or false.", param)


def new_files(tenant: str, given: Sequence[pb.FileToAdd], bounds: Bounds, *, least: int = 1) -> list[NewFile]:
    """Files to attach. What is read is the tenant's own, whatever the caller says."""
    if not least <= len(given) <= bounds.max_files:
        raise invalid(f"{least} to {bounds.max_files} files are expected.", "files")
    return [_new_file(tenant, item, bounds, f"files[{index}]") for index, item in enumerate(given)]


def search_query(given: pb.SearchRequest, bounds: Bounds) -> Query:
    """What to look for."""
    if not 1 <= len(given.store_ids) <= MAX_STORES:
        raise invalid(f"1 to {MAX_STORES} stores are searched at once.", "store_ids")
    if not 1 <= len(given.queries) <= MAX_QUERIES:
        raise invalid(f"1 to {MAX_QUERIES} queries are expected.", "queries")
    for index, text in enumerate(given.queries):
        if not text.strip() or len(text) > bounds.max_query_chars:
            raise invalid(f"A query has 1 to {bounds.max_query_chars} characters.", f"queries[{index}]")
    if not 0 <= given.max_results <= MAX_RESULTS:
        raise invalid(f"1 to {MAX_RESULTS} results can be asked for.", "max_results")
    if not 0 <= given.score_threshold <= 1:
        raise invalid("A score threshold is from 0 to 1.", "score_threshold")
    weight = given.vector_weight if given.HasField("vector_weight") else None
    if weight is not None and not 0 <= weight <= 1:
        raise invalid("A weight is from 0 to 1.", "vector_weight")
    return Query(
        store_ids=[named(each, "store_ids") for each in given.store_ids],
        queries=list(given.queries),
        max_results=given.max_results or 10,
        filter=_whole_filter(given.filter) if given.HasField("filter") else None,
        threshold=given.score_threshold,
        vector_weight=weight,
    )


def judged_queries(given: Sequence[pb.JudgedQuery], bounds: Bounds) -> list[JudgedQuery]:
    """Queries with the files that answer them."""
    if not MIN_JUDGED <= len(given) <= MAX_JUDGED:
        raise invalid(f"{MIN_JUDGED} to {MAX_JUDGED} judged queries are expected.", "queries")
    for index, each in enumerate(given):
        if not each.query.strip() or len(each.query) > bounds.max_query_chars:
            raise invalid(f"A query has 1 to {bounds.max_query_chars} characters.", f"queries[{index}].query")
        if not 1 <= len(each.file_ids) <= MAX_JUDGED:
            raise invalid("A judged query names the files that answer it.", f"queries[{index}].file_ids")
    return [JudgedQuery(each.query, frozenset(each.file_ids)) for each in given]


def _whole_filter(given: search_pb2.Filter) -> Filter:
    wanted = _filter(given, "filter", 1)
    check_filter(wanted)
    return wanted


def _filter(given: search_pb2.Filter, param: str, depth: int) -> Filter:
    """Tuples all through: a filter can be looked up."""
    if depth > MAX_DEPTH:
        raise invalid(f"Filters nest at most {MAX_DEPTH} deep.", param)
    match given.WhichOneof("kind"):
        case "comparison":
            test = given.comparison
            if test.operator not in _OPERATORS:
                raise invalid("There is no such operator.", f"{param}.operator")
            values = tuple(value(each, f"{param}.values[{i}]") for i, each in enumerate(test.values))
            return Comparison(test.key, _OPERATORS[test.operator], values)
        case "compound":
            parts = enumerate(given.compound.filters)
            return Compound(
                given.compound.any,
                tuple(_filter(each, f"{param}.filters[{i}]", depth + 1) for i, each in parts),
            )
    raise invalid("A filter is a comparison or a compound.", param)


def _new_file(tenant: str, given: pb.FileToAdd, bounds: Bounds, param: str) -> NewFile:
    file = given.file
    if not _ID.fullmatch(file.id):
        raise invalid("A file needs an id.", f"{param}.file.id")
    if not file.filename or len(file.filename) > 1024:
        raise invalid("A file name has 1 to 1024 characters.", f"{param}.file.filename")
    if not _SHA256.fullmatch(file.sha256):
        raise invalid("A SHA-256 has 64 lower-case hexadecimal digits.", f"{param}.file.sha256")
    if not file.object_key or len(file.object_key) > 1024:
        raise invalid("An object key has 1 to 1024 characters.", f"{param}.file.object_key")
    if not file.object_key.startswith(f"{tenant}/{file.id}/"):
        raise invalid("An object key is one of this tenant's file.", f"{param}.file.object_key")
    if not 0 <= file.bytes <= bounds.max_file_bytes:
        raise invalid(f"A file has at most {bounds.max_file_bytes} bytes.", f"{param}.file.bytes")
    return NewFile(
        FileRef(file.id, file.filename, file.bytes, file.sha256, file.object_key, file.created_at),
        attributes(given.attributes, f"{param}.attributes"),
        _chunking(given.chunking, bounds.chunking, f"{param}.chunking"),
    )


def _chunking(given: store_pb2.ChunkingStrategy, default: Chunking, param: str) -> Chunking:
    if not given.max_tokens:
        if given.overlap_tokens:
            raise invalid("An overlap needs max_tokens.", f"{param}.overlap_tokens")
        return default
    if not MIN_TOKENS <= given.max_tokens <= MAX_TOKENS:
        raise invalid(f"A passage has {MIN_TOKENS} to {MAX_TOKENS} tokens.", f"{param}.max_tokens")
    if not 0 <= given.overlap_tokens <= given.max_tokens // 2:
        raise invalid("An overlap is at most half of max_tokens.", f"{param}.overlap_tokens")
    return Chunking(given.max_tokens, given.overlap_tokens, given.is_static)


def _check_keys(keys: Iterable[str], param: str) -> None:
    names = list(keys)
    if len(names) > MAX_PAIRS:
        raise invalid(f"At most {MAX_PAIRS} pairs are kept.", param)
    for key in names:
        if not 1 <= len(key) <= MAX_KEY:
            raise invalid(f"A key has 1 to {MAX_KEY} characters.", param)
        _text(key, MAX_KEY, param)


def _text(given: str, most: int, param: str) -> str:
    """Without NUL, which PostgreSQL does not keep."""
    if len(given) > most:
        raise invalid(f"At most {most} characters are kept.", param)
    if "\0" in given:
        raise invalid("A NUL character is not kept.", param)
    return given


Changes = dict[str, Any]


def store_changes(given: pb.UpdateStoreRequest) -> Changes:
    """The fields that are to change, by the store's own names."""
    changes: Changes = {}
    if given.HasField("name"):
        changes["name"] = name(given.name)
    if given.HasField("expires_after_days"):
        changes["expires_after_days"] = expiry(given.expires_after_days)
    if given.set_metadata:
        changes["metadata"] = metadata(given.metadata)
    return changes
