"""Rows that are the same, or nearly: found by MinHash, confirmed by the shingles themselves."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from training_service.datasets.rows import Kind, Row

_SHINGLE = 4
_HASHES = 128
_ALIKE = 0.7
"""Shared shingles from which two questions are of one family: they never part."""
_SAME = 0.85
"""Shared shingles from which one of two with the same answer is enough."""
_SPACE = re.compile(r"\s+")


def normal(text: str) -> str:
    """Without what people do not see as a difference: case, width, spaces, marks at the ends."""
    folded = _SPACE.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()
    return folded.strip(" .,;:!?\"'") or folded


@dataclass(slots=True)
class Families:
    """Rows by likeness of their questions. Members of one family never part."""

    family: list[int]
    """For each row, the first row of its family."""
    same: dict[int, int] = field(default_factory=dict)
    """Rows that say exactly what an earlier one says, answer included."""
    near: dict[int, int] = field(default_factory=dict)
    """Rows that say nearly what an earlier one that stays says, with the same answer."""


def find_families(rows: Sequence[Row]) -> Families:
    """Exact duplicates, near duplicates and families of rows, by shingles of four characters."""
    from datasketch import MinHash, MinHashLSH

    families = Families(list(range(len(rows))))
    questions = _questions(rows)
    answers = [_answer(row) for row in rows]
    first_with: dict[str, int] = {}
    first_asking: dict[str, int] = {}
    index = MinHashLSH(threshold=_ALIKE - 0.1, num_perm=_HASHES)
    shingled: dict[int, frozenset[bytes]] = {}
    for number, question in enumerate(questions):
        earlier = first_with.setdefault(_digest(question, answers[number], _context(rows[number])), number)
        if earlier != number:
            families.same[number] = earlier
        asked = first_asking.setdefault(question, number)
        if asked != number:
            _join(families.family, asked, number)
            if number not in families.same and answers[asked] == answers[number]:
                families.near[number] = asked  # the same words under another system message
            continue
        mine = _shingles(question)
        sketch = MinHash(num_perm=_HASHES, seed=1)
        sketch.update_batch(list(mine))
        for other in sorted(index.query(sketch)):
            alike = _jaccard(mine, shingled[other])
            if alike < _ALIKE:
                continue
            _join(families.family, other, number)
            if alike >= _SAME and answers[other] == answers[number] and other not in families.near:
                families.near.setdefault(number, other)
        shingled[number] = mine
        index.insert(number, sketch)
    families.family = [_root(families.family, number) for number in range(len(rows))]
    return families


def _questions(rows: Sequence[Row]) -> list[str]:
    """What tells rows apart: their last message alone where what comes before is the same for several rows

    (examples in a prompt), everything that people wrote otherwise.
    """
    before = [tuple((turn.role, turn.content) for turn in row.prompt[:-1]) for row in rows]
    shared = {each for each, number in Counter(before).items() if number > 1}
    return [
        normal(row.prompt[-1].content if first in shared else row.question())
        for row, first in zip(rows, before, strict=True)
    ]


def _answer(row: Row) -> str:
    if row.kind is Kind.PREFERENCE:
        return f"{normal(row.chosen)}\0{normal(row.rejected)}"
    return normal(row.answer)


def _context(row: Row) -> str:
    return "\0".join(normal(message.content) for message in row.prompt if message.role == "system")


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0\0".join(texts).encode()).hexdigest()


def _shingles(text: str) -> frozenset[bytes]:
    if len(text) <= _SHINGLE:
        return frozenset({text.encode()})
    return frozenset(text[start : start + _SHINGLE].encode() for start in range(len(text) - _SHINGLE + 1))


def _jaccard(some: frozenset[bytes], others: frozenset[bytes]) -> float:
    return len(some & others) / len(some | others)


def _root(family: list[int], number: int) -> int:
    while family[number] != number:
        family[number] = family[family[number]]
        number = family[number]
    return number


def _join(family: list[int], one: int, other: int) -> None:
    first, second = sorted((_root(family, one), _root(family, other)))
    family[second] = first
