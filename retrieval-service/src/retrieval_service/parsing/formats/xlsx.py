"""Excel workbooks: a sheet is a page, a row is one block. Formulas show what they last came to."""

from __future__ import annotations

import datetime
import warnings
from typing import Any, BinaryIO

import openpyxl

from retrieval_service.parsing.archive import Archive
from retrieval_service.parsing.blocks import Blocks
from retrieval_service.parsing.formats.ooxml import describe
from retrieval_service.parsing.safexml import check
from retrieval_service.parsing.tables import TableWriter

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_COLUMNS = 512


def read(file: BinaryIO, blocks: Blocks) -> None:
    """Values only; charts and pictures are not read."""
    archive = Archive(file, blocks.limits)
    describe(archive, blocks)
    for name in archive.names:
        if name.endswith((".xml", ".rels")):
            check(archive.read(name))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of styles and extensions that it does not know
        book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
        for sheet in book.worksheets:
            blocks.next_page()
            blocks.heading(sheet.title, 1)
            sheet.reset_dimensions()  # what a file says of its size may be wrong, or a trap
            _sheet(sheet, blocks)


def _sheet(sheet: Any, blocks: Blocks) -> None:
    writer = TableWriter(blocks)
    wide = False
    for row in sheet.iter_rows():
        wide = wide or len(row) > _COLUMNS
        cells = [_shown(cell) for cell in row[:_COLUMNS]]
        if any(cells):
            while not cells[-1]:
                cells.pop()
            writer.add(cells)
        else:
            writer.finish()  # an empty row parts tables
    writer.finish()
    if wide:
        blocks.note(f"Only the first {_COLUMNS} columns were read.")


def _shown(cell: Any) -> str:
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        if "%" in (cell.number_format or ""):
            return f"{value * 100:.10g}%"
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, datetime.datetime):
        return value.date().isoformat() if value.time() == datetime.time() else value.isoformat(" ")
    return str(value)
