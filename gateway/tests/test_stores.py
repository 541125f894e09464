"""Filters, repeats and the rules of vector stores, without any service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from gateway.identity.principal import Principal
from gateway.identity.roles import ROLES
from gateway.retrieval.filters import MAX_COMPARISONS, MAX_DEPTH, Comparison, Compound, parse_filter
from gateway.retrieval.ids import BATCH, FILE, STORE, check_cursor, check_id, is_id
from gateway.retrieval.repeats import Repeats, digest, keyed
from gateway.retrieval.service import Call, StoresService, Wanted
from gateway.retrieval.types import Added, Batch, Chunking, Counts, FileRef, FileToAdd, Page
from servicekit.errors import Reason, SixfoldError

STORE_ID, FILE_ID = f"{STORE}{'a' * 24}", f"{FILE}{'b' * 24}"
EQ = {"type": "eq", "key": "year", "value": 2024}


def caller(role: str = "member", tenant: str = "acme", subject: str = "ada") -> Principal:
    return Principal(tenant, subject, role, ROLES[role], "jwt", None, None)


# Filters.


def test_filters_are_read_as_they_are_meant() -> None:
    assert parse_filter(EQ) == Comparison("year", "eq", (2024.0,))
    assert parse_filter({"type": "nin", "key": "k", "value": ["a", True, 1]}) == Comparison(
        "k", "nin", ("a", True, 1.0)
    )
    either = parse_filter({"type": "or", "filters": [EQ, {"type": "and", "filters": [EQ]}]})
    assert isinstance(either, Compound)
    assert either.any
    inner = either.filters[1]
    assert isinstance(inner, Compound)
    assert not inner.any


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ("year", "filters"),
        ([], "filters"),
        ({}, "filters.type"),
        ({"type": "like", "key": "a", "value": 1}, "filters.type"),
        ({"type": "eq", "value": 1}, "filters.key"),
        ({"type": "eq", "key": "", "value": 1}, "filters.key"),
        ({"type": "eq", "key": "k" * 65, "value": 1}, "filters.key"),
        ({"type": "eq", "key": "a"}, "filters.value"),
        ({"type": "eq", "key": "a", "value": None}, "filters.value"),
        ({"type": "eq", "key": "a", "value": [1]}, "filters.value"),
        ({"type": "eq", "key": "a", "value": float("nan")}, "filters.value"),
        ({"type": "eq", "key": "a", "value": 10**400}, "filters.value"),
        ({"type": "eq", "key": "a", "value": "x" * 513}, "filters.value"),
        ({"type": "eq", "key": "a", "value": "\ud800"}, "filters.value"),
        ({"type": "gt", "key": "a", "value": "x"}, "filters.value"),
        ({"type": "lte", "key": "a", "value": True}, "filters.value"),
        ({"type": "in", "key": "a", "value": "x"}, "filters.value"),
        ({"type": "in", "key": "a", "value": []}, "filters.value"),
        ({"type": "in", "key": "a", "value": [[1]]}, "filters.value[0]"),
        ({"type": "in", "key": "a", "value": [1] * 257}, "filters.value"),
        ({"type": "eq", "key": "a", "value": 1, "values": [2]}, "filters.values"),
        ({"type": "and"}, "filters.filters"),
        ({"type": "and", "filters": []}, "filters.filters"),
        ({"type": "or", "filters": [EQ, {"type": "eq"}]}, "filters.filters[1].key"),
        ({"type": "or", "filters": [EQ] * (MAX_COMPARISONS + 1)}, "filters.filters"),
    ],
)
def test_a_filter_that_cannot_be_understood_is_refused(given: Any, param: str) -> None:
    """It never becomes a filter that lets everything through."""
    with pytest.raises(SixfoldError) as caught:
        parse_filter(given)
    assert caught.value.reason is Reason.INVALID_REQUEST
    assert caught.value.param == param


def test_a_filter_is_bounded_in_depth_and_size() -> None:
    deep: dict[str, Any] = EQ
    for _ in range(MAX_DEPTH - 1):
        deep = {"type": "and", "filters": [deep]}
    parse_filter(deep)
    with pytest.raises(SixfoldError, match="nested deeper"):
        parse_filter({"type": "and", "filters": [deep]})
    wide = {"type": "or", "filters": [EQ] * 40}
    with pytest.raises(SixfoldError, match="more than 64 comparisons"):
        parse_filter({"type": "and", "filters": [wide, wide]})


# Ids.


@pytest.mark.parametrize(
    "value", ["", "vs_", "vs_" + "g" * 24, "vs_" + "a" * 25, "file-" + "a" * 24, "vs_../x"]
)
def test_what_cannot_be_an_id_is_not_found(value: str) -> None:
    assert not is_id(STORE, value)
    with pytest.raises(SixfoldError) as caught:
        check_id(STORE, value)
    assert caught.value.reason is Reason.NOT_FOUND
    if value:
        with pytest.raises(SixfoldError) as caught:
            check_cursor(STORE, value, "after")
        assert (caught.value.reason, caught.value.param) == (Reason.INVALID_REQUEST, "after")


# Repeats.


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_repeat_takes_the_name_of_what_it_repeats_once() -> None:
    repeats = Repeats(Clock())
    first = repeats.begin("r", repeated=False)
    assert repeats.begin("r", repeated=True) == first
    assert repeats.begin("r", repeated=True) != first
    assert repeats.begin("other", repeated=True) != first


def test_requests_that_are_alike_and_no_repeats_are_different_changes() -> None:
    repeats = Repeats(Clock())
    assert len({repeats.begin("r", repeated=False) for _ in range(50)}) == 50


def test_each_of_several_that_failed_is_repeated_for_itself() -> None:
    repeats = Repeats(Clock())
    names = {repeats.begin("r", repeated=False) for _ in range(5)}
    for name in names:
        repeats.ended("r", name, answered=False)
    assert {repeats.begin("r", repeated=True) for _ in range(5)} == names


def test_a_repeat_belongs_to_the_one_without_an_answer() -> None:
    repeats = Repeats(Clock())
    lost, seen = repeats.begin("r", repeated=False), repeats.begin("r", repeated=False)
    repeats.ended("r", seen, answered=True)
    repeats.ended("r", lost, answered=False)
    assert repeats.begin("r", repeated=True) == lost
    # the answer that was given may have been lost on its way
    assert repeats.begin("r", repeated=True) == seen


def test_a_repeat_that_failed_can_be_repeated() -> None:
    repeats = Repeats(Clock())
    name = repeats.begin("r", repeated=False)
    for _ in range(3):
        assert repeats.begin("r", repeated=True) == name
        repeats.ended("r", name, answered=False)


def test_repeats_are_forgotten() -> None:
    clock = Clock()
    repeats = Repeats(clock)
    name = repeats.begin("r", repeated=False)
    clock.now = 901
    assert repeats.begin("r", repeated=True) != name
    first = repeats.begin("first", repeated=False)
    for number in range(5000):
        repeats.begin(f"{number}", repeated=False)
    assert len(repeats._names) == 4096
    assert repeats.begin("first", repeated=True) != first


def test_names_are_a_callers_own() -> None:
    ada, bob, other = caller(), caller(subject="bob"), caller(tenant="umbrella")
    names = {keyed(who, "POST", "/v1/vector_stores", "same") for who in (ada, bob, other)}
    names |= {keyed(ada, "POST", "/v1/other", "same"), keyed(ada, "POST", "/v1/vector_stores", "other")}
    assert len(names) == 5
    assert len({digest(who, "POST", "/p", b"{}") for who in (ada, bob, other)}) == 3
    assert digest(ada, "POST", "/p", b"") != digest(ada, "POST", "/", b"p")


# The service.


class Files:
    """One tenant's files."""

    def __init__(self, tenant: str, *ids: str) -> None:
        self.tenant = tenant
        self.ids = ids

    async def refs(self, tenant: str, file_ids: Sequence[str]) -> dict[str, FileRef]:
        own = self.ids if tenant == self.tenant else ()
        return {name: FileRef(name, "a.txt", 1, "0" * 64, "key", 0) for name in file_ids if name in own}


