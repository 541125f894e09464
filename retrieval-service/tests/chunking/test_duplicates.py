"""Documents that say the same."""

from __future__ import annotations

import random

from retrieval_service.chunking.duplicates import SIMILAR, signature, similarity, text_digest
from retrieval_service.documents.parsed import Block, BlockKind, Parsed

_RANDOM = random.Random(3)
_VOCABULARY = ["".join(_RANDOM.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(2000)]


def _words(count: int, seed: int) -> list[str]:
    return random.Random(seed).choices(_VOCABULARY, k=count)


def _document(*texts: str) -> Parsed:
    return Parsed(tuple(Block(BlockKind.PARAGRAPH, text) for text in texts), "text/plain")


def test_the_same_words_in_another_format_are_the_same() -> None:
    one = _document("Some words.", "And more of them.")
    other = _document("Some  Words. And", "more of\nthem.")
    assert text_digest(one) == text_digest(other)
    assert text_digest(one) != text_digest(_document("Some words.", "And more of it."))
    assert text_digest(_document("ab", "c")) != text_digest(_document("a", "bc"))
    assert similarity(signature(one), signature(other)) == 1.0


def test_near_duplicates_share_a_band_and_strangers_none() -> None:
    words = _words(1000, 1)
    edited = [*words[:500], "inserted", "words", *words[500:990]]
    one, near, stranger = (signature(_document(" ".join(text))) for text in (words, edited, _words(1000, 2)))
    assert similarity(one, near) > SIMILAR
    assert set(one.bands) & set(near.bands)
    assert similarity(one, stranger) < 0.1
    assert not set(one.bands) & set(stranger.bands)
    assert len(one.bands) == 14
    assert len(one.data) == 448


def test_estimates_are_close_to_the_truth() -> None:
    words = _words(2000, 4)
    for kept in (200, 800, 1400, 1800):
        other = words[:kept] + _words(2000 - kept, 5)
        truth = kept / (4000 - kept)
        found = similarity(signature(_document(" ".join(words))), signature(_document(" ".join(other))))
        assert abs(found - truth) < 0.12


def test_chinese_is_compared_by_characters() -> None:
    text = "".join(random.Random(6).choices([chr(0x4E00 + n) for n in range(3000)], k=500))
    edited = text[:250] + "改" + text[250:]
    assert similarity(signature(_document(text)), signature(_document(edited))) > SIMILAR


def test_tiny_documents_have_signatures() -> None:
    assert similarity(signature(_document("one two")), signature(_document("One two"))) == 1.0
    assert similarity(signature(_document("one two")), signature(_document("one three"))) < 0.5


def test_signatures_are_the_same_in_every_process() -> None:
    # Stored ones must stay comparable: a change here needs a new version in duplicates.py.
    assert (
        signature(_document("the quick brown fox jumps over the lazy dog")).bands[0].hex()
        == "5b3754cc7f9315ff"
    )
