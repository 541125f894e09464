"""Passages: what every one of them promises, for any document; and what sensible ones look like."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval_service.chunking import Strategy, chunk, estimate
from retrieval_service.documents.parsed import Block, BlockKind, Parsed
from retrieval_service.documents.passage import Passage

_WORDS = [
    "a",
    "the",
    "pump",
    "water",
    "locking",
    "3.14",
    "Dr.",
    "e.g.",
    "x" * 60,
    "北京是中国的首都。",
    "مرحبا",
    "한국어",
    "🙂",
]
_ENDS = [". ", "! ", "? ", "。", " ", "\n", "; "]


@st.composite
def _texts(draw: st.DrawFn) -> str:
    parts = draw(
        st.lists(st.tuples(st.sampled_from(_WORDS), st.sampled_from(_ENDS)), min_size=1, max_size=60)
    )
    return "".join(word + end for word, end in parts).strip()


@st.composite
def _documents(draw: st.DrawFn) -> Parsed:
    blocks = []
    page = 0
    for _ in range(draw(st.integers(1, 12))):
        kind = draw(st.sampled_from(BlockKind))
        page += draw(st.integers(0, 1))
        text = draw(_texts())
        level = draw(st.integers(1, 4)) if kind is BlockKind.HEADING else 0
        if kind is BlockKind.HEADING:
            text = " ".join(text.split())[: draw(st.integers(1, 300))].strip() or "x"
        blocks.append(Block(kind, text, level, page))
    return Parsed(tuple(blocks), "text/plain")


@given(_documents(), st.integers(1, 80), st.data())
def test_every_passage_keeps_its_promises(document: Parsed, limit: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, limit // 2))
    passages = chunk(document, Strategy(limit, overlap))
    text = document.text
    covered = bytearray(len(text))
    for index, passage in enumerate(passages):
        assert passage.index == index
        assert passage.text == text[passage.char_start : passage.char_end]
        assert passage.text == passage.text.strip() != ""
        assert estimate(passage.text) <= limit or len(passage.text) == 1
        assert 0 <= passage.page_first <= passage.page_last
        covered[passage.char_start : passage.char_end] = b"\1" * len(passage.text)
    for before, after in pairwise(passages):
        assert before.char_start < after.char_start
        assert before.char_end < after.char_end
        assert estimate(text[after.char_start : before.char_end]) <= overlap
    _all_is_said(document, passages, covered)


def _all_is_said(document: Parsed, passages: list[Passage], covered: bytearray) -> None:
    """Every character is in a passage, or in a heading that a passage carries."""
    carried = {heading for passage in passages for heading in passage.headings}
    at = 0
    for block in document.blocks:
        if block.kind is not BlockKind.HEADING or block.text not in carried:
            missing = [i for i, sign in enumerate(block.text, at) if not sign.isspace() and not covered[i]]
            assert not missing
        at += len(block.text) + 2


def _document(*blocks: tuple[int, str]) -> Parsed:
    """Levels and texts; 0 is a paragraph."""
    return Parsed(
        tuple(
            Block(BlockKind.HEADING if level else BlockKind.PARAGRAPH, text, level, number)
            for number, (level, text) in enumerate(blocks, 1)
        ),
        "text/plain",
    )


def _sentences(words: int, *, about: str) -> str:
    return " ".join(f"This is sentence {number} about {about}." for number in range(words // 6))


def test_headings_part_passages_and_are_carried() -> None:
    document = _document(
        (1, "Guide"),
        (2, "Install"),
        (0, _sentences(120, about="setup")),
        (2, "Use"),
        (0, _sentences(120, about="use")),
    )
    passages = chunk(document)
    assert [passage.headings for passage in passages] == [("Guide", "Install"), ("Guide", "Use")]
    assert passages[0].text == document.blocks[2].text
    assert passages[0].indexed_text.startswith("Guide\nInstall\nThis is sentence 0")
    assert [(passage.page_first, passage.page_last) for passage in passages] == [(3, 3), (5, 5)]


def test_tiny_neighbours_are_one_passage_under_what_they_share() -> None:
    passages = chunk(_document((1, "Guide"), (2, "One"), (0, "Short."), (2, "Two"), (0, "Also short.")))
    assert [(passage.headings, passage.text) for passage in passages] == [
        ((), "Guide\n\nOne\n\nShort.\n\nTwo\n\nAlso short.")
    ]


def test_lower_headings_stay_within_a_passage_but_never_end_one() -> None:
    blocks = [(1, "Guide")]
    for number in range(12):
        blocks += [(3, f"Detail {number}"), (0, _sentences(60, about=f"detail {number}"))]
    document = _document(*blocks)
    titles = {text for level, text in blocks if level}
    for passage in chunk(document):
        assert passage.headings[0] == "Guide"
        assert passage.text.rsplit("\n\n", 1)[-1] not in titles


def test_sentences_are_whole_and_shared_at_borders() -> None:
    document = _document((0, _sentences(900, about="pumps")))
    passages = chunk(document, Strategy(100, 30))
    assert len(passages) > 5
    for passage in passages:
        assert passage.text.startswith("This is")
        assert passage.text.endswith(".")
    for before, after in pairwise(passages):
        shared = document.text[after.char_start : before.char_end]
        assert shared.count("sentence") == 3  # of nine tokens each
        assert before.text.endswith(shared)
        assert after.text.startswith(shared)
    sizes = [estimate(passage.text) for passage in passages]
    assert max(sizes) - min(sizes) <= 20  # no crumbs at the end


def test_chinese_is_cut_between_sentences() -> None:
    document = _document((0, "北京是中华人民共和国的首都。" * 60))
    passages = chunk(document, Strategy(100, 20))
    assert all(passage.text.endswith("。") and passage.text.startswith("北京") for passage in passages)
    assert {passage.language for passage in passages} == {"zh"}


def test_one_long_sentence_is_cut_between_words() -> None:
    document = _document((0, "water " * 500))
    for passage in chunk(document, Strategy(50, 10)):
        assert set(passage.text.split()) == {"water"}


@pytest.mark.parametrize(
    "text", ["Dr. Smith met J. Doe in St. Ives. They ate.", "It is e.g. 3.5 m long. It is wide."]
)
def test_short_forms_end_no_sentence(text: str) -> None:
    from retrieval_service.chunking.sentences import sentences

    assert len(list(sentences(text))) == 2


def test_rows_are_never_cut_while_they_fit() -> None:
    rows = tuple(
        Block(BlockKind.TABLE_ROW, f"Name: Person {n}; Town: Town {n}. The. End", page=1) for n in range(60)
    )
    for passage in chunk(Parsed(rows, "text/csv"), Strategy(80, 20)):
        assert all(line.startswith("Name: Person") for line in passage.text.split("\n\n"))
        assert passage.text.endswith("The. End")


def test_the_callers_sizes_are_kept() -> None:
    document = _document((0, _sentences(9000, about="pumps")))
    passages = chunk(document, Strategy(800, 400))
    assert 600 < estimate(passages[0].text) <= 800
    shared = document.text[passages[1].char_start : passages[0].char_end]
    assert 380 < estimate(shared) <= 400


@pytest.mark.parametrize(("size", "overlap"), [(0, 0), (100, 51), (100, -1)])
def test_impossible_sizes(size: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="tokens"):
        Strategy(size, overlap)


def test_a_document_of_a_million_characters_is_cut_to_its_end() -> None:
    document = _document(*((0, _sentences(1000, about="pumps")) for _ in range(200)))
    passages = chunk(document)
    assert passages[-1].char_end == len(document.text)


@pytest.mark.parametrize(
    "text", ["." * 2_000_000, "a" * 2_000_000, '."' + '"' * 500_000, "1. " * 300_000, "…" * 500_000]
)
def test_no_text_takes_forever(text: str) -> None:
    passages = chunk(_document((0, text.strip())), Strategy(1000, 0))
    assert passages[-1].char_end == len(text.strip())
