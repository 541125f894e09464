"""Where a text may be cut: between sentences, and within those that are too long, between words."""

from __future__ import annotations

import re
from collections.abc import Iterator

from retrieval_service.chunking.tokens import MOST_PER_CHARACTER, estimate

# A sentence ends at a line break, after 。！？ with closing marks, or after .!? with closing marks and
# a space, unless what follows goes on in lower case or the full stop belongs to a short form.
_END = re.compile(
    r"\n+"
    r"|[。！？；…]+[」』）】”’》]*\s*"
    "|(?<![.!?\u061f\u06d4\u0589\u0964])[.!?\u061f\u06d4\u0589\u0964]+"
    r"[)\]\"'”’»]*\s+(?![a-zа-яё\s])",
)
_SHORT_FORM = re.compile(
    r"(?:\b(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|vs|etc|e\.g|i\.e|cf|al|Fig|Figs|Eq|Eqs|No|Nos|Vol|pp|Sec|Ch|Inc|Ltd|Co"
    r"|Corp|approx|z\.B|bzw|Nr|Abs|Art|Tel|ca))\.$"
)
_NUMBER = re.compile(r"\s*\d{1,3}\.$")
_WORD = re.compile(r"\S+\s*")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Ranges of the sentences, spaces at their ends left out; together they hold all else."""
    start = 0
    for found in _END.finditer(text):
        if found[0].startswith(".") and _is_short_form(text, start, found.start() + 1):
            continue
        yield from _trimmed(text, start, found.end())
        start = found.end()
    yield from _trimmed(text, start, len(text))


def _is_short_form(text: str, start: int, end: int) -> bool:
    """Whether the full stop before `end` belongs to an abbreviation, or to a sentence's number."""
    return (
        _SHORT_FORM.search(text, max(start, end - 9), end) is not None
        or _NUMBER.match(text, start, end) is not None
    )


def pieces(text: str, start: int, end: int, limit: int) -> Iterator[tuple[int, int, int]]:
    """A range cut into parts of at most `limit` tokens, between words if it can be: start, end, tokens.

    A single character is a part even if it has more.
    """
    tokens = estimate(text[start:end])
    if tokens <= limit:
        yield start, end, tokens
        return
    at, size = start, 0
    last = start
    for word_start, word_end in _words(text, start, end, limit):
        count = estimate(text[word_start:word_end])
        if size and size + count > limit:
            yield at, last, min(size, limit)
            at, size = word_start, 0
        size += count
        last = word_end
    if size:
        yield at, last, min(size, limit)


def _words(text: str, start: int, end: int, limit: int) -> Iterator[tuple[int, int]]:
    for found in _WORD.finditer(text, start, end):
        word_start, word_end = found.start(), found.start() + len(found[0].rstrip())
        if estimate(text[word_start:word_end]) <= limit and not _UNSPACED.search(text, word_start, word_end):
            yield word_start, word_end
        else:
            step = max(1, limit // MOST_PER_CHARACTER)
            if _UNSPACED.search(text, word_start, word_end):
                step = 1
            for at in range(word_start, word_end, step):
                yield at, min(at + step, word_end)


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if start < end:
        yield start, end