class Recorder:
    """A retrieval service that keeps what it is asked to attach."""

    def __init__(self) -> None:
        self.added: list[FileToAdd] = []
        self.calls: list[str] = []

    async def add_files(self, _asker: Any, _change: str, store_id: str, files: Any, **_: Any) -> Added:
        self.added = list(files)
        return Added((), Batch(f"{BATCH}{'c' * 24}", store_id, 0, Counts(), "in_progress"))

    def __getattr__(self, name: str) -> Any:
        async def call(*_args: Any, **_options: Any) -> Any:
            self.calls.append(name)

        return call


def call_of(who: Principal) -> Call:
    return Call(who, "request", "change")


async def test_a_batch_with_a_file_of_another_tenant_attaches_nothing() -> None:
    recorder = Recorder()
    stranger = f"{FILE}{'d' * 24}"
    service = StoresService(recorder, Files("acme", FILE_ID), deadline=1)  # type: ignore[arg-type]
    for bad in (stranger, "file-nonsense", "", "../../etc/passwd"):
        with pytest.raises(SixfoldError) as caught:
            await service.add_batch(call_of(caller()), STORE_ID, [Wanted(FILE_ID), Wanted(bad)], "file_ids")
        assert caught.value.reason is Reason.NOT_FOUND
        assert caught.value.param == "file_ids"
    assert recorder.added == []
    with pytest.raises(SixfoldError):
        await service.add_batch(call_of(caller(tenant="umbrella")), STORE_ID, [Wanted(FILE_ID)], "file_ids")
    assert recorder.added == []


