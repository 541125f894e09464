"""A piece of a document: what is indexed, found and cited."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Passage:
    """`text` is `document.text[char_start:char_end]`, but for a repeated table header."""

    index: int
    """From 0, in the order of the document."""
    text: str
    headings: tuple[str, ...]
    """The headings above it, outermost first."""
    page_first: int
    """From 1; 0 where the format has no pages."""
    page_last: int
    char_start: int
    char_end: int
    language: str = ""
    """ISO 639-1; empty when unknown."""

    @property
    def indexed_text(self) -> str:
        """What both arms see: the headings say what a passage is about that does not repeat it."""
        return "\n".join((*self.headings, self.text))
