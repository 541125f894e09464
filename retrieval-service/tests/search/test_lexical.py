"""BM25 on a real tantivy folder."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retrieval_service.adapters.lexical import TantivyArm, open_lexical, wipe_lexical
from retrieval_service.documents.passage import Passage
from retrieval_service.search import analysis, bm25
from retrieval_service.search.ports import Allowed, IndexDamaged, Scored
from servicekit.errors import Reason, SixfoldError


def passage(text: str, index: int = 0, language: str = "en", headings: tuple[str, ...] = ()) -> Passage:
    return Passage(index, text, headings, 1, 2, 3, 3 + len(text), language)


def passages(*texts: str, language: str = "en") -> list[Passage]:
    return [passage(text, number, language) for number, text in enumerate(texts)]


def ids(found: list[Scored]) -> list[str]:
    return [one.passage_id for one in found]


def only(*attachments: str) -> Allowed:
    return Allowed(frozenset(attachments))


def all_but(*attachments: str) -> Allowed:
    return Allowed(frozenset(attachments), complement=True)


@pytest.fixture
def arm(tmp_path: Path) -> Iterator[TantivyArm]:
    arm = open_lexical(tmp_path / "index")
    yield arm
    arm.close()


def test_an_empty_index_answers_nothing(arm: TantivyArm) -> None:
    assert arm.search("anything", 10) == []
    assert arm.score("anything", ["a:0"]) == {}
    assert arm.passages(["a:0"]) == {}
    assert arm.attachments() == set()
    arm.remove(["a"])


def test_gives_back_what_was_put(arm: TantivyArm) -> None:
    whole = Passage(3, "A text, “quoted”\n\t中文 🙂", ("One", "Two"), 4, 5, 60, 90, "en")
    arm.put("file-1", [whole])
    assert arm.search("quoted", 5)[0].passage_id == "file-1:3"
    assert arm.passages(["file-1:3", "file-1:4"]) == {"file-1:3": whole}


def test_finds_by_heading_and_ranks_by_bm25(arm: TantivyArm) -> None:
    arm.put("a", [passage("Nothing of the kind.", headings=("Bicycles",))])
    arm.put("b", passages("bicycle bicycle bicycle", "one bicycle among many other words about trains"))
    found = arm.search("bicycles", 10)
    assert ids(found)[0] == "b:0"
    assert set(ids(found)) == {"a:0", "b:0", "b:1"}
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


def test_scores_are_bm25_as_a_share_of_what_the_query_could_attain(arm: TantivyArm) -> None:
    texts = ["red green blue", "red red red", "green", "yellow", "red yellow orange violet"]
    arm.put("a", passages(*texts))
    terms = [Counter(analysis.index_terms(text, "en")) for text in texts]
    average = sum(count.total() for count in terms) / len(terms)
    idf = {
        word: bm25.idf(len(texts), sum(word in count for count in terms))
        for word in ("red", "green", "zebra")
    }
    found = {one.passage_id: one.score for one in arm.search("red green zebra", 10)}
    for number, count in enumerate(terms):
        raw = sum(
            idf[word]
            * count[word]
            * (bm25.K1 + 1)
            / (count[word] + bm25.K1 * (1 - bm25.B + bm25.B * count.total() / average))
            for word in ("red", "green")
        )
        expected = raw / bm25.attainable(list(idf.values()))
        assert found.get(f"a:{number}", 0.0) == pytest.approx(expected, rel=1e-4)
    assert all(0 < score < 1 for score in found.values())


def test_scores_what_another_arm_found(arm: TantivyArm) -> None:
    arm.put("a", passages("red green", "blue", "green green", *["filler words"] * 100))
    everything = {one.passage_id: one.score for one in arm.search("red green", 200)}
    assert arm.score("red green", ["a:0", "a:1", "a:2", "z:9"]) == pytest.approx(everything)
    assert arm.score("red green", [f"a:{number}" for number in range(103)]) == pytest.approx(everything)
    assert arm.score("zebra", ["a:0"]) == {}
    assert arm.score("?!", ["a:0"]) == {}
    assert arm.score("red", []) == {}


def test_putting_again_replaces_all(arm: TantivyArm) -> None:
    arm.put("a", passages("old one", "old two", "old three"))
    arm.put("a", passages("new one"))
    assert arm.search("old", 10) == []
    assert ids(arm.search("one", 10)) == ["a:0"]
    assert arm.passages(["a:0", "a:1"]) == {"a:0": passage("new one")}
    arm.put("a", [])
    assert arm.attachments() == set()


def test_removing_removes(arm: TantivyArm) -> None:
    arm.put_many({name: passages(f"word {name}") for name in "abcd"})
    arm.remove(["a", "c", "unknown"])
    assert sorted(ids(arm.search("word", 10))) == ["b:0", "d:0"]
    assert arm.attachments() == {"b", "d"}
    assert arm.passages(["a:0"]) == {}
    assert arm.score("word", ["a:0"]) == {}


def test_an_id_that_begins_like_another_is_another(arm: TantivyArm) -> None:
    arm.put_many({"file-1": passages("word"), "file-11": passages("word"), "file": passages("word")})
    arm.remove(["file-1"])
    assert sorted(ids(arm.search("word", 10))) == ["file-11:0", "file:0"]
    assert ids(arm.search("word", 10, only("file-11"))) == ["file-11:0"]


@pytest.mark.parametrize("many", [3, 400])
def test_filters_hold_inside_and_fail_closed(arm: TantivyArm, many: int) -> None:
    """Few names and many take two ways through the index."""
    arm.put_many({f"f{number}": passages("word", "word word") for number in range(many * 2)})
    named = [f"f{number}" for number in range(many)]
    assert {one.split(":")[0] for one in ids(arm.search("word", 9_999, only(*named, "unknown")))} == set(
        named
    )
    rest = {one.split(":")[0] for one in ids(arm.search("word", 9_999, all_but(*named, "unknown")))}
    assert rest == {f"f{number}" for number in range(many, many * 2)}
    assert len(arm.search("word", 9_999, all_but())) == many * 4
    assert arm.search("word", 9_999, only()) == []
    assert arm.search("word", 9_999, only("unknown")) == []
    assert arm.search("word", 0) == []
    unfiltered = {one.passage_id: one.score for one in arm.search("word", 9_999)}
    for one in arm.search("word", 9_999, only(*named)):
        assert one.score == pytest.approx(unfiltered[one.passage_id])


def test_stays_when_it_is_opened_again(tmp_path: Path) -> None:
    for number in range(3):
        arm = open_lexical(tmp_path)
        assert arm.attachments() == {f"f{before}" for before in range(number)}
        arm.put(f"f{number}", passages(f"text {number}", language="de" if number else "en"))
        arm.close()
        arm.close()
    arm = open_lexical(tmp_path)
    assert len(arm.search("text", 10)) == 3
    arm.close()


def test_a_query_meets_each_passage_in_its_language(tmp_path: Path) -> None:
    arm = open_lexical(tmp_path)
    arm.put("en", passages("two houses"))
    assert arm.search("Häuser", 5) == []
    arm.put("de", passages("das alte Haus", language="de"))
    assert ids(arm.search("Häuser", 5)) == ["de:0"]
    arm.put("zh", passages("机器学习很有趣", language="zh"))
    assert ids(arm.search("学习", 5)) == ["zh:0"]
    arm.close()
    arm = open_lexical(tmp_path)
    assert ids(arm.search("Häuser", 5)) == ["de:0"]
    assert ids(arm.search("house", 5)) == ["en:0"]
    arm.close()


def test_only_one_writes_and_many_read(tmp_path: Path) -> None:
    writer = open_lexical(tmp_path)
    writer.put("a", passages("word"))
    with pytest.raises(SixfoldError) as raised:
        open_lexical(tmp_path)
    assert raised.value.reason is Reason.SERVICE_UNAVAILABLE
    other = subprocess.run(
        [sys.executable, "-c", _SECOND, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert other.stdout.strip() == "SERVICE_UNAVAILABLE", other.stderr
    readers = [open_lexical(tmp_path, read_only=True) for _ in range(2)]
    assert [ids(reader.search("word", 5)) for reader in readers] == [["a:0"]] * 2
    writer.put("b", passages("word"))
    assert [sorted(ids(reader.search("word", 5))) for reader in readers] == [["a:0", "b:0"]] * 2
    with pytest.raises(RuntimeError):
        readers[0].put("c", passages("word"))
    for reader in readers:
        reader.close()
    writer.close()
    open_lexical(tmp_path).close()


_SECOND = """
import sys
from pathlib import Path
from retrieval_service.adapters.lexical import open_lexical
from servicekit.errors import SixfoldError
try:
    open_lexical(Path(sys.argv[1]))
