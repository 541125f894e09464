"""Both arms together: fusion, its exactness, filters, languages, relevance, tuning."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retrieval_service.adapters.lexical import open_lexical, wipe_lexical
from retrieval_service.documents.passage import Passage
from retrieval_service.search.fusion import Weights, fuse, worth_scoring
from retrieval_service.search.index import StoreIndex, attachment_of
from retrieval_service.search.language import query_language
from retrieval_service.search.nearest import Nearest
from retrieval_service.search.ports import Allowed, Scored, Vectors
from retrieval_service.search.relevance import Relevance
from retrieval_service.search.tuning import GRID, STEPS, Judged, choose, held_out, ndcg, tune
from servicekit.errors import Reason, SixfoldError

DIMENSIONS = 8


class MemoryVectors:
    """A vector arm that keeps nothing, and can be away."""

    def __init__(self) -> None:
        self.nearest = Nearest(DIMENSIONS)
        self.away = False
        self.asked = 0
        self.near = False

    def put(self, attachment: str, vectors: Vectors) -> None:
        self.put_many({attachment: vectors})

    def put_many(self, files: Mapping[str, Vectors]) -> None:
        self._answer()
        self.nearest.put({name: ([f"{name}:{i}" for i in range(len(v))], v) for name, v in files.items()})

    def remove(self, attachments: Collection[str]) -> None:
        self._answer()
        self.nearest.remove(attachments)

    def search(
        self, vector: npt.NDArray[np.float32], limit: int, allowed: Allowed | None = None
    ) -> list[Scored]:
        self._answer()
        return self.nearest.search(vector, limit, allowed)

    def score(self, vector: npt.NDArray[np.float32], passage_ids: Sequence[str]) -> dict[str, float]:
        self._answer()
        return self.nearest.score(vector, passage_ids)

    def at_hand(self) -> bool:
        return self.near

    def attachments(self) -> set[str]:
        return self.nearest.attachments()

    def drop(self) -> None:
        self.nearest = Nearest(DIMENSIONS)

    def close(self) -> None:
        self.away = True

    def _answer(self) -> None:
        self.asked += 1
        if self.away:
            raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "away")


def unit(*parts: float) -> npt.NDArray[np.float32]:
    row = np.zeros(DIMENSIONS, np.float32)
    row[: len(parts)] = parts
    return row / np.float32(np.linalg.norm(row))


def rows(count: int, seed: int = 0) -> Vectors:
    made = np.random.default_rng(seed).standard_normal((count, DIMENSIONS)).astype(np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return made


def passages(*texts: str, language: str = "en") -> list[Passage]:
    return [Passage(i, text, (), 0, 0, 0, len(text), language) for i, text in enumerate(texts)]


@pytest.fixture
def vectors() -> MemoryVectors:
    return MemoryVectors()


@pytest.fixture(params=["alone", "beside"])
def index(request: pytest.FixtureRequest, tmp_path: Path, vectors: MemoryVectors) -> Iterator[StoreIndex]:
    with ThreadPoolExecutor(1) as executor:
        made = StoreIndex(
            open_lexical(tmp_path / "index"),
            vectors,
            Weights(0.5, {"zh": 0.0}),
            executor=executor if request.param == "beside" else None,
        )
        yield made
        made.close()


def test_combines_both_arms_and_says_what_each_thinks(index: StoreIndex) -> None:
    index.put("a", passages("red apple", "green pear"), np.stack([unit(1), unit(0, 1)]))
    index.put("b", passages("blue sky"), np.stack([unit(1, 1)]))
    found = index.search("red apple", unit(1), 3)
    assert [one.passage_id for one in found] == ["a:0", "b:0", "a:1"]
    assert [one.attachment for one in found] == ["a", "b", "a"]
    first = found[0]
    assert first.vector_score == pytest.approx(1.0)
    assert first.score == pytest.approx(0.5 * first.text_score + 0.5 * first.vector_score)
    assert first.passage.text == "red apple"
    assert found[1].text_score == 0.0
    assert found[1].score == pytest.approx(0.5 * (1 + 2**-0.5) / 2)


def test_weight_0_and_1_are_the_arms_alone(index: StoreIndex, vectors: MemoryVectors) -> None:
    index.put("a", passages("red apple", "green pear"), np.stack([unit(0, 1), unit(1)]))
    asked = vectors.asked
    text = index.search("red apple", unit(1), 5, weight=0.0)
    assert vectors.asked == asked
    assert [(one.passage_id, one.score) for one in text] == [("a:0", text[0].text_score)]
    dense = index.search("red apple", unit(1), 5, weight=1.0)
    assert {one.passage_id: one.score for one in dense} == pytest.approx({"a:1": 1.0, "a:0": 0.5})
    assert [one.passage_id for one in index.search("red apple", None, 5)] == ["a:0"]
    assert [one.passage_id for one in index.search("?", unit(1), 5, weight=0.5)] == ["a:1", "a:0"]


def test_the_language_of_the_query_decides_the_weight(index: StoreIndex, vectors: MemoryVectors) -> None:
    index.put("a", passages("机器学习", language="zh"), np.stack([unit(1)]))
    asked = vectors.asked
    assert index.search("机器学习", unit(1), 5)[0].weight == 0.0
    assert vectors.asked == asked
    assert index.search("machine learning methods", unit(1), 5)[0].weight == 0.5


def test_a_threshold_leaves_out_what_is_below(index: StoreIndex) -> None:
    index.put("a", passages("red", "green", "blue"), np.stack([unit(1), unit(1, 1), unit(0, 1)]))
    everything = index.search("red", unit(1), 5)
    assert len(everything) == 3
    assert len(index.search("red", unit(1), 5, threshold=everything[1].score)) == 2
    assert index.search("red", unit(1), 5, threshold=1.0) == []


def test_filters_reach_both_arms_and_fail_closed(index: StoreIndex) -> None:
    for number in range(6):
        index.put(f"f{number}", passages("red apple", "red pear"), rows(2, number))
    for allowed, there in (
        (Allowed(frozenset({"f2"})), {"f2"}),
        (Allowed(frozenset({"f2"}), complement=True), {"f0", "f1", "f3", "f4", "f5"}),
        (Allowed(frozenset()), set()),
        (Allowed(frozenset({"unknown"})), set()),
        (Allowed(frozenset(), complement=True), {f"f{number}" for number in range(6)}),
        (None, {f"f{number}" for number in range(6)}),
    ):
        for weight in (0.0, 0.5, 1.0):
            found = index.search("red", rows(1)[0], 50, allowed, weight)
            assert {one.attachment for one in found} == there
            assert len(found) == 2 * len(there)
    assert index.search("red", rows(1)[0], 0) == []


def test_putting_and_removing_reach_both_arms(index: StoreIndex, vectors: MemoryVectors) -> None:
    index.put("a", passages("red", "red"), rows(2))
    index.put("a", passages("red"), rows(1))
    index.put_many({"b": (passages("red"), rows(1, 1)), "c": (passages("red"), rows(1, 2))})
    assert {one.passage_id for one in index.search("red", rows(1)[0], 9)} == {"a:0", "b:0", "c:0"}
    index.remove(["a", "b"])
    assert {one.passage_id for one in index.search("red", rows(1)[0], 9)} == {"c:0"}
    assert index.attachments() == {"c"}
    with pytest.raises(ValueError):
        index.put("d", passages("red"), rows(2))


def test_passages_of_a_file_in_order(index: StoreIndex) -> None:
    texts = [f"text {number}" for number in range(12)]
    index.put("a", passages(*texts), rows(12))
    assert [one.text for one in index.passages("a", 3, 5)] == texts[3:8]
    assert [one.text for one in index.passages("a", 10, 100)] == texts[10:]
    assert index.passages("b", 0, 5) == []


def test_vectors_away_is_said_and_text_answers_without_them(
    index: StoreIndex, vectors: MemoryVectors
) -> None:
    index.put("a", passages("red"), rows(1))
    vectors.away = True
    with pytest.raises(SixfoldError) as raised:
        index.search("red", rows(1)[0], 5)
    assert raised.value.reason is Reason.SERVICE_UNAVAILABLE
    assert index.search("red", None, 5)[0].passage_id == "a:0"
    with pytest.raises(SixfoldError):
        index.put("b", passages("red"), rows(1))
    assert index.search("red", None, 5)[0].passage_id == "a:0"  # nothing half there
    assert len(index.search("red", None, 5)) == 1


def test_a_vector_without_its_passage_is_never_answered(index: StoreIndex, vectors: MemoryVectors) -> None:
    index.put("a", passages("red"), rows(1))
    vectors.put("ghost", rows(30))
    assert [one.passage_id for one in index.search("red", rows(1)[0], 5)] == ["a:0"]


SCORES = st.dictionaries(st.sampled_from("abcdefghijkl"), st.floats(0, 1), max_size=12)


@given(SCORES, SCORES, st.floats(0.05, 0.95), st.integers(1, 5), st.integers(1, 6))
def test_what_is_not_scored_could_not_win(
    text: dict[str, float], dense: dict[str, float], weight: float, limit: int, depth: int
) -> None:
    """The first `limit` after filling in the few are those after filling in all."""
    top = dict(sorted(text.items(), key=lambda one: (-one[1], one[0]))[:depth])
    floor = min(top.values()) if len(top) >= depth else 0.0
    missing = [one for one in dense if one not in top]
    full = fuse({**top, **{one: text.get(one, 0.0) for one in missing}}, {**dense}, weight)
    few = worth_scoring(top, dense, weight, limit, floor) if floor else []
    lean = fuse({**top, **{one: text.get(one, 0.0) for one in few}}, dense, weight)
    if not floor and len(top) < depth:
        assert all(text.get(one, 0.0) == 0.0 or one in top for one in missing) or len(text) >= depth
    assert [score for _, score in lean[:limit]] == pytest.approx([score for _, score in full[:limit]])


WORDS = st.sampled_from(["red", "green", "blue", "grey", "plum"])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(st.lists(WORDS, min_size=1, max_size=5), min_size=1, max_size=25),
    query=st.lists(WORDS, min_size=1, max_size=3),
    weight=st.sampled_from([0.0, 0.2, 0.55, 0.9, 1.0]),
    named=st.sets(st.integers(0, 24)),
    complement=st.booleans(),
    depth=st.integers(1, 8),
    seed=st.integers(0, 99),
)
def test_answers_as_if_every_passage_had_been_scored_by_both(
    tmp_path: Path,
    texts: list[list[str]],
    query: list[str],
    weight: float,
    named: set[int],
    complement: bool,
    depth: int,
    seed: int,
) -> None:
    """Against a search of everything: with any depth no score is wrong and nothing is let through."""
    wipe_lexical(tmp_path / "each")
    lexical, vectors = open_lexical(tmp_path / "each"), MemoryVectors()
    index = StoreIndex(lexical, vectors, Weights(0.5, {}), depth=depth)
    table = {f"f{i}": (passages(" ".join(text)), rows(1, seed * 100 + i)) for i, text in enumerate(texts)}
    index.put_many(table)
    vector = rows(1, seed + 7)[0]
    allowed = Allowed(frozenset(f"f{i}" for i in named), complement)
    every = [f"{name}:0" for name in table if (name in allowed.attachments) != complement]
    text = lexical.score(" ".join(query), every)
    dense = vectors.score(vector, every)
    found = index.search(" ".join(query), vector, 5, allowed, weight)
    assert {one.passage_id for one in found} <= set(every)
    for one in found:
        assert one.score == pytest.approx(
            (1 - weight) * text.get(one.passage_id, 0.0) + weight * dense[one.passage_id], abs=1e-6
        )
    if depth >= 5 and weight in (0.0, 1.0):
        best = sorted(
            (
                (1 - weight) * text.get(one, 0.0) + weight * dense[one]
                for one in every
                if weight or one in text
            ),
            reverse=True,
        )
        assert [one.score for one in found] == pytest.approx(best[:5], abs=1e-6)
    index.close()


@pytest.mark.parametrize(
    ("query", "language"),
    [
        ("what is the capital of France", "en"),
        ("Wie hoch ist der Eiffelturm?", "de"),
        ("quelle est la capitale de l'Italie", "fr"),
        ("中国的首都是哪里", "zh"),
        ("iPhone 手机", "zh"),
        ("東京はどこですか", "ja"),
        ("한국의 수도", "ko"),
        ("столица России", "ru"),
        ("Who founded the company?", "en"),
        ("Wer hat The Wall geschrieben", "de"),
        ("wat is de hoofdstad van Frankrijk", "nl"),
        ("E-1042", ""),
        ("12", ""),
        ("", ""),
        ("?!", ""),
    ],
)
def test_language_of_a_query(query: str, language: str) -> None:
    assert query_language(query) == language


def test_memory_is_reused_after_much_was_removed() -> None:
    nearest = Nearest(DIMENSIONS)
    for number in range(40):
        nearest.put({f"f{number}": ([f"f{number}:{i}" for i in range(100)], rows(100, number))})
        nearest.remove([f"f{number - 1}"])
    assert nearest.attachments() == {"f39"}
    assert nearest.bytes < 4_000 * DIMENSIONS * 4
    assert len(nearest.search(rows(1)[0], 1_000)) == 100
    found = nearest.search(rows(100, 39)[7], 1, Allowed(frozenset({"f39"})))
    assert found[0].passage_id == "f39:7"


def test_relevance_lies_between_the_arms() -> None:
    bars = Relevance(0.2, 0.7)
    assert bars.bar(0.0) == 0.2
    assert bars.bar(1.0) == 0.7
    assert bars.bar(0.5) == pytest.approx(0.45)


def test_an_attachment_may_have_a_colon() -> None:
    assert attachment_of("a:b:12") == "a:b"


def test_ndcg() -> None:
    assert ndcg(["a", "b"], {"a", "b"}) == 1.0
    assert ndcg(["x", "a"], {"a"}) == pytest.approx(0.6309, abs=1e-4)
    assert ndcg(["x"] * 10 + ["a"], {"a"}) == 0.0
    assert ndcg([], {"a"}) == 0.0
    assert ndcg(["a"], set()) == 0.0


def judged(language: str, best: float, count: int = 30) -> list[Judged]:
    """Queries that are answered better the nearer the weight is to `best`."""
    return [Judged(language, [1 - abs(weight - best) for weight in GRID]) for _ in range(count)]


@pytest.mark.parametrize("best", [0.0, 0.1, 0.5, 0.85, 1.0])
def test_tuning_finds_the_best_weight_ends_included(best: float) -> None:
    """A step beside at most: within two of an end, smoothing pulls to it."""
    assert choose(judged("en", best))["en"] == pytest.approx(best, abs=0.051)
    if best in (0.0, 0.5, 1.0):
        assert choose(judged("en", best))["en"] == pytest.approx(best)


def test_tuning_finds_a_weight_for_each_language_that_has_enough_queries() -> None:
    found = tune([*judged("en", 0.6), *judged("zh", 0.0), *judged("de", 1.0, count=5), *judged("", 0.6)])
    assert found.weights["en"] == pytest.approx(0.6)
    assert found.weights["zh"] == 0.0
    assert "de" not in found.weights
    assert found.fused > max(found.text, found.vector)


def test_what_is_reported_was_not_chosen_on_itself() -> None:
    """Every query loves a weight of its own, at random: left out, that helps nobody."""
    random = np.random.default_rng(0)
    noise = [Judged("en", random.random(STEPS + 1).tolist()) for _ in range(40)]
    chosen = choose(noise)["en"]
    best = float(np.mean([one.ndcg[round(chosen * STEPS)] for one in noise]))
    assert held_out(noise) < best
    assert held_out(noise[:1]) > 0
