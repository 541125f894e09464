"""One file to one `Parsed`: what is it, who reads it, and what a failure means."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from retrieval_service.documents.errors import DocumentError, FileReason
from retrieval_service.documents.parsed import Parsed
from retrieval_service.parsing import encoding
from retrieval_service.parsing.blocks import Blocks
from retrieval_service.parsing.formats import plain
from retrieval_service.parsing.kinds import EXTENSIONS, Kind, extension, kind_of
from retrieval_service.parsing.limits import ParserLimits

encoding.preload()


def read(file: BinaryIO, filename: str, limits: ParserLimits) -> Parsed:
    """Raises DocumentError, MemoryError or RecursionError, and nothing else."""
    blocks = Blocks(limits)
    kind = kind_of(file, filename)
    named = EXTENSIONS.get(extension(filename))
    if named is not None and named is not kind:
        blocks.note(f"It is called .{extension(filename)}, but was read as {kind.value}.")
    try:
        media_type = _READERS[kind](file, blocks)
        return blocks.parsed(media_type)
    except (DocumentError, MemoryError, RecursionError):
        raise
    except Exception:
        # Whatever else a library raises on a file, it could not read it; its words may quote the document.
        raise DocumentError(
            FileReason.CORRUPT, f"It cannot be read as {kind.value}: it is damaged or incomplete."
        ) from None


def _text(file: BinaryIO, blocks: Blocks) -> str:
    text, name = encoding.decode(file.read())
    if not name.startswith("utf"):
        blocks.note(f"Its encoding is not declared; it was read as {name}.")
    return text


def _read_plain(file: BinaryIO, blocks: Blocks) -> str:
    plain.read(_text(file, blocks), blocks)
    return plain.MEDIA_TYPE


_READERS: dict[Kind, Callable[[BinaryIO, Blocks], str]] = {
    Kind.TEXT: _read_plain,
}