async def test_a_file_named_twice_is_attached_once_unless_it_is_meant_differently() -> None:
    recorder = Recorder()
    service = StoresService(recorder, Files("acme", FILE_ID), deadline=1)  # type: ignore[arg-type]
    await service.add_batch(call_of(caller()), STORE_ID, [Wanted(FILE_ID), Wanted(FILE_ID)], "file_ids")
    assert [added.file.id for added in recorder.added] == [FILE_ID]
    differently = [Wanted(FILE_ID), Wanted(FILE_ID, {"a": 1.0}, Chunking(200, 50, True))]
    with pytest.raises(SixfoldError, match="twice, in different ways"):
        await service.add_batch(call_of(caller()), STORE_ID, differently, "files")


async def test_too_many_files_are_refused_before_anybody_is_asked() -> None:
    recorder = Recorder()
    service = StoresService(recorder, Files("acme"), deadline=1)  # type: ignore[arg-type]
    with pytest.raises(SixfoldError, match="more than 500"):
        await service.add_batch(call_of(caller()), STORE_ID, [Wanted(FILE_ID)] * 501, "file_ids")


async def test_who_reads_does_not_write() -> None:
    recorder = Recorder()
    service = StoresService(recorder, Files("acme", FILE_ID), deadline=1)  # type: ignore[arg-type]
    call = call_of(caller("viewer"))
    options: dict[str, Any] = {"name": None, "expires_after_days": None, "metadata": None}
    batch = f"{BATCH}{'c' * 24}"
    for change in (
        service.create(call, name="", description="", expires_after_days=0, metadata={}, files=[]),
        service.update(call, STORE_ID, **options),
        service.delete(call, STORE_ID),
        service.add_file(call, STORE_ID, Wanted(FILE_ID)),
        service.add_batch(call, STORE_ID, [Wanted(FILE_ID)], "file_ids"),
        service.update_file(call, STORE_ID, FILE_ID, {}),
        service.remove_file(call, STORE_ID, FILE_ID),
        service.cancel_batch(call, STORE_ID, batch),
    ):
        with pytest.raises(SixfoldError) as caught:
            await change
        assert caught.value.reason is Reason.PERMISSION_DENIED
    assert recorder.calls == []
    await service.get(call, STORE_ID)
    await service.list(call, Page())
    await service.list_files(call, STORE_ID, Page(), batch_id=None, status=None)
    await service.search(call, STORE_ID, ["x"], max_results=1, filter=None, threshold=0, weight=None)
    assert recorder.calls == ["get_store", "list_stores", "list_files", "search"]
    nobody = Call(Principal("acme", "k", "member", frozenset(), "key", "0" * 12, None), "request")
    for read in (service.get(nobody, STORE_ID), service.list(nobody, Page())):
        with pytest.raises(SixfoldError):
            await read
