"""PDF through PDFium: the text layer's lines with their places. Pictures of text are not read."""

from __future__ import annotations

import ctypes
import math
import re
from typing import Any, BinaryIO

import pypdfium2
import pypdfium2.raw as pdfium

from retrieval_service.documents.errors import DocumentError, FileReason
from retrieval_service.parsing.blocks import Blocks
from retrieval_service.parsing.formats.layout import Line, Page, write

MEDIA_TYPE = "application/pdf"
_PASSWORD = {pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY}
_EMPHASIS = re.compile(r"bold|black|heavy|semib|demi|ital|obliq", re.I)
_ARABIC = re.compile("[\u0620-\u064a\u0671-\u06d3]")
_LIGATURE = re.compile("(?=([\u0622\u0623\u0625\u0627\u0671]\u0644))")
_LATIN_ARABIC = re.compile("([A-Za-z0-9])([\u0620-\u064a])")
# PDFium puts one sign in the place of a hyphen and the line break after it.
_LINE = re.compile("[^\n\x02\ufffe]+[\x02\ufffe]?")
_BREAK = re.compile("[\x02\ufffe]$")
_JUNK_TITLE = re.compile(
    r"^(?:untitled|microsoft (?:word|powerpoint|excel)\b.*|.*\.(?:docx?|pptx?|xlsx?|pdf|indd|tex))$", re.I
)


def read(file: BinaryIO, blocks: Blocks) -> None:
    """Raises DocumentError: PASSWORD_PROTECTED, CORRUPT, NO_TEXT or TOO_LARGE."""
    try:
        document = pypdfium2.PdfDocument(file)
    except pypdfium2.PdfiumError as error:
        if error.err_code in _PASSWORD:
            raise DocumentError(FileReason.PASSWORD_PROTECTED, "It is protected with a password.") from None
        raise _corrupt() from None
    with document:
        count = len(document)
        if count == 0:
            raise _corrupt()
        if count > blocks.limits.pages:
            raise DocumentError(FileReason.TOO_LARGE, f"It has more than {blocks.limits.pages} pages.")
        title = document.get_metadata_value("Title").strip()
        blocks.title = "" if _JUNK_TITLE.match(title) else title
        pages, failed, chars = [], 0, 0
        for number in range(count):
            try:
                page = _page(document, number, blocks.limits.text_chars - chars)
            except pypdfium2.PdfiumError:
                failed += 1
                page = Page(0.0, [])
            chars += sum(len(line.text) for line in page.lines)
            pages.append(page)
    if failed == count:
        raise _corrupt()
    empty = sum(not page.lines for page in pages) - failed
    if empty + failed == count:
        raise DocumentError(
            FileReason.NO_TEXT, "Its pages are pictures: there is no text in it that can be read."
        )
    if failed:
        blocks.note(f"{failed} of {count} pages are damaged.")
    if empty:
        blocks.note(f"{empty} of {count} pages have no text.")
    write(pages, blocks)


def _page(document: Any, number: int, most: int) -> Page:
    page = document[number]
    try:
        height = page.get_height()
        text_page = page.get_textpage()
        try:
            count = text_page.count_chars()
            if count > most:
                raise DocumentError(FileReason.TOO_LARGE, "It holds more text than is allowed.")
            text = text_page.get_text_range(0, count) if count else ""
            if _ARABIC.search(text):
                text = _joined_letters(text_page, text)
            return Page(height, _lines(text_page, text, count))
        finally:
            text_page.close()
    finally:
        page.close()


def _joined_letters(text_page: Any, text: str) -> str:
    """Lam and alef drawn as one sign come out in the order of the page rather than of the word.

    Both then have the very same place, which no two signs have.
    """
    letters = list(text)
    for found in _LIGATURE.finditer(text):
        at = found.start()
        if _box(text_page, at) == _box(text_page, at + 1):
            letters[at], letters[at + 1] = letters[at + 1], letters[at]
    return _LATIN_ARABIC.sub(r"\1 \2", "".join(letters)) if letters else text


def _lines(text_page: Any, text: str, count: int) -> list[Line]:
    lines = []
    for found in _LINE.finditer(text):
        at, raw = found.start(), found[0]
        if raw.strip():
            first = min(at + len(raw) - len(raw.lstrip()), count - 1)
            last = min(at + len(raw.rstrip()) - 1, count - 1)
            left, top, bottom = _place(text_page, first)
            right = max(left, _box(text_page, last)[1])
            start_size, start_bold = _font(text_page, first)
            end_size, end_bold = _font(text_page, last)
            lines.append(
                Line(
                    text=_BREAK.sub("-", raw.strip("\r").lstrip()),
                    left=min(left, _box(text_page, last)[0]),
                    right=right,
                    top=top,
                    bottom=bottom,
                    size=round(max(start_size, end_size) * 2) / 2,
                    emphasised=start_bold and end_bold,
                )
            )
    return lines


def _place(text_page: Any, at: int) -> tuple[float, float, float]:
    """Left, top and bottom of a character, in points from the page's lower left corner."""
    box = pdfium.FS_RECTF()
    pdfium.FPDFText_GetLooseCharBox(text_page, at, box)
    return box.left, box.top, box.bottom


def _box(text_page: Any, at: int) -> tuple[float, float]:
    left, right, bottom, top = (ctypes.c_double() for _ in range(4))
    pdfium.FPDFText_GetCharBox(text_page, at, left, right, bottom, top)
    return left.value, right.value


def _font(text_page: Any, at: int) -> tuple[float, bool]:
    """Size in points on the page, and whether it is bold or italic."""
    matrix = pdfium.FS_MATRIX()
    pdfium.FPDFText_GetMatrix(text_page, at, matrix)
    scale = math.hypot(matrix.c, matrix.d) or 1.0
    name = ctypes.create_string_buffer(128)
    pdfium.FPDFText_GetFontInfo(text_page, at, name, 128, ctypes.c_int())
    emphasised = _EMPHASIS.search(name.value.decode("latin-1")) is not None
    return pdfium.FPDFText_GetFontSize(text_page, at) * scale, emphasised


def _corrupt() -> DocumentError:
    return DocumentError(FileReason.CORRUPT, "It cannot be read as pdf: it is damaged or incomplete.")