except SixfoldError as error:
    print(error.reason.value)
"""

_DIES = """
import os, sys
from pathlib import Path
from retrieval_service.adapters.lexical import open_lexical
from retrieval_service.documents.passage import Passage
arm = open_lexical(Path(sys.argv[1]))
arm.put("kept", [Passage(0, "word", (), 0, 0, 0, 4, "en")])
with arm._changing() as writer:
    writer.delete_documents_by_term("attachment", "kept")
    os.kill(os.getpid(), 9)
"""


def test_what_was_acknowledged_survives_kill_and_what_was_not_is_not_half_there(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", _DIES, str(tmp_path)], timeout=60, check=False)
    arm = open_lexical(tmp_path)
    assert ids(arm.search("word", 5)) == ["kept:0"]
    arm.put("next", passages("word"))
    assert arm.attachments() == {"kept", "next"}
    arm.close()


@pytest.mark.parametrize("harm", ["meta", "garbage", "version", "missing segment", "no version"])
def test_a_damaged_index_says_so_and_can_be_made_anew(tmp_path: Path, harm: str) -> None:
    arm = open_lexical(tmp_path)
    arm.put("a", passages("word"))
    arm.close()
    if harm == "meta":
        (tmp_path / "meta.json").write_text("{")
    elif harm == "version":
        (tmp_path / "version").write_text("0")
    elif harm == "no version":
        (tmp_path / "version").unlink()
    else:
        for file in tmp_path.glob("*.*"):
            if file.suffix in (".term", ".store", ".idx", ".fast"):
                file.unlink() if harm == "missing segment" else file.write_bytes(b"\x00garbage" * 9)
    with pytest.raises(IndexDamaged):
        damaged = open_lexical(tmp_path)
        damaged.search("word", 1)
    wipe_lexical(tmp_path)
    arm = open_lexical(tmp_path)
    arm.put("a", passages("word"))
    assert ids(arm.search("word", 5)) == ["a:0"]
    arm.close()


def test_a_full_disk_is_an_error_and_the_next_write_is_none(tmp_path: Path) -> None:
    """In a process of its own, since a limit on the size of files holds for all of it."""
    told = subprocess.run(
        [sys.executable, "-c", _FILLS, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert told.stdout.split() == ["SERVICE_UNAVAILABLE", "before:0", "after:0,before:0"], told.stderr


_FILLS = """
import resource, signal, sys
from pathlib import Path
from retrieval_service.adapters.lexical import open_lexical
from retrieval_service.documents.passage import Passage
from servicekit.errors import SixfoldError

