"""Where readers put what they find: cleaned at once, and never more than is allowed."""

from __future__ import annotations

from retrieval_service.documents.errors import DocumentError, FileReason
from retrieval_service.documents.parsed import SEPARATOR, Block, BlockKind, Parsed
from retrieval_service.parsing.clean import clean, clean_code, clean_line
from retrieval_service.parsing.limits import ParserLimits

_NOTES = 50


class Blocks:
    """The blocks of one document, in reading order."""

    def __init__(self, limits: ParserLimits) -> None:
        self.limits = limits
        self.page = 0
        """Of the blocks that come next."""
        self.pages = 0
        self.title = ""
        self._blocks: list[Block] = []
        self._notes: dict[str, None] = {}
        self._chars = 0

    def heading(self, text: str, level: int) -> None:
        """A heading; the outermost has level 1."""
        self._add(BlockKind.HEADING, clean_line(text), max(1, min(level, 9)))

    def paragraph(self, text: str) -> None:
        """Running text; line breaks in it are kept."""
        self._add(BlockKind.PARAGRAPH, clean(text))

    def item(self, text: str) -> None:
        """One item of a list, without its bullet."""
        self._add(BlockKind.LIST_ITEM, clean(text))

    def row(self, text: str) -> None:
        """One row of a table, already written as text."""
        self._add(BlockKind.TABLE_ROW, clean_line(text))

    def code(self, text: str) -> None:
        """Text whose indentation matters."""
        self._add(BlockKind.CODE, clean_code(text))

    def note(self, text: str) -> None:
        """Something that its owner should know; the same is said once."""
        if len(self._notes) < _NOTES:
            self._notes[clean_line(text)] = None

    def next_page(self) -> None:
        """What comes next stands on a new page. Raises DocumentError(TOO_LARGE)."""
        self.page += 1
        self.pages = max(self.pages, self.page)
        if self.page > self.limits.pages:
            raise DocumentError(FileReason.TOO_LARGE, f"It has more than {self.limits.pages} pages.")

    def __len__(self) -> int:
        return len(self._blocks)

    def parsed(self, media_type: str) -> Parsed:
        """The document. Raises DocumentError(NO_TEXT)."""
        if not any(any(map(str.isalnum, block.text)) for block in self._blocks):
            raise DocumentError(FileReason.NO_TEXT, "There is no text in it.")
        return Parsed(
            blocks=tuple(self._blocks),
            media_type=media_type,
            title=clean_line(self.title)[:300],
            pages=self.pages,
            notes=tuple(self._notes),
        )

    def _add(self, kind: BlockKind, text: str, level: int = 0) -> None:
        if not text:
            return
        self._chars += len(text) + len(SEPARATOR)
        if self._chars > self.limits.text_chars:
            raise DocumentError(
                FileReason.TOO_LARGE, f"It holds more than {self.limits.text_chars} characters of text."
            )
        if len(self._blocks) >= self.limits.blocks:
            raise DocumentError(FileReason.TOO_LARGE, f"It has more than {self.limits.blocks} parts.")
        self._blocks.append(Block(kind, text, level, self.page))
