"""What every vector arm promises: Chroma embedded and as a server, searched in memory and by its index."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import pytest
from chromadb.errors import InternalError
from chromadb.utils import embedding_functions
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parts.chroma import ChromaServer, start_chroma
from parts.process import free_port

from retrieval_service.adapters.chroma import IN_MEMORY, ChromaArm, ChromaClient, open_vectors
from retrieval_service.search.ports import Allowed, IndexDamaged, Scored, Vectors
from servicekit.errors import Reason, SixfoldError

DIMENSIONS = 16


def vectors(count: int, seed: int = 0, dimensions: int = DIMENSIONS) -> Vectors:
    rows = np.random.default_rng(seed).standard_normal((count, dimensions)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def only(*attachments: str) -> Allowed:
    return Allowed(frozenset(attachments))


def all_but(*attachments: str) -> Allowed:
    return Allowed(frozenset(attachments), complement=True)


def ids(found: list[Scored]) -> list[str]:
    return [one.passage_id for one in found]


def exact(rows: dict[str, npt.NDArray[np.float32]], query: npt.NDArray[np.float32], limit: int) -> list[str]:
    return sorted(rows, key=lambda name: -float(rows[name] @ query))[:limit]


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChromaClient]:
    client = ChromaClient(f"chroma://{tmp_path_factory.mktemp('chroma')}")
    yield client
    client.close()


@pytest.fixture(params=["embedded", "server"])
def client(request: pytest.FixtureRequest) -> Iterator[ChromaClient]:
    if request.param == "embedded":
        yield request.getfixturevalue("embedded")
    else:
        client = ChromaClient(request.getfixturevalue("chroma_url"))
        yield client
        client.close()


@pytest.fixture(params=["in memory", "by its index"])
def in_memory(request: pytest.FixtureRequest) -> int:
    return IN_MEMORY if request.param == "in memory" else 0


@pytest.fixture
def arm(client: ChromaClient, in_memory: int) -> Iterator[ChromaArm]:
    arm = open_vectors(client, f"vs_{uuid4().hex[:24]}", DIMENSIONS, tenant="acme", in_memory=in_memory)
    yield arm
    arm.close()


def test_an_empty_store_answers_nothing(arm: ChromaArm) -> None:
    query = vectors(1)[0]
    assert arm.search(query, 10) == []
    assert arm.score(query, ["a:0"]) == {}
    assert arm.attachments() == set()
    arm.remove(["a"])
    arm.drop()


def test_finds_the_nearest_first_with_absolute_scores(arm: ChromaArm) -> None:
    rows = vectors(40)
    arm.put("a", rows[:20])
    arm.put("b", rows[20:])
    named = {f"{'ab'[i // 20]}:{i % 20}": row for i, row in enumerate(rows)}
    for query in vectors(5, seed=1):
        found = arm.search(query, 7)
        assert ids(found) == exact(named, query, 7)
        for one in found:
            assert one.score == pytest.approx((1 + float(named[one.passage_id] @ query)) / 2, abs=1e-5)
    assert arm.search(rows[3], 1)[0].score == pytest.approx(1.0, abs=1e-5)
    assert arm.search(-rows[3], 40)[-1].score == pytest.approx(0.0, abs=1e-5)


def test_scores_what_another_arm_found(arm: ChromaArm) -> None:
    rows = vectors(30)
    arm.put("a", rows)
    query = vectors(1, seed=2)[0]
    scores = arm.score(query, ["a:3", "a:29", "a:30", "z:0"])
    assert scores == {
        name: pytest.approx((1 + float(rows[i] @ query)) / 2, abs=1e-5)
        for name, i in (("a:3", 3), ("a:29", 29))
    }
    assert arm.score(query, []) == {}


def test_putting_again_replaces_all(arm: ChromaArm) -> None:
    arm.put("a", vectors(9))
    arm.put("b", vectors(2, seed=5))
    assert len(arm.search(vectors(1)[0], 50)) == 11
    new = vectors(3, seed=7)
    for _ in range(2):
        arm.put("a", new)
        assert sorted(ids(arm.search(new[0], 50))) == ["a:0", "a:1", "a:2", "b:0", "b:1"]
        assert arm.search(new[1], 1)[0].passage_id == "a:1"
    arm.put("a", new[:0])
    assert arm.attachments() == {"b"}


def test_removing_removes(arm: ChromaArm) -> None:
    rows = vectors(12)
    arm.put_many({"a": rows[:4], "b": rows[4:8], "c": rows[8:]})
    arm.remove(["a", "c", "never there"])
    assert arm.attachments() == {"b"}
    assert {one.partition(":")[0] for one in ids(arm.search(rows[0], 50))} == {"b"}
    assert arm.score(rows[0], ["a:0"]) == {}
    arm.remove([])
    arm.remove(["b"])
    assert arm.search(rows[0], 50) == []


def test_filters_hold_inside_and_fail_closed(arm: ChromaArm) -> None:
    rows = vectors(30)
    arm.put_many({f"f{i}": rows[i * 3 : i * 3 + 3] for i in range(10)})
    query = rows[0]  # f0's own
    assert len(arm.search(query, 50, only("f3", "f4", "unknown"))) == 6
    assert {one.partition(":")[0] for one in ids(arm.search(query, 50, only("f3")))} == {"f3"}
    assert len(arm.search(query, 50, all_but("f0", "unknown"))) == 27
    assert not any(one.startswith("f0:") for one in ids(arm.search(query, 50, all_but("f0"))))
    assert len(arm.search(query, 50, all_but())) == 30
    assert arm.search(query, 50, only()) == []
    assert arm.search(query, 50, only("unknown")) == []
    assert arm.search(query, 0) == []


def test_caps_nothing_silently(client: ChromaClient, in_memory: int) -> None:
    """More records than one batch holds, more names than a condition holds, more results than there are."""
    count = 2_100
    rows = vectors(count, dimensions=4)
    arm = open_vectors(client, f"vs_{uuid4().hex[:24]}", 4, tenant="acme", in_memory=in_memory)
    arm.put_many({f"f{i}": rows[i : i + 1] for i in range(count)})
    everything = frozenset(f"f{i}" for i in range(20_000))
    assert len(arm.search(rows[0], 2 * count)) == count
    assert len(arm.search(rows[0], 2 * count, Allowed(everything))) == count
    assert arm.search(rows[0], 2 * count, Allowed(everything, complement=True)) == []
    assert len(arm.score(rows[0], [f"f{i}:0" for i in range(count)])) == count
    assert len(arm.attachments()) == count
    arm.remove(everything - {"f5"})
    assert ids(arm.search(rows[0], 2 * count)) == ["f5:0"]
    arm.put("large", rows)
    arm.put("large", rows[:1])
    assert sorted(ids(arm.search(rows[0], 2 * count))) == ["f5:0", "large:0"]
    arm.drop()


def test_its_index_finds_what_an_exact_search_finds(client: ChromaClient) -> None:
    """Neighbours in clumps, as texts have them, and a filter that lets few through."""
    centres = vectors(40, seed=3, dimensions=64)
    noise = vectors(3_000, seed=4, dimensions=64)
    rows = centres[np.arange(3_000) % 40] + noise
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    arm = open_vectors(client, f"vs_{uuid4().hex[:24]}", 64, tenant="acme", in_memory=0)
    arm.put_many({f"f{i}": rows[i * 10 : i * 10 + 10] for i in range(300)})
    named = {f"f{i // 10}:{i % 10}": row for i, row in enumerate(rows)}
    few = {name: row for name, row in named.items() if name.startswith("f7")}
    found = wanted = 0
    for query in rows[::100]:
        for allowed, there in ((None, named), (only(*{one.partition(":")[0] for one in few}), few)):
            best = set(exact(there, query, 10))
            found += len(best & set(ids(arm.search(query, 10, allowed))))
            wanted += len(best)
    assert found / wanted >= 0.99
    arm.drop()


def test_keeps_everything_when_it_is_opened_again(tmp_path: Path) -> None:
    for round_ in range(3):
        client = ChromaClient(f"chroma://{tmp_path}")
        arm = open_vectors(client, "vs_1", tenant="acme")
        assert arm.attachments() == {f"r{i}" for i in range(round_)}
        arm.put(f"r{round_}", vectors(3, seed=round_))
        arm.close()
        client.close()


def test_two_of_one_process_or_two_processes_cannot_write_one_folder(tmp_path: Path) -> None:
    client = ChromaClient(f"chroma://{tmp_path}")
    with pytest.raises(SixfoldError) as raised:
        ChromaClient(f"chroma://{tmp_path}")
    assert raised.value.reason is Reason.SERVICE_UNAVAILABLE
    client.close()
    ChromaClient(f"chroma://{tmp_path}").close()


def test_stores_and_tenants_are_apart(client: ChromaClient, in_memory: int) -> None:
    store = f"vs_{uuid4().hex[:24]}"
    mine = open_vectors(client, store, DIMENSIONS, tenant="acme", in_memory=in_memory)
    other = open_vectors(client, f"vs_{uuid4().hex[:24]}", DIMENSIONS, tenant="acme", in_memory=in_memory)
    mine.put("a", vectors(3))
    assert other.search(vectors(1)[0], 10) == []
    stranger = open_vectors(client, store, DIMENSIONS, tenant="umbrella", in_memory=in_memory)
    for work in (
        lambda: stranger.search(vectors(1)[0], 10),
        lambda: stranger.score(vectors(1)[0], ["a:0"]),
        lambda: stranger.put("a", vectors(3)),
        lambda: stranger.remove(["a"]),
        lambda: stranger.attachments(),
        lambda: stranger.drop(),
    ):
        with pytest.raises(SixfoldError) as raised:
            work()
        assert raised.value.reason is Reason.NOT_FOUND
    assert len(mine.search(vectors(1)[0], 10)) == 3
    mine.drop()
    assert mine.search(vectors(1)[0], 10) == []
    mine.put("b", vectors(2))
    assert mine.attachments() == {"b"}
    mine.drop()


def test_other_dimensions_are_damage(client: ChromaClient, in_memory: int) -> None:
    store = f"vs_{uuid4().hex[:24]}"
    arm = open_vectors(client, store, tenant="acme", in_memory=in_memory)
    arm.put("a", vectors(3))
    with pytest.raises(IndexDamaged):
        arm.put("b", vectors(3, dimensions=8))
    again = open_vectors(client, store, 8, tenant="acme", in_memory=in_memory)
    with pytest.raises(IndexDamaged):
        again.search(vectors(1, dimensions=8)[0], 3)
    again.drop()
    again.put("a", vectors(3, dimensions=8))
    assert len(again.search(vectors(1, dimensions=8)[0], 5)) == 3
    again.drop()


def test_a_collection_that_was_lost_is_damage_and_is_made_anew(client: ChromaClient, in_memory: int) -> None:
    store = f"vs_{uuid4().hex[:24]}"
    arm = open_vectors(client, store, DIMENSIONS, tenant="acme", in_memory=in_memory)
    arm.put("a", vectors(3))
    open_vectors(client, store, DIMENSIONS, tenant="acme").drop()
    with pytest.raises(IndexDamaged):
        arm.put("b", vectors(3))
    arm.drop()
    arm.put("a", vectors(3))
    assert arm.attachments() == {"a"}
    arm.drop()


def test_never_embeds_by_itself(client: ChromaClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chroma's default would download a model at its first use."""

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("Chroma tried to embed")

    monkeypatch.setattr(embedding_functions.ONNXMiniLM_L6_V2, "__call__", forbidden)
    monkeypatch.setattr(embedding_functions.ONNXMiniLM_L6_V2, "_download_model_if_not_exists", forbidden)
    arm = open_vectors(client, f"vs_{uuid4().hex[:24]}", DIMENSIONS, tenant="acme", in_memory=0)
    arm.put("a", vectors(3))
    arm.search(vectors(1)[0], 2)
    arm.score(vectors(1)[0], ["a:0"])
    arm.drop()


