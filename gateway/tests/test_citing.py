"""Which sentence stands on which passage, however the answer comes in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.grounding.citing import Citation, Citer, Evidence
from gateway.grounding.closest import Closest
from gateway.grounding.passages import Source
from gateway.retrieval.types import Hit, Passage

PASSAGES = {
    1: "The Panthers defense gave up just 308 points, ranking sixth in the league.",
    2: "Jared Allen was the NFL's active career sack leader with 136. He plays for Carolina.",
    3: "黑豹队的防守只丢了308分，在联赛中排名第六。",
}


def evidence(support: float = 0.6) -> Evidence:
    sources = []
    for number, text in PASSAGES.items():
        passage = Passage(f"p{number}", 0, text, 0, 0, (), 0, len(text), "")
        sources.append(Source(number, (Hit(f"f{number}", f"{number}.md", "vs", 0.5, {}, passage),)))
    return Evidence(sources, support=support)


def cite(text: str, *cuts: int, marks: bool = True) -> tuple[str, list[Citation]]:
    """The answer and its citations, given in pieces that end at `cuts`."""
    citer = Citer(evidence(), marks=marks)
    shown, at = "", 0
    found: list[Citation] = []
    for cut in (*sorted(cuts), len(text)):
        more, citations = citer.feed(text[at:cut])
        shown, found, at = shown + more, [*found, *citations], cut
    more, citations = citer.end()
    return shown + more, [*found, *citations]


def spans(text: str, **options: bool) -> list[tuple[str, int]]:
    shown, found = cite(text, **options)
    return [(shown[each.start : each.end], each.source.number) for each in found]


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("The Panthers defense gave up 308 points.", [("The Panthers defense gave up 308 points.", 1)]),
        ("308", [("308", 1)]),
        ("The Panthers defense gave up 309 points.", []),
        ("The Panthers gave up pizza and went home early.", []),
        ("Yes.", []),
        ("黑豹队防守丢了308分。", [("黑豹队防守丢了308分。", 3)]),
        (
            "I think so. Jared Allen is the career sack leader. Carolina won 3.5 games.",
            [("Jared Allen is the career sack leader.", 2)],
        ),
    ],
)
def test_words_make_a_citation(answer: str, found: list[tuple[str, int]]) -> None:
    assert spans(answer) == found


def test_marks_are_checked_against_what_was_in_the_prompt() -> None:
    shown, found = cite("They gave up few points [1]. More [7]. Also [2, 9]! Or a[5]. All of it.[8]")
    assert shown == "They gave up few points [1]. More. Also [2]! Or a[5]. All of it."
    assert [(each.source.number, shown[each.place :][:3]) for each in found] == [(1, "[1]"), (2, "[2]")]


def test_a_mark_whose_passage_has_another_number_is_no_citation() -> None:
    assert spans("They gave up 12 points [1].") == []


def test_a_mark_behind_the_full_stop_belongs_to_the_sentence_before() -> None:
    assert spans("It was sixth in the league. [1] Then Jared Allen left the field forever.") == [
        ("It was sixth in the league. [1]", 1)
    ]


def test_marks_in_data_are_data() -> None:
    text = '{"points": [7], "said": "The Panthers defense gave up just 308 points"}'
    shown, _ = cite(text, marks=False)
    assert shown == text


PIECES = st.lists(
    st.sampled_from(
        [
            "The Panthers defense gave up 308 points", "Jared Allen", " leads with 136 sacks", ". ", ".",
            "\n", " ", "[1]", " [2]", "[3]", "[9]", "[1, 2]", "[", "]", "12", "【3】", "。", "黑豹队的防守",
            "丢了308分", "a[5]", "!", "…", '"', ")", "”", "Dr. Who", "3.5", ",",
        ]
    ),
    max_size=14,
)  # fmt: skip


@given(PIECES, st.lists(st.integers(0, 200), max_size=12))
def test_pieces_change_nothing(parts: list[str], cuts: list[int]) -> None:
    text = "".join(parts)
    whole = cite(text)
    assert cite(text, *(min(cut, len(text)) for cut in cuts)) == whole
    assert cite(text, *range(len(text))) == whole


@given(PIECES)
def test_every_citation_is_of_a_span_of_the_answer_and_of_a_passage(parts: list[str]) -> None:
    shown, found = cite("".join(parts))
    for each in found:
        assert 0 <= each.start < each.end <= len(shown)
        assert each.start <= each.place <= each.end
        assert not shown[each.start].isspace()
        assert not shown[each.end - 1].isspace()
        assert each.hit in each.source.hits
        assert each.source.number in PASSAGES


@given(st.text(max_size=200), st.integers(1, 5))
def test_any_text_comes_out_as_it_went_in_but_for_marks(text: str, step: int) -> None:
    shown, _ = cite(text, *range(0, len(text), step))
    if "[" not in text and "【" not in text:
        assert shown == text


@pytest.mark.parametrize(
    ("question", "quoted", "number"),
    [
        (
            "Who does Jared Allen play for?",
            "Jared Allen was the NFL's active career sack leader with 136.",
            2,
        ),
        ("黑豹队丢了多少分？", "黑豹队的防守只丢了308分，在联赛中排名第六。", 3),
        ("??", PASSAGES[1], 1),
    ],
)
def test_the_closest_sentence_is_quoted_and_cited(question: str, quoted: str, number: int) -> None:
    text, citation = Closest(question).quote(evidence(), behind=10)
    assert f"“{quoted}”" in text
    assert text.startswith("\n\n")
    assert (citation.source.number, citation.start, citation.end) == (number, 12, 10 + len(text))


def test_a_long_quotation_is_cut_between_words() -> None:
    long = "ducks " * 200
    passage = Passage("p", 0, long, 0, 0, (), 0, len(long), "")
    known = Evidence([Source(1, (Hit("f", "f.md", "vs", 0.5, {}, passage),))], support=0.6)
    text, citation = Closest("ducks").quote(known, behind=0)
    assert text.endswith("ducks…”)")
    assert citation.end == len(text) < 400
