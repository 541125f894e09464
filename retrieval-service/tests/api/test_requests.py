"""Requests at the contract's bounds, and beyond."""

from __future__ import annotations

from typing import Any

import pytest

from retrieval_service.api import requests
from retrieval_service.documents.attributes import Comparison, Compound, Operator
from retrieval_service.stores.types import Chunking, FileState, Page
from servicekit.errors import Reason, SixfoldError
from sixfold.retrieval.v1 import retrieval_service_pb2 as pb
from sixfold.retrieval.v1 import search_pb2, store_pb2

BOUNDS = requests.Bounds(max_files=3, max_file_bytes=1000, max_query_chars=20)


def file(**changes: Any) -> pb.FileToAdd:
    fields: dict[str, Any] = {
        "id": "file-1", "filename": "a.txt", "bytes": 1, "sha256": "0" * 64, "object_key": "acme/file-1/x",
    } | changes  # fmt: skip
    return pb.FileToAdd(file=store_pb2.FileRef(**fields))


def text(value: str) -> store_pb2.AttributeValue:
    return store_pb2.AttributeValue(text=value)


def refused(call: Any, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(SixfoldError) as error:
        call(*args, **kwargs)
    assert error.value.reason is Reason.INVALID_REQUEST
    return error.value.param or ""


def test_what_is_left_out_takes_the_defaults() -> None:
    (new,) = requests.new_files("acme", [file()], BOUNDS)
    assert (new.chunking, new.attributes) == (Chunking(200, 40), {})
    assert requests.page(pb.Page()) == Page(20)
    assert requests.page(pb.Page(limit=500, ascending=True)).limit == 100
    assert requests.passage_page(0, "") == (0, 100)
    assert requests.passage_page(5000, "7") == (7, 1000)
    assert requests.state(store_pb2.FILE_STATUS_UNSPECIFIED) is None
    assert requests.state(store_pb2.FILE_STATUS_FAILED) is FileState.FAILED
    query = requests.search_query(pb.SearchRequest(store_ids=["vs_1"], queries=["q"]), BOUNDS)
    assert (query.max_results, query.filter, query.vector_weight) == (10, None, None)
    assert (
        requests.search_query(
            pb.SearchRequest(store_ids=["vs_1"], queries=["q"], vector_weight=0), BOUNDS
        ).vector_weight
        == 0
    )


@pytest.mark.parametrize(
    ("cut", "param"),
    [
        ({"max_tokens": 99}, "max_tokens"),
        ({"max_tokens": 4097}, "max_tokens"),
        ({"max_tokens": 100, "overlap_tokens": 51}, "overlap_tokens"),
        ({"max_tokens": 100, "overlap_tokens": -1}, "overlap_tokens"),
        ({"overlap_tokens": 10}, "overlap_tokens"),
    ],
)
def test_a_cut_has_bounds(cut: dict[str, Any], param: str) -> None:
    given = file()
    given.chunking.CopyFrom(store_pb2.ChunkingStrategy(**cut))
    assert refused(requests.new_files, "acme", [given], BOUNDS) == f"files[0].chunking.{param}"


def test_files_have_bounds() -> None:
    given = file()
    given.chunking.CopyFrom(store_pb2.ChunkingStrategy(max_tokens=4096, overlap_tokens=2048, is_static=True))
    assert requests.new_files("acme", [given], BOUNDS)[0].chunking == Chunking(4096, 2048, True)
    assert refused(requests.new_files, "acme", [], BOUNDS) == "files"
    assert refused(requests.new_files, "acme", [file()] * 4, BOUNDS) == "files"
    assert requests.new_files("acme", [], BOUNDS, least=0) == []
    for changes, param in (
        ({"id": "../x"}, "id"),
        ({"id": ""}, "id"),
        ({"filename": ""}, "filename"),
        ({"sha256": "A" * 64}, "sha256"),
        ({"object_key": ""}, "object_key"),
        ({"bytes": 1001}, "bytes"),
        ({"bytes": -1}, "bytes"),
    ):
        assert (
            refused(requests.new_files, "acme", [file(), file(**changes)], BOUNDS) == f"files[1].file.{param}"
        )


def test_pairs_have_bounds() -> None:
    assert requests.metadata({"k" * 64: "v" * 512}) == {"k" * 64: "v" * 512}
    assert refused(requests.metadata, {str(n): "" for n in range(17)}) == "metadata"
    assert refused(requests.metadata, {"k" * 65: ""}) == "metadata"
    assert refused(requests.metadata, {"": ""}) == "metadata"
    assert refused(requests.metadata, {"k": "v" * 513}) == "metadata.k"
    assert refused(requests.metadata, {"k": "a\0b"}) == "metadata.k"
    assert requests.attributes({"a": text("x")}, "attributes") == {"a": "x"}
    assert refused(requests.attributes, {"a": store_pb2.AttributeValue()}, "attributes") == "attributes.a"
    endless = store_pb2.AttributeValue(number=float("inf"))
    assert refused(requests.attributes, {"a": endless}, "attributes") == "attributes.a"


def test_searches_have_bounds() -> None:
    def search(**fields: Any) -> str:
        given: dict[str, Any] = {"store_ids": ["vs_1"], "queries": ["q"]} | fields
        return refused(requests.search_query, pb.SearchRequest(**given), BOUNDS)

    assert search(store_ids=[]) == "store_ids"
    assert search(store_ids=["vs_1"] * 9) == "store_ids"
    assert search(queries=[]) == "queries"
    assert search(queries=["q"] * 9) == "queries"
    assert search(queries=["q", " "]) == "queries[1]"
    assert search(queries=["q" * 21]) == "queries[0]"
    assert search(max_results=51) == "max_results"
    assert search(score_threshold=1.1) == "score_threshold"
    assert search(vector_weight=-0.1) == "vector_weight"
    assert search(filter=search_pb2.Filter()) == "filter"


def test_filters_become_the_domains() -> None:
    one = search_pb2.Filter(
        comparison=search_pb2.Comparison(key="a", operator=search_pb2.OPERATOR_EQ, values=[text("x")])
    )
    both = search_pb2.Filter(compound=search_pb2.Compound(any=True, filters=[one, one]))
    query = requests.search_query(pb.SearchRequest(store_ids=["vs_1"], queries=["q"], filter=both), BOUNDS)
    wanted = Comparison("a", Operator.EQ, ("x",))
    assert query.filter == Compound(True, (wanted, wanted))
    assert hash(query.filter) == hash(Compound(True, (wanted, wanted)))
    deep = one
    for _ in range(20):
        deep = search_pb2.Filter(compound=search_pb2.Compound(filters=[deep]))
    with pytest.raises(SixfoldError):
        requests.search_query(pb.SearchRequest(store_ids=["vs_1"], queries=["q"], filter=deep), BOUNDS)


def test_names_and_ids() -> None:
    assert refused(requests.request_id, "") == "request_id"
    assert refused(requests.request_id, "a b") == "request_id"
    assert refused(requests.name, "n" * 257) == "name"
    assert refused(requests.description, "n" * 1025) == "description"
    assert refused(requests.expiry, -1) == "expires_after_days"
    with pytest.raises(SixfoldError) as unknown:
        requests.named("../../etc", "store_id")
    assert unknown.value.reason is Reason.NOT_FOUND
    assert refused(requests.passage_page, 1, "x") == "page_token"
    judged = [pb.JudgedQuery(query="q", file_ids=["f"])] * 9
    assert refused(requests.judged_queries, judged, BOUNDS) == "queries"


@pytest.mark.parametrize(
    "key", ["umbrella/file-1/x", "acme/file-2/x", "acme/file-10/x", "acmefile-1/x", "/acme/file-1/x"]
)
def test_nobody_has_the_bytes_of_another_tenant_or_file_read(key: str) -> None:
    given = file(object_key=key)
    assert refused(requests.new_files, "acme", [given], BOUNDS) == "files[0].file.object_key"