def test_speaks_to_nobody_but_its_server(client: ChromaClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """No telemetry."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: tuple[str, int]) -> None:
        assert self.family == socket.AF_UNIX or address[0] in ("127.0.0.1", "::1"), address
        connect(self, address)

    def resolve(host: str, *_: object, **__: object) -> list[object]:
        raise AssertionError(f"Chroma asks for {host}")

    monkeypatch.setattr(socket.socket, "connect", guarded)
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *rest, **named: (
            real(host, *rest, **named) if host in ("127.0.0.1", b"127.0.0.1") else resolve(host)
        ),
    )
    arm = open_vectors(client, f"vs_{uuid4().hex[:24]}", DIMENSIONS, tenant="acme", in_memory=0)
    arm.put("a", vectors(3))
    assert len(arm.search(vectors(1)[0], 5)) == 3
    arm.drop()


def test_many_search_while_one_writes(arm: ChromaArm) -> None:
    """No reader sees a file that is not allowed, or fails, whatever is written meanwhile."""
    arm.put("stays", vectors(20))
    done = threading.Event()
    faults: list[BaseException] = []

    def read(seed: int) -> None:
        try:
            query = vectors(1, seed=seed)[0]
            while not done.is_set():
                found = ids(arm.search(query, 10, only("stays")))
                assert len(found) == 10
                assert all(one.startswith("stays:") for one in found)
                others = ids(arm.search(query, 100, all_but("stays")))
                assert not any(one.startswith("stays:") for one in others)
        except BaseException as fault:
            faults.append(fault)

    readers = [threading.Thread(target=read, args=(seed,)) for seed in range(3)]
    for reader in readers:
        reader.start()
    for number in range(12):
        arm.put(f"f{number}", vectors(150, seed=number))
        if number % 3 == 2:
            arm.remove([f"f{number - 1}", f"f{number - 2}"])
    done.set()
    for reader in readers:
        reader.join()
    assert not faults
    assert arm.attachments() == {"stays", "f2", "f5", "f8", "f11"}


@pytest.mark.parametrize(("crossed", "answered"), [(3, True), (4, False)])
def test_a_search_that_a_writer_crossed_is_asked_again(
    client: ChromaClient, monkeypatch: pytest.MonkeyPatch, crossed: int, answered: bool
) -> None:
    """Chroma fails a search whose records go while it runs. One that keeps failing is told as such."""
    arm = open_vectors(client, f"vs_{uuid4().hex[:24]}", DIMENSIONS, tenant="acme", in_memory=0)
    rows = vectors(5)
    arm.put("a", rows)
    query, failures = type(arm._collection).query, iter(range(crossed))

    def crossing(self: Any, **asked: Any) -> Any:
        if next(failures, None) is not None:
            raise InternalError("Error executing plan: Internal error: Error finding id")
        return query(self, **asked)

    monkeypatch.setattr(type(arm._collection), "query", crossing)
    if answered:
        assert arm.search(rows[2], 1)[0].passage_id == "a:2"
    else:
        with pytest.raises(SixfoldError) as error:
            arm.search(rows[2], 1)
        assert error.value.reason is Reason.SERVICE_UNAVAILABLE
    arm.drop()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 4), max_size=6),
    gone=st.sets(st.sampled_from("abcdef")),
    named=st.sets(st.sampled_from("abcdefgh")),
    complement=st.booleans(),
    seed=st.integers(0, 1_000),
)
def test_answers_what_a_naive_search_answers(
    embedded: ChromaClient,
    in_memory: int,
    files: dict[str, int],
    gone: set[str],
    named: set[str],
    complement: bool,
    seed: int,
) -> None:
    arm = open_vectors(embedded, f"vs_{uuid4().hex[:24]}", 4, tenant="acme", in_memory=in_memory)
    put = {name: vectors(count, seed + ord(name), 4) for name, count in files.items()}
    if random.Random(seed).random() < 0.5:  # memory filled before, or read afterwards
        arm.search(vectors(1, seed, 4)[0], 3)
    arm.put_many(put)
    arm.remove(gone)
    rows = {
        f"{name}:{number}": row
        for name, some in put.items()
        if name not in gone and (name in named) != complement
        for number, row in enumerate(some)
    }
    query = vectors(1, seed + 9_999, 4)[0]
    found = ids(arm.search(query, 8, Allowed(frozenset(named), complement)))
    assert found == exact(rows, query, 8)
    arm.drop()


def test_a_server_that_goes_away_and_comes_back(in_memory: int) -> None:
    server = start_chroma()
    client = ChromaClient(server.url, deadline=5)
    arm = open_vectors(client, "vs_1", DIMENSIONS, tenant="acme", in_memory=in_memory)
    arm.put("a", vectors(5))
    query = vectors(1)[0]
    before = ids(arm.search(query, 5))
    server.kill()
    _refuses(lambda: client.check())
    _refuses(lambda: arm.put("b", vectors(2)))
    _refuses(lambda: arm.remove(["a"]))
    if in_memory:
        assert ids(arm.search(query, 5)) == before  # what memory has needs no server
    else:
        _refuses(lambda: arm.search(query, 5))
        _refuses(lambda: arm.score(query, ["a:0"]))
    server.start()
    client.check()
    assert ids(arm.search(query, 5)) == before
    arm.put("b", vectors(2, seed=8))
    assert arm.attachments() == {"a", "b"}
    client.close()
    server.remove()


def test_a_server_that_hangs_is_away(chroma_server: ChromaServer, chroma_url: str) -> None:
    client = ChromaClient(chroma_url, deadline=1)
    arm = open_vectors(client, f"vs_{uuid4().hex[:24]}", DIMENSIONS, tenant="acme", in_memory=0)
    arm.put("a", vectors(5))
    chroma_server.pause()
    try:
        _refuses(lambda: arm.search(vectors(1)[0], 5))
        _refuses(lambda: arm.put("b", vectors(5)))
        _refuses(lambda: ChromaClient(chroma_url, deadline=1).check())
    finally:
        chroma_server.resume()
    client.check()
    assert len(arm.search(vectors(1)[0], 5)) == 5
    arm.drop()
    client.close()


def test_a_server_that_was_never_there() -> None:
    client = ChromaClient(f"chroma+http://127.0.0.1:{free_port()}")
    _refuses(client.check)
    _refuses(lambda: open_vectors(client, "vs_1", DIMENSIONS, tenant="acme").search(vectors(1)[0], 5))


@pytest.mark.parametrize("url", ["chroma://", "milvus://host", "chroma+http://", "http://host:1", "chroma"])
def test_refuses_what_is_no_url_of_chroma(url: str) -> None:
    with pytest.raises(ValueError):
        ChromaClient(url)


def _refuses(work: object) -> None:
    assert callable(work)
    with pytest.raises(SixfoldError) as raised:
        work()
    assert raised.value.reason is Reason.SERVICE_UNAVAILABLE
    assert "127.0.0.1" not in raised.value.message
