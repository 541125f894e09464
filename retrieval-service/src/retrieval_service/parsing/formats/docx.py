"""Word documents, straight from their XML.

Read directly, because what matters here is what a reader sees: inserted text of tracked changes, content
controls and text boxes too, deleted text not; and because pictures need not be unpacked for that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from retrieval_service.parsing.archive import Archive
from retrieval_service.parsing.blocks import Blocks
from retrieval_service.parsing.formats.ooxml import describe, links, local, main_part
from retrieval_service.parsing.safexml import parse
from retrieval_service.parsing.tables import TableWriter

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_HEADING = re.compile(r"(?:heading|überschrift|titre|título|titolo|标题|見出し|제목)\s*([1-9])$", re.I)
_SKIPPED = frozenset(
    ["del", "moveFrom", "instrText", "delText", "Fallback", "pPr", "rPr", "sectPr", "commentReference"]
)
_TRANSPARENT = frozenset(["sdt", "sdtContent", "ins", "moveTo", "smartTag", "customXml", "body"])


def read(file: BinaryIO, blocks: Blocks) -> None:
    """Headings come from styles and outline levels; footnotes are at the end."""
    archive = Archive(file, blocks.limits)
    describe(archive, blocks)
    part = main_part(archive, "word/document.xml")
    root = parse(archive.read(part))
    near = {kind: target for kind, target in links(archive, part).values() if target in archive}
    levels, lists = _styles(parse(archive.read(near["styles"]))) if "styles" in near else ({}, set())
    body = root.find(f"{_W}body")
    if body is None:
        raise ValueError("no body")
    writer = _Writer(blocks, levels, lists)
    writer.content(body)
    for kind in ("footnotes", "endnotes"):
        if kind in near:
            for note in parse(archive.read(near[kind])):
                if note.get(f"{_W}type") not in ("separator", "continuationSeparator", "continuationNotice"):
                    writer.content(note)


def _styles(root: Any) -> tuple[dict[str, int], set[str]]:
    """Styles that make headings, with their levels, and styles that make list items."""
    levels: dict[str, int] = {}
    lists: set[str] = set()
    based: dict[str, str] = {}
    for style in root.iter(f"{_W}style"):
        key = style.get(f"{_W}styleId", "")
        name = _value(style, "name") or key
        found = _HEADING.match(name)
        outline = _value(style.find(f"{_W}pPr"), "outlineLvl")
        if name.lower() == "title":
            levels[key] = 1
        elif found:
            levels[key] = int(found[1])
        elif outline.isdigit() and int(outline) < 9:
            levels[key] = int(outline) + 1
        if name.lower().startswith("list") or style.find(f"{_W}pPr/{_W}numPr") is not None:
            lists.add(key)
        if base := _value(style, "basedOn"):
            based[key] = base
    for key in based:
        ancestor, seen = key, set[str]()
        while ancestor in based and ancestor not in levels and ancestor not in seen:
            seen.add(ancestor)
            ancestor = based[ancestor]
        if ancestor in levels:
            levels.setdefault(key, levels[ancestor])
    return levels, lists


class _Writer:
    def __init__(self, blocks: Blocks, levels: dict[str, int], lists: set[str]) -> None:
        self._blocks = blocks
        self._levels = levels
        self._lists = lists

    def content(self, parent: Any) -> None:
        """Paragraphs and tables in order, however they are wrapped."""
        for child in parent:
            name = local(child)
            if name == "p":
                self._paragraph(child)
            elif name == "tbl":
                self._table(child)
            elif name in _TRANSPARENT:
                self.content(child)

    def _paragraph(self, paragraph: Any) -> None:
        boxes: list[Any] = []
        text = "".join(_text(paragraph, boxes))
        properties = paragraph.find(f"{_W}pPr")
        style = _value(properties, "pStyle")
        outline = _value(properties, "outlineLvl")
        level = int(outline) + 1 if outline.isdigit() and int(outline) < 9 else self._levels.get(style, 0)
        if level and text.strip():
            self._blocks.heading(text, level)
            if not self._blocks.title:
                self._blocks.title = text
        elif style in self._lists or (properties is not None and properties.find(f"{_W}numPr") is not None):
            self._blocks.item(text)
        else:
            self._blocks.paragraph(text)
        for box in boxes:
            self.content(box)

    def _table(self, table: Any) -> None:
        rows = list(_rows(table))
        marked = bool(rows) and rows[0].find(f"{_W}trPr/{_W}tblHeader") is not None
        writer = TableWriter(self._blocks, header=True if marked else None)
        above: list[str] = []
        for row in rows:
            before = _value(row.find(f"{_W}trPr"), "gridBefore")
            cells = [""] * (min(int(before), 64) if before.isdigit() else 0)
            names = list(cells)
            for cell in _cells(row):
                properties = cell.find(f"{_W}tcPr")
                span = _value(properties, "gridSpan")
                merge = properties.find(f"{_W}vMerge") if properties is not None else None
                if merge is not None and merge.get(f"{_W}val", "continue") != "restart":
                    text = above[len(cells)] if len(cells) < len(above) else ""
                else:
                    text = " ".join(_cell_texts(cell))
                more = min(int(span), 64) - 1 if span.isdigit() else 0
                cells += [text, *[""] * more]
                names += [text] * (more + 1)
            writer.add(cells, names)
            above = cells
        writer.finish()


def _rows(table: Any) -> Iterator[Any]:
    for child in table:
        name = local(child)
        if name == "tr":
            yield child
        elif name in _TRANSPARENT:
            yield from _rows(child)


def _cells(row: Any) -> Iterator[Any]:
    for child in row:
        name = local(child)
        if name == "tc":
            yield child
        elif name in _TRANSPARENT:
            yield from _cells(child)


def _cell_texts(cell: Any) -> Iterator[str]:
    """A cell's paragraphs; a table within it row by row."""
    for child in cell:
        name = local(child)
        if name == "p":
            boxes: list[Any] = []
            yield " ".join("".join(_text(child, boxes)).split())
            for box in boxes:
                yield from _cell_texts(box)
        elif name == "tbl":
            for row in _rows(child):
                inner = (" ".join(_cell_texts(one)).strip() for one in _cells(row))
                yield "(" + ", ".join(filter(None, inner)) + ")"
        elif name in _TRANSPARENT:
            yield from _cell_texts(child)


def _text(element: Any, boxes: list[Any]) -> Iterator[str]:
    """What a paragraph says; text boxes that are anchored in it are put aside."""
    for child in element:
        name = local(child)
        if name == "t":
            yield child.text or ""
        elif name in ("tab", "ptab"):
            yield "\t"
        elif name in ("br", "cr"):
            yield "\n"
        elif name == "noBreakHyphen":
            yield "-"
        elif name == "txbxContent":
            boxes.append(child)
        elif name == "r" and child.find(f"{_W}rPr/{_W}vanish") is not None:
            continue  # hidden
        elif name not in _SKIPPED:
            yield from _text(child, boxes)


def _value(parent: Any, name: str) -> str:
    found = parent.find(f"{_W}{name}") if parent is not None else None
    return found.get(f"{_W}val", "") if found is not None else ""
