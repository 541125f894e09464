"""XML without its dangers: no entities, no external anything, bounded depth."""

from __future__ import annotations

from typing import Any

from lxml import etree

from retrieval_service.documents.errors import DocumentError, FileReason


def parse(data: bytes, *, doctype: bool = False) -> Any:
    """The root element. `doctype` allows a document type that declares nothing.

    Raises DocumentError: FORBIDDEN_CONTENT, TOO_LARGE (libxml2's bounds: depth 256, 10 MB a text) or CORRUPT.
    """
    check(data, doctype=doctype)
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False,
        remove_comments=True, remove_pis=True,
    )  # fmt: skip
    try:
        return etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        words = str(error).lower()
        if "memory" in words:
            raise MemoryError from None
        if "depth" in words or "too long" in words or "huge" in words:
            raise DocumentError(FileReason.TOO_LARGE, "Its XML is nested too deeply or too large.") from None
        if "entit" in words and "loop" in words:
            raise _forbidden() from None
        raise DocumentError(FileReason.CORRUPT, "Its XML is damaged or incomplete.") from None


def check(data: bytes, *, doctype: bool = False) -> None:
    """Raises DocumentError(FORBIDDEN_CONTENT) for a document type, or one that declares anything."""
    # Without its zeros, UTF-16 reads as ASCII does.
    plain = data.replace(b"\0", b"") if b"\0" in data[:200] else data
    if b"<!ENTITY" in plain:
        raise _forbidden()
    at = plain.find(b"<!DOCTYPE")
    if at >= 0 and (not doctype or b"[" in plain[at : plain.find(b">", at)]):
        raise _forbidden()


def _forbidden() -> DocumentError:
    return DocumentError(FileReason.FORBIDDEN_CONTENT, "It declares XML entities or a document type.")
