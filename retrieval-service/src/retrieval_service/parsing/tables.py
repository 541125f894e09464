"""Tables as text: a row says of each cell what it is, and can be understood without its table."""

from __future__ import annotations

import re
from collections.abc import Sequence

from retrieval_service.parsing.blocks import Blocks

_NUMBER = re.compile(r"[-+(]?[$€£¥]?\s*[\d.,:/\s-]*\d[\d.,:/\s-]*\s*[%)]?$")
_HEADER_CHARS = 120


class TableWriter:
    """Rows of one table as they come. Its header is the first row of several cells, if it looks like one."""

    def __init__(self, blocks: Blocks, *, header: bool | None = None) -> None:
        """`header` is whether the first row is one, None if that is to be told from the row itself."""
        self._blocks = blocks
        self._known = header
        self._names: list[str] | None = None
        self._first: list[str] | None = None
        self._first_names: list[str] = []
        self._used: set[str] = set()
        self._width = 0

    def add(self, cells: Sequence[str], names: Sequence[str] | None = None) -> None:
        """The next row. `names` is what it calls each column if it is the header: a cell may span several."""
        row = [" ".join(cell.split()) for cell in cells]
        filled = sum(map(bool, row))
        if not filled:
            return
        if self._names is None:
            if self._first is None:
                if filled == 1 and len(row) > 1 and not self._known:
                    self._write(row)  # a title above the table
                else:
                    self._first = row
                    self._first_names = [" ".join(name.split()) for name in names or row]
                return
            if not self._known and sum(map(bool, self._first)) == 1 < filled:
                self._write(self._first)  # the same, of a file that leaves empty cells out
                self._first, self._first_names = row, row
                return
            self._begin()
        self._write(row)
        if self._known is None:
            self._beside(row)

    def finish(self) -> None:
        """There are no more rows."""
        if self._names is None and self._first is not None:
            self._write(self._first)
        if unused := [name for name in self._names or () if name and name not in self._used]:
            self._blocks.row(" | ".join(unused))
        self._names = self._first = None
        self._width = 0

    def _begin(self) -> None:
        assert self._first is not None
        if self._known or (self._known is None and _is_header(self._first)):
            self._names = list(self._first_names)
        else:
            self._names = []
            self._write(self._first)

    def _beside(self, row: list[str]) -> None:
        """A second table may begin to the right of the first, further down: its names are taken as well."""
        names = self._names or []
        start, self._width = max(self._width, len(names)), max(self._width, len(row))
        while start < len(row) and not row[start]:
            start += 1
        if names and row[:start].count("") and _is_header(row[start:]):
            self._names = [*names, *[""] * (start - len(names)), *row[start:]]

    def _write(self, row: list[str]) -> None:
        names = self._names or []
        cells = []
        for at, cell in enumerate(row):
            name = names[at] if at < len(names) else ""
            if cell:
                cells.append(f"{name}: {cell}" if name and name != cell else cell)
                self._used.add(name)
        if len(cells) == 2 and not names and cells[0].endswith((":", "：")):
            self._blocks.row(" ".join(cells))
        else:
            self._blocks.row(("; " if names else " | ").join(cells))


def _is_header(row: list[str]) -> bool:
    names = [cell for cell in row if cell]
    return (
        len(names) > 1
        and len(set(names)) == len(names)
        and 2 * len(names) >= len(row)
        and not any(len(name) > _HEADER_CHARS or name[-1] in ":：" or _NUMBER.match(name) for name in names)
    )
