"""Cuts a document into passages along its structure.

A passage is a run of whole sentences (table rows, list items) of one section. It keeps the headings above it,
its pages and its exact place in the text. Neighbours within a section share their border: as many whole
sentences as fit into the overlap, counted from the end of the first.
"""

from __future__ import annotations

from collections.abc import Iterator

from retrieval_service.chunking.language import detect
from retrieval_service.chunking.sections import Atom, Section, merge_small, sections
from retrieval_service.chunking.strategy import Strategy
from retrieval_service.documents.parsed import Parsed
from retrieval_service.documents.passage import Passage

_SAMPLES = 5
_SAMPLE_CHARS = 300


def chunk(parsed: Parsed, strategy: Strategy | None = None) -> list[Passage]:
    """All of the document, in order. Computes only: call it in a thread for large documents."""
    strategy = strategy or Strategy()
    text = parsed.text
    usual = document_language(text)
    passages: list[Passage] = []
    for section in merge_small(sections(parsed, strategy.max_tokens), strategy.max_tokens):
        for atoms, headings in _runs(section, strategy):
            start, end = atoms[0].start, atoms[-1].end
            content = text[start:end]
            passages.append(
                Passage(
                    index=len(passages),
                    text=content,
                    headings=headings,
                    page_first=min(atom.page for atom in atoms),
                    page_last=max(atom.page for atom in atoms),
                    char_start=start,
                    char_end=end,
                    language=detect(content, usual),
                )
            )
    return passages


def document_language(text: str) -> str:
    """ISO 639-1 code of most of a document, empty when it cannot be told. Looks at a few places."""
    step = max(1, len(text) // _SAMPLES)
    return detect(" ".join(text[at : at + _SAMPLE_CHARS] for at in range(0, len(text), step)))


def _runs(section: Section, strategy: Strategy) -> Iterator[tuple[list[Atom], tuple[str, ...]]]:
    if section.merged:
        yield section.atoms, section.headings
        return
    for first, last in _pack(section.atoms, strategy):
        atoms = section.atoms[first:last]
        # Headings that a run begins with go into its path, where they are said once and can be cited.
        body = next((at for at, atom in enumerate(atoms) if not atom.heading), None)
        if (
            body is not None
            and atoms[0].heading
            and len(atoms[body].headings) == len(atoms[0].headings) + body
        ):
            atoms = atoms[body:]
        yield atoms, atoms[0].headings


def _pack(atoms: list[Atom], strategy: Strategy) -> Iterator[tuple[int, int]]:
    """Ranges of atoms that make the passages: all about as full, none over the limit."""
    limit, overlap = strategy.max_tokens, strategy.overlap_tokens
    left = sum(atom.tokens for atom in atoms)
    target = _even(left, limit, overlap)
    first = new = 0
    while new < len(atoms):
        size = sum(atom.tokens for atom in atoms[first:new])
        while size + atoms[new].tokens > limit:  # the overlap gives way
            size -= atoms[first].tokens
            first += 1
        last = new
        while last < len(atoms) and size + atoms[last].tokens <= limit:
            if last > new and size + left > limit and _is_good_end(atoms[last], size, target):
                break
            size += atoms[last].tokens
            left -= atoms[last].tokens
            last += 1
        while last < len(atoms) and last - 1 > new and atoms[last - 1].heading:  # stays with what it heads
            last -= 1
            left += atoms[last].tokens
        yield first, last
        new, first = last, _overlap_start(atoms, first, last, overlap)


def _even(tokens: int, limit: int, overlap: int) -> float:
    """How large passages are if they are all alike: a last one of three words would serve nobody."""
    if tokens <= limit:
        return limit
    count = -(-(tokens - overlap) // (limit - overlap))
    return min(limit, (tokens - overlap) / count + overlap)


def _is_good_end(following: Atom, size: int, target: float) -> bool:
    if following.heading:
        return size >= 0.5 * target
    return size >= target or (following.opens and size >= 0.8 * target)


def _overlap_start(atoms: list[Atom], first: int, last: int, overlap: int) -> int:
    """Where the next passage begins: later than this one, and afresh under a new heading."""
    if last < len(atoms) and atoms[last].heading:
        return last
    while first < last and atoms[first].heading:  # these went into the path
        first += 1
    start, size = last, 0
    while start - 1 > first and size + atoms[start - 1].tokens <= overlap and not atoms[start - 1].heading:
        start -= 1
        size += atoms[start].tokens
    return start
