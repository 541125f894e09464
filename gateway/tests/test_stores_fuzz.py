"""Whatever a body about vector stores holds, it is taken or refused with a clear error: never a crash."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.adapters import retrieval_client
from gateway.adapters.retrieval_client import _file_to_add, _filter
from gateway.api.rest.app import create_app
from gateway.api.rest.deps import RestDeps, verified_caller
from gateway.identity.principal import Principal
from gateway.identity.roles import ROLES
from gateway.retrieval.filters import parse_filter
from gateway.retrieval.service import StoresService
from gateway.retrieval.types import (
    Added,
    Batch,
    Chunking,
    Counts,
    FileRef,
    FileToAdd,
    Found,
    Store,
    StoreFile,
)
from servicekit.errors import SixfoldError
from sixfold.retrieval.v1 import retrieval_service_pb2 as pb

STORE_ID, FILE_ID, BATCH_ID = f"vs_{'a' * 24}", f"file-{'b' * 24}", f"vsfb_{'c' * 24}"
STORES = "/v1/vector_stores"
ROUTES = {
    STORES: ("name", "description", "file_ids", "expires_after", "chunking_strategy", "metadata"),
    f"{STORES}/{STORE_ID}": ("name", "expires_after", "metadata"),
    f"{STORES}/{STORE_ID}/files": ("file_id", "attributes", "chunking_strategy"),
    f"{STORES}/{STORE_ID}/files/{FILE_ID}": ("attributes",),
    f"{STORES}/{STORE_ID}/file_batches": ("file_ids", "files", "attributes", "chunking_strategy"),
    f"{STORES}/{STORE_ID}/file_batches/{BATCH_ID}/cancel": (),
    f"{STORES}/{STORE_ID}/search": (
        *("query", "filters", "max_num_results", "ranking_options", "rewrite_query"),
    ),
}
_INNER = [
    *("type", "static", "max_chunk_size_tokens", "chunk_overlap_tokens", "anchor", "days", "file_id"),
    *("key", "value", "filters", "ranker", "score_threshold", "hybrid_search", "embedding_weight"),
    *("text_weight", "attributes"),
]
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        [FILE_ID, "auto", "static", "last_active_at", "eq", "in", "and", "or", "none", 100, 50, 7]
    )
)
_NAMES = st.sampled_from([*_INNER, *sorted({name for names in ROUTES.values() for name in names})])
_VALUES: st.SearchStrategy[Any] = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(_NAMES | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)
_LIKELY: dict[str, st.SearchStrategy[Any]] = {
    "query": st.text(min_size=1, max_size=5) | st.lists(st.text(max_size=3), max_size=9),
    "file_id": st.just(FILE_ID),
    "file_ids": st.lists(st.just(FILE_ID), max_size=3),
    "attributes": st.dictionaries(st.text(max_size=70), _SCALARS, max_size=3),
    "metadata": st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=17),
    "name": st.text(max_size=20),
}


class Files:
    """Every file is the tenant's."""

    async def refs(self, tenant: str, file_ids: Sequence[str]) -> dict[str, FileRef]:
        return {name: FileRef(name, "a.txt", 1, "0" * 64, "key", 0) for name in file_ids}


class Contract:
    """A retrieval service that puts what it is given into the contract's messages, and answers something."""

    def __getattr__(self, name: str) -> Any:
        async def call(*given: Any, **options: Any) -> Any:
            files: Sequence[FileToAdd] = options.get("files", given[-1] if name == "add_files" else ())
            for file in files:
                _file_to_add(file).SerializeToString()
            if name == "create_store":
                pb.CreateStoreRequest(
                    name=options["name"], description=options["description"], metadata=options["metadata"]
                ).SerializeToString()
            if name == "search":
                chosen = options["filter"]
                pb.SearchRequest(
                    queries=given[2],
                    max_results=options["max_results"],
                    filter=None if chosen is None else _filter(chosen),
                    score_threshold=options["threshold"],
                    vector_weight=options["weight"],
                ).SerializeToString()
                return Found((), False, True, False, "m@1")
            if name == "update_file":
                retrieval_client._attributes_out(given[-1])
            if name in ("create_store", "update_store"):
                return Store(STORE_ID, "", "", 0, 0, 0, Counts(), "completed", 0, 0, {})
            if name == "update_file":
                return FILE
            batch = Batch(BATCH_ID, STORE_ID, 0, Counts(), "in_progress")
            return Added((FILE,), batch) if name == "add_files" else batch

        return call


FILE = StoreFile(
    FILE_ID, STORE_ID, "a.txt", 0, 0, "completed", None, Chunking(), {}, "", 0, 0, "", "", "0" * 64
)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    none: Any = None
    service = StoresService(Contract(), Files(), deadline=1)
    app = create_app(RestDeps(none, none, none, none, stores=service))
    app.dependency_overrides[verified_caller] = lambda: Principal(
        "acme", "ada", "member", ROLES["member"], "jwt", None, None
    )
    with TestClient(app, raise_server_exceptions=True) as client:
        yield client


def bodies(names: Sequence[str]) -> st.SearchStrategy[Any]:
    """Bodies that a route may well take, and others."""
    likely = st.fixed_dictionaries(
        {}, optional={name: _LIKELY.get(name, _VALUES) | _VALUES for name in names}
    )
    return likely | _VALUES | st.dictionaries(_NAMES, _VALUES, max_size=4)


@pytest.mark.parametrize("path", ROUTES)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_json(client: TestClient, path: str, data: st.DataObject) -> None:
    body = data.draw(bodies(ROUTES[path]))
    raw = json.dumps(body, ensure_ascii=data.draw(st.booleans())).encode("utf-8", "surrogatepass")
    answer = client.post(path, content=raw, headers={"content-type": "application/json"})
    assert answer.status_code in (200, 400, 404), answer.text
    if answer.status_code != 200:
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("path", [STORES, f"{STORES}/{STORE_ID}/search"])
@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{", b"null", b"[]", b'"x"', b"\xff\xfe", b'{"query":' + b"[" * 100_000,
        b'{"filters":' + b'{"type":"and","filters":[' * 20_000, b'{"query":"x","query":"y","filters":NaN}',
        b'{"query":"x","filters":{"type":"eq","key":"a","value":1e999}}',
        b'{"metadata":{"a":' + b"9" * 5000 + b"}}",
    ],
)  # fmt: skip
def test_hostile_bytes(client: TestClient, path: str, raw: bytes) -> None:
    answer = client.post(path, content=raw, headers={"content-type": "application/json"})
    assert answer.status_code == 400, answer.text


@pytest.mark.parametrize("path", ROUTES)
def test_a_field_that_the_contract_does_not_name_is_refused(client: TestClient, path: str) -> None:
    if not ROUTES[path]:
        return
    good: dict[str, Any] = {name: value for name, value in _GOOD.items() if name in ROUTES[path]}
    if "file_batches" in path:
        good.pop("file_id", None)
    assert client.post(path, json=good).status_code == 200, path
    answer = client.post(path, json=good | {"tenant": "umbrella"})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "tenant"


_GOOD: dict[str, Any] = {
    "query": "x", "file_id": FILE_ID, "file_ids": [FILE_ID], "attributes": {"a": 1}, "name": "n",
}  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(_VALUES)
def test_any_filter(value: Any) -> None:
    try:
        found = parse_filter(value)
    except SixfoldError as error:
        assert error.status.http == 400
        return
    _filter(found).SerializeToString()
