"""A document as its sections: what stands under one heading of the first two levels, cut into atoms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from retrieval_service.chunking.sentences import pieces, sentences
from retrieval_service.documents.parsed import SEPARATOR, Block, BlockKind, Parsed

_HARD_LEVEL = 2
"""Headings up to this level part passages."""
_HEADING_CHARS = 200


@dataclass(frozen=True, slots=True)
class Atom:
    """What is never cut: a sentence, a table's row, a heading, or a part of one that is too long."""

    start: int
    end: int
    tokens: int
    page: int
    headings: tuple[str, ...]
    """Those above it."""
    heading: bool = False
    opens: bool = False
    """Whether a block begins with it."""


@dataclass(slots=True)
class Section:
    """Atoms of one section. `lead` are the headings it begins with: all are above its first atom."""

    lead: list[Atom] = field(default_factory=list)
    atoms: list[Atom] = field(default_factory=list)
    merged: bool = False
    """Whether it is several small ones: then `headings` is what they have in common."""
    headings: tuple[str, ...] = ()

    @property
    def tokens(self) -> int:
        """Of all of it."""
        return sum(atom.tokens for atom in self.lead) + sum(atom.tokens for atom in self.atoms)


def sections(parsed: Parsed, limit: int) -> list[Section]:
    """In order; together their leads and atoms hold everything. No atom has more than `limit` tokens."""
    return list(_sections(parsed, limit))


def _sections(parsed: Parsed, limit: int) -> Iterator[Section]:
    path: list[tuple[int, str]] = []
    current = Section()
    at = 0
    for block in parsed.blocks:
        start, end = at, at + len(block.text)
        at = end + len(SEPARATOR)
        if block.kind is BlockKind.HEADING:
            # A heading with nothing below it stands for itself, or it would be lost with the path.
            bare = bool(current.lead) and not current.atoms and path[-1][0] >= block.level
            if bare or (current.atoms and block.level <= _HARD_LEVEL):
                yield _closed(current)
                current = Section()
            while path and path[-1][0] >= block.level:
                path.pop()
            above = tuple(text for _, text in path)
            atoms = _atoms(block, block.text, start, above, limit)
            path.append((block.level, block.text[:_HEADING_CHARS]))
            whole = len(atoms) == 1 and len(block.text) <= _HEADING_CHARS
            if current.atoms or not whole:
                current.atoms += atoms
            else:
                current.lead += atoms
        else:
            current.atoms += _atoms(block, block.text, start, tuple(text for _, text in path), limit)
    if current.lead or current.atoms:
        yield _closed(current)


def _closed(section: Section) -> Section:
    if not section.atoms:
        section.atoms, section.lead = section.lead, []
    return section


def _atoms(block: Block, text: str, offset: int, headings: tuple[str, ...], limit: int) -> list[Atom]:
    whole = block.kind in (BlockKind.HEADING, BlockKind.TABLE_ROW)
    ranges = [(0, len(text))] if whole else list(sentences(text))
    parts = [part for start, end in ranges for part in pieces(text, start, end, limit)]
    heading = block.kind is BlockKind.HEADING and len(parts) == 1
    return [
        Atom(offset + start, offset + end, tokens, block.page, headings, heading, opens=number == 0)
        for number, (start, end, tokens) in enumerate(parts)
    ]


def merge_small(found: list[Section], limit: int) -> list[Section]:
    """Neighbours of which one is tiny become one, as long as they fit into one passage."""
    tiny = limit // 4
    kept: list[Section] = []
    for section in found:
        before = kept[-1] if kept else None
        if (
            before is not None
            and min(before.tokens, section.tokens) < tiny
            and before.tokens + section.tokens <= limit
        ):
            before.headings = _common(before, section)
            before.atoms = [*before.lead, *before.atoms, *section.lead, *section.atoms]
            before.lead = []
            before.merged = True
        else:
            kept.append(section)
    return kept


def _common(one: Section, other: Section) -> tuple[str, ...]:
    first = one.headings if one.merged else (*one.lead, *one.atoms)[0].headings
    second = (*other.lead, *other.atoms)[0].headings
    same = 0
    while same < min(len(first), len(second)) and first[same] == second[same]:
        same += 1
    return first[:same]
