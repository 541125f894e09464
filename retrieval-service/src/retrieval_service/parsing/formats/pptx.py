"""PowerPoint: a slide is a page, its title a heading; notes follow their slide."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from retrieval_service.parsing.archive import Archive
from retrieval_service.parsing.blocks import Blocks
from retrieval_service.parsing.formats.ooxml import RELATIONSHIP_ID, describe, links, local, main_part
from retrieval_service.parsing.safexml import parse
from retrieval_service.parsing.tables import TableWriter

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_FURNITURE = frozenset(["dt", "ftr", "hdr", "sldNum", "sldImg"])
_TITLES = frozenset(["title", "ctrTitle"])


def read(file: BinaryIO, blocks: Blocks) -> None:
    """Slides in the order of the show, hidden ones too."""
    archive = Archive(file, blocks.limits)
    describe(archive, blocks)
    part = main_part(archive, "ppt/presentation.xml")
    targets = links(archive, part)
    slides = parse(archive.read(part)).find(f"{_P}sldIdLst")
    for slide in slides if slides is not None else ():
        blocks.next_page()
        _, target = targets[slide.get(RELATIONSHIP_ID)]
        _shapes(parse(archive.read(target)).find(f"{_P}cSld/{_P}spTree"), blocks)
        for kind, notes in links(archive, target).values():
            if kind == "notesSlide" and notes in archive:
                _shapes(parse(archive.read(notes)).find(f"{_P}cSld/{_P}spTree"), blocks)


def _shapes(tree: Any, blocks: Blocks) -> None:
    """Titles first, then the others as they were drawn: from back to front is how most slides are written."""
    shapes = list(_flat(tree))
    shapes.sort(key=lambda shape: _placeholder(shape) not in _TITLES)
    for shape in shapes:
        place = _placeholder(shape)
        if place in _FURNITURE:
            continue
        if (table := shape.find(f".//{_A}tbl")) is not None:
            _table(table, blocks)
            continue
        body = shape.find(f"{_P}txBody")
        if body is None:
            continue
        if place in _TITLES:
            title = " ".join(filter(None, map(_paragraph, body.iterfind(f"{_A}p"))))
            blocks.heading(title, 1)
            blocks.title = blocks.title or title
            continue
        for paragraph in body.iterfind(f"{_A}p"):
            if _is_item(paragraph, place):
                blocks.item(_paragraph(paragraph))
            else:
                blocks.paragraph(_paragraph(paragraph))


def _flat(tree: Any) -> Iterator[Any]:
    for shape in tree if tree is not None else ():
        name = local(shape)
        if name == "grpSp":
            yield from _flat(shape)
        elif name == "AlternateContent":
            yield from _flat(next(iter(shape), None))
        elif name in ("sp", "graphicFrame"):
            yield shape


def _placeholder(shape: Any) -> str:
    found = shape.find(f"{_P}nvSpPr/{_P}nvPr/{_P}ph")
    return str(found.get("type", "body")) if found is not None else ""


def _is_item(paragraph: Any, place: str) -> bool:
    properties = paragraph.find(f"{_A}pPr")
    if properties is not None:
        if properties.find(f"{_A}buNone") is not None:
            return False
        if properties.find(f"{_A}buChar") is not None or properties.find(f"{_A}buAutoNum") is not None:
            return True
    return place == "body"


def _paragraph(paragraph: Any) -> str:
    parts = []
    for element in paragraph.iter(f"{_A}t", f"{_A}br", f"{_A}tab"):
        parts.append(element.text or "" if local(element) == "t" else " ")
    return "".join(parts)


def _table(table: Any, blocks: Blocks) -> None:
    properties = table.find(f"{_A}tblPr")
    marked = properties is not None and properties.get("firstRow") in ("1", "true")
    writer = TableWriter(blocks, header=True if marked else None)
    for row in table.iterfind(f"{_A}tr"):
        cells: list[str] = []
        names: list[str] = []
        for cell in row.iterfind(f"{_A}tc"):
            cells.append(" ".join(map(_paragraph, cell.iterfind(f"{_A}txBody/{_A}p"))))
            spanned = cell.get("hMerge") in ("1", "true") and bool(names)
            names.append(names[-1] if spanned else cells[-1])
        writer.add(cells, names)
    writer.finish()
