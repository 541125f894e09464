"""E-books: the chapters in the order of their spine."""

from __future__ import annotations

import re
from typing import BinaryIO

from retrieval_service.documents.errors import DocumentError, FileReason
from retrieval_service.parsing.archive import Archive, resolve
from retrieval_service.parsing.blocks import Blocks
from retrieval_service.parsing.encoding import decode
from retrieval_service.parsing.formats import html
from retrieval_service.parsing.formats.ooxml import local
from retrieval_service.parsing.safexml import check, parse

MEDIA_TYPE = "application/epub+zip"
_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_FONTS = re.compile(rb"http://(?:www\.idpf\.org/2008/embedding|ns\.adobe\.com/pdf/enc#RC)")
_CHAPTERS = ("application/xhtml+xml", "text/html")
# HTML has no such thing as an element that closes itself, and would read on inside it.
_SELF_CLOSED = re.compile(r"<(title|script|style|a|div|span|p|i|b|em|td|th|li|h[1-6]|iframe)(\s[^<>]*)?/>")


def read(file: BinaryIO, blocks: Blocks) -> None:
    """Books that are locked by their seller are PASSWORD_PROTECTED."""
    archive = Archive(file, blocks.limits)
    if _ENCRYPTION in archive and _is_locked(archive.read(_ENCRYPTION)):
        raise DocumentError(FileReason.PASSWORD_PROTECTED, "Its text is locked by its publisher.")
    container = parse(archive.read(_CONTAINER))
    package = next(element.get("full-path") for element in container.iter("{*}rootfile"))
    root = parse(archive.read(package), doctype=True)
    for title in root.iter("{http://purl.org/dc/elements/1.1/}title"):
        blocks.title = blocks.title or (title.text or "")
    items = {item.get("id"): item for item in root.iter("{*}item")}
    for reference in root.iter("{*}itemref"):
        item = items.get(reference.get("idref"))
        if item is None or item.get("media-type") not in _CHAPTERS:
            continue
        if "nav" in (item.get("properties") or "").split():
            continue  # the table of contents
        part = resolve(package, item.get("href", ""))
        if part not in archive:
            blocks.note("A chapter that its contents name is missing.")
            continue
        data = archive.read(part)
        check(data, doctype=True)
        text, _ = decode(data, markup=True)
        html.read(_SELF_CLOSED.sub(r"<\1\2></\1>", text), blocks)


def _is_locked(data: bytes) -> bool:
    """Whether anything but fonts is encrypted: hiding those is usual in free books."""
    methods = [
        element.get("Algorithm", "") for element in parse(data).iter() if local(element) == "EncryptionMethod"
    ]
    return any(not _FONTS.match(method.encode()) for method in methods)
