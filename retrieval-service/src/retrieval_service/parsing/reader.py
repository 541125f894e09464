"""One file to one `Parsed`: what is it, who reads it, and what a failure means."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from retrieval_service.documents.errors import DocumentError, FileReason
from retrieval_service.documents.parsed import Parsed
from retrieval_service.parsing import encoding
from retrieval_service.parsing.blocks import Blocks
from retrieval_service.parsing.formats import (
    code,
    csv,
    docx,
    email,
    epub,
    html,
    json,
    markdown,
    pdf,
    plain,
    pptx,
    xlsx,
    xml,
)
from retrieval_service.parsing.kinds import EXTENSIONS, Kind, extension, kind_of
from retrieval_service.parsing.limits import ParserLimits

encoding.preload()


def read(file: BinaryIO, filename: str, limits: ParserLimits) -> Parsed:
    """Raises DocumentError, MemoryError or RecursionError, and nothing else."""
    blocks = Blocks(limits)
    return blocks.parsed(_read_into(file, filename, blocks, 0))


def _read_into(file: BinaryIO, filename: str, blocks: Blocks, depth: int) -> str:
    kind = kind_of(file, filename)
    named = EXTENSIONS.get(extension(filename))
    if named is not None and named is not kind:
        blocks.note(f"It is called .{extension(filename)}, but was read as {kind.value}.")
    try:
        if kind is Kind.EMAIL:
            return _read_email(file, blocks, depth)
        if kind in _BINARY:
            read_file, media_type = _BINARY[kind]
            read_file(file, blocks)
        elif kind is Kind.XML:
            media_type = xml.MEDIA_TYPE
            xml.read(file.read(), blocks)
        else:
            read_text, media_type = _TEXT[kind]
            read_text(_decoded(file.read(), blocks, markup=kind is Kind.HTML), blocks)
    except (DocumentError, MemoryError, RecursionError):
        raise
    except Exception:
        # Whatever else a library raises on a file, it could not read it; its words may quote the document.
        raise DocumentError(
            FileReason.CORRUPT, f"It cannot be read as {kind.value}: it is damaged or incomplete."
        ) from None
    return media_type


def _read_email(file: BinaryIO, blocks: Blocks, depth: int) -> str:
    def attachment(content: BinaryIO, name: str, into: Blocks) -> None:
        if not content.read(1):
            raise DocumentError(FileReason.EMPTY, "It is empty.")
        _read_into(content, name, into, depth + 1)

    email.read(file, blocks, attachment, depth)
    return email.MEDIA_TYPE


def _decoded(data: bytes, blocks: Blocks, *, markup: bool) -> str:
    text, name = encoding.decode(data, markup=markup)
    if name == encoding.DAMAGED:
        blocks.note("A few of its bytes are no text and were left out.")
        text = text.replace("\ufffd", "")
    elif not markup and not name.startswith("utf"):
        blocks.note(f"Its encoding is not declared; it was read as {name}.")
    return text


_BINARY: dict[Kind, tuple[Callable[[BinaryIO, Blocks], None], str]] = {
    Kind.PDF: (pdf.read, pdf.MEDIA_TYPE),
    Kind.DOCX: (docx.read, docx.MEDIA_TYPE),
    Kind.PPTX: (pptx.read, pptx.MEDIA_TYPE),
    Kind.XLSX: (xlsx.read, xlsx.MEDIA_TYPE),
    Kind.EPUB: (epub.read, epub.MEDIA_TYPE),
}
_TEXT: dict[Kind, tuple[Callable[[str, Blocks], None], str]] = {
    Kind.TEXT: (plain.read, plain.MEDIA_TYPE),
    Kind.CODE: (code.read, code.MEDIA_TYPE),
    Kind.HTML: (html.read, html.MEDIA_TYPE),
    Kind.MARKDOWN: (markdown.read, markdown.MEDIA_TYPE),
    Kind.CSV: (csv.read, csv.MEDIA_TYPE),
    Kind.JSON: (json.read, json.MEDIA_TYPE),
    Kind.JSONL: (json.read_lines, json.LINES_MEDIA_TYPE),
}
