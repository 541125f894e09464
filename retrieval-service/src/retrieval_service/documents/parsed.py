"""What a parser makes of a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class BlockKind(StrEnum):
    """What a block is, as far as its place in the document tells."""

    HEADING = "heading"
    PARAGRAPH = "paragraph"
    LIST_ITEM = "list_item"
    TABLE_ROW = "table_row"
    """One row, its cells as `header: value` where the table has a header."""
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Block:
    """One run of text with its place."""

    kind: BlockKind
    text: str
    level: int = 0
    """Of a heading: 1 is the outermost. 0 for everything else."""
    page: int = 0
    """Page, slide or sheet, from 1; 0 where the format has none."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document in reading order. Its text, to which character ranges refer, is `text`."""

    blocks: tuple[Block, ...]
    media_type: str
    title: str = ""
    pages: int = 0
    notes: tuple[str, ...] = field(default=())
    """What was left out, for people: "3 of 12 pages have no text"."""

    @property
    def text(self) -> str:
        """All blocks, an empty line between two."""
        return SEPARATOR.join(block.text for block in self.blocks)


SEPARATOR = "\n\n"
