"""Messages between the service and a parser process: four bytes of length, then JSON of plain data.

The child has read a stranger's bytes, so the service believes nothing of what it says: lengths are bounded
before anything is read, and every field is checked as it becomes a `Parsed` or an error. Nothing is
unpickled.
"""

from __future__ import annotations

import struct
from typing import Any, TypeVar

import orjson

from retrieval_service.documents.errors import DocumentError, FileReason
from retrieval_service.documents.parsed import Block, BlockKind, Parsed

_T = TypeVar("_T")

LENGTH = struct.Struct("<I")

_KINDS = tuple(BlockKind)
_NUMBERS = {kind: number for number, kind in enumerate(_KINDS)}
_NOTES = 50
_NOTE_CHARS = 1_000
_TITLE_CHARS = 1_000
_MEDIA_TYPE_CHARS = 200


class Malformed(Exception):
    """What the child sent is no message of ours."""


def pack(message: Any) -> bytes:
    """One message as bytes."""
    body = orjson.dumps(message)
    return LENGTH.pack(len(body)) + body


def parsed_to_wire(parsed: Parsed) -> dict[str, Any]:
    """Columns rather than rows: four lists take a fraction of the time of a million small ones."""
    return {
        "kinds": [_NUMBERS[block.kind] for block in parsed.blocks],
        "texts": [block.text for block in parsed.blocks],
        "levels": [block.level for block in parsed.blocks],
        "pages_of": [block.page for block in parsed.blocks],
        "media_type": parsed.media_type[:_MEDIA_TYPE_CHARS],
        "title": parsed.title[:_TITLE_CHARS],
        "pages": parsed.pages,
        "notes": [note[:_NOTE_CHARS] for note in parsed.notes[:_NOTES]],
    }


def fault_to_wire(error: DocumentError) -> dict[str, Any]:
    """A refusal: a reason and its sentence."""
    return {"reason": error.fault.reason.value, "message": error.fault.message}


def read_answer(body: bytes) -> Parsed:
    """The child's answer. Raises DocumentError if that is the answer, Malformed if it is none."""
    try:
        message = orjson.loads(body)
    except ValueError:
        raise Malformed from None
    if not isinstance(message, dict):
        raise Malformed
    if "reason" in message:
        raise _fault(message)
    return _parsed(message)


def _fault(message: dict[str, Any]) -> DocumentError:
    try:
        reason = FileReason(message["reason"])
    except ValueError:
        raise Malformed from None
    return DocumentError(reason, _string(message.get("message"), _NOTE_CHARS))


def _parsed(message: dict[str, Any]) -> Parsed:
    texts = _list(message.get("texts"), str)
    kinds = _list(message.get("kinds"), int)
    levels = _list(message.get("levels"), int)
    pages_of = _list(message.get("pages_of"), int)
    if not len(texts) == len(kinds) == len(levels) == len(pages_of):
        raise Malformed
    if any(not 0 <= kind < len(_KINDS) for kind in kinds):
        raise Malformed
    notes = _list(message.get("notes"), str)
    pages = message.get("pages")
    if not isinstance(pages, int) or len(notes) > _NOTES:
        raise Malformed
    return Parsed(
        blocks=tuple(
            Block(_KINDS[kind], text, level, page)
            for kind, text, level, page in zip(kinds, texts, levels, pages_of, strict=True)
        ),
        media_type=_string(message.get("media_type"), _MEDIA_TYPE_CHARS),
        title=_string(message.get("title"), _TITLE_CHARS),
        pages=pages,
        notes=tuple(_string(note, _NOTE_CHARS) for note in notes),
    )


def _list(value: object, of: type[_T]) -> list[_T]:
    if not isinstance(value, list) or any(type(item) is not of for item in value):
        raise Malformed
    return value


def _string(value: object, limit: int) -> str:
    if not isinstance(value, str) or len(value) > limit:
        raise Malformed
    return value