def passages(count):
    return [Passage(i, f"word {i} {i * 7}", (), 0, 0, 0, 4, "en") for i in range(count)]

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
arm = open_lexical(Path(sys.argv[1]))
arm.put("before", passages(1))
limit(10_000)
try:
    arm.put("large", passages(5_000))
except SixfoldError as error:
    print(error.reason.value)
print(",".join(one.passage_id for one in arm.search("word", 5)))
limit(resource.RLIM_INFINITY)
arm.put("after", passages(1))
print(",".join(sorted(one.passage_id for one in arm.search("word", 5))))
"""


def test_many_search_while_one_writes(arm: TantivyArm) -> None:
    arm.put("stays", passages(*["steady word"] * 5))
    done = threading.Event()
    faults: list[BaseException] = []

    def read() -> None:
        try:
            while not done.is_set():
                found = ids(arm.search("word", 20, only("stays")))
                assert len(found) == 5
                assert len(arm.passages(found)) == 5
                assert not any(
                    one.startswith("stays") for one in ids(arm.search("word", 20, all_but("stays")))
                )
        except BaseException as fault:
            faults.append(fault)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(15):
        arm.put(f"f{number}", passages("word", "word"))
        if number % 3 == 2:
            arm.remove([f"f{number - 1}"])
    done.set()
    for reader in readers:
        reader.join()
    assert not faults
    assert len(arm.attachments()) == 11


def test_a_query_as_long_as_a_document_is_answered(arm: TantivyArm) -> None:
    arm.put("a", passages("word " * 2_000))
    assert ids(arm.search("word " + " ".join(f"other{number}" for number in range(50_000)), 5)) == ["a:0"]


WORDS = st.sampled_from(["red", "green", "blue", "grey", "plum"])


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.dictionaries(
        st.sampled_from("abcdef"), st.lists(st.lists(WORDS, min_size=1, max_size=4), max_size=3), max_size=5
    ),
    query=st.lists(WORDS, min_size=1, max_size=3),
    named=st.sets(st.sampled_from("abcdefgh")),
    complement=st.booleans(),
)
def test_answers_what_a_naive_search_answers(
    tmp_path: Path, files: dict[str, list[list[str]]], query: list[str], named: set[str], complement: bool
) -> None:
    wipe_lexical(tmp_path / "each")
    arm = open_lexical(tmp_path / "each")
    arm.put_many({name: passages(*map(" ".join, texts)) for name, texts in files.items()})
    expected = {
        f"{name}:{number}"
        for name, texts in files.items()
        if (name in named) != complement
        for number, text in enumerate(texts)
        if set(text) & set(query)
    }
    found = arm.search(" ".join(query), 100, Allowed(frozenset(named), complement))
    assert set(ids(found)) == expected
    assert len(found) == len(expected)
    assert not any(math.isnan(one.score) for one in found)
    arm.close()
