"""What a file is: its content decides, its name only where content cannot."""

from __future__ import annotations

import re
import zipfile
from enum import StrEnum
from pathlib import PurePosixPath
from typing import BinaryIO

from retrieval_service.documents.errors import DocumentError, FileReason
from retrieval_service.parsing import encoding

_HEAD = 8192


class Kind(StrEnum):
    """What can be read."""

    PDF = "pdf"
    DOCX = "docx"
    PPTX = "pptx"
    XLSX = "xlsx"
    EPUB = "epub"
    HTML = "html"
    XML = "xml"
    MARKDOWN = "md"
    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"
    EMAIL = "eml"
    CODE = "code"
    TEXT = "txt"


_CODE = """
    c cc cpp h hpp cs css go java js jsx ts tsx kt lua m php pl proto py pyi r rb rs scala sh sql swift tex
    toml yaml yml ini cfg conf diff patch
"""
EXTENSIONS: dict[str, Kind] = {
    "pdf": Kind.PDF,
    **dict.fromkeys(("docx", "docm", "dotx", "dotm"), Kind.DOCX),
    **dict.fromkeys(("pptx", "pptm", "ppsx", "potx"), Kind.PPTX),
    **dict.fromkeys(("xlsx", "xlsm", "xltx"), Kind.XLSX),
    "epub": Kind.EPUB,
    **dict.fromkeys(("html", "htm", "xhtml"), Kind.HTML),
    "xml": Kind.XML,
    **dict.fromkeys(("md", "markdown", "mdx"), Kind.MARKDOWN),
    **dict.fromkeys(("csv", "tsv", "tab"), Kind.CSV),
    **dict.fromkeys(("json", "geojson", "ipynb"), Kind.JSON),
    **dict.fromkeys(("jsonl", "ndjson"), Kind.JSONL),
    **dict.fromkeys(("eml", "mht", "mhtml"), Kind.EMAIL),
    **dict.fromkeys(_CODE.split(), Kind.CODE),
    **dict.fromkeys(("txt", "text", "log", "rst", "adoc", "org", "srt", "vtt"), Kind.TEXT),
}
_BINARY = {Kind.PDF, Kind.DOCX, Kind.PPTX, Kind.XLSX, Kind.EPUB}

_OTHER_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"GIF8", "an image"),
    (b"BM", "an image"),
    (b"II*\0", "an image"),
    (b"MM\0*", "an image"),
    (b"8BPS", "an image"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"\xcf\xfa\xed\xfe", "a program"),
    (b"\0asm", "a program"),
    (b"\x1f\x8b", "an archive"),
    (b"BZh", "an archive"),
    (b"\xfd7zXZ\0", "an archive"),
    (b"7z\xbc\xaf\x27\x1c", "an archive"),
    (b"Rar!", "an archive"),
    (b"\x28\xb5\x2f\xfd", "an archive"),
    (b"OggS", "sound or video"),
    (b"ID3", "sound or video"),
    (b"fLaC", "sound or video"),
    (b"\x1aE\xdf\xa3", "sound or video"),
    (b"SQLite format 3\0", "a database"),
    (b"wOFF", "a font"),
    (b"wOF2", "a font"),
)
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OLE_STREAMS = (
    ("EncryptedPackage", "", ""),
    ("WordDocument", "Word document", "docx"),
    ("Workbook", "Excel workbook", "xlsx"),
    ("Book", "Excel workbook", "xlsx"),
    ("PowerPoint Document", "PowerPoint presentation", "pptx"),
    ("__properties_version1.0", "Outlook message", "eml"),
)
_HTML_START = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.{0,2000}?-->\s*)*<(?:!doctype\s+html|html[\s>])", re.I | re.S
)
_XML_START = re.compile(rb"\s*<\?xml\s")
_EMAIL_START = re.compile(
    rb"(?:From [^\n]*\n)?(?:[A-Za-z][A-Za-z0-9-]*:[^\n]*\n(?:[ \t][^\n]*\n)*){2,}", re.S
)
_EMAIL_FIELD = re.compile(
    rb"^(?:from|to|subject|date|received|message-id|mime-version|return-path):", re.I | re.M
)


def extension(filename: str) -> str:
    """The last extension of a name, in lower case and without its dot. Names with paths are taken apart."""
    return PurePosixPath(filename.replace("\\", "/")).suffix[1:].lower()


def kind_of(file: BinaryIO, filename: str) -> Kind:
    """What the file is, by its content first. Raises DocumentError; leaves the file at its start."""
    file.seek(0)
    head = file.read(_HEAD)
    named = EXTENSIONS.get(extension(filename))
    try:
        return _by_magic(file, head) or _as_text(head, named)
    finally:
        file.seek(0)


def _by_magic(file: BinaryIO, head: bytes) -> Kind | None:
    if b"%PDF-" in head[:1024]:
        return Kind.PDF
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return _in_zip(file)
    if head.startswith(_OLE):
        raise _ole(file)
    if head.startswith(b"{\\rtf"):
        raise _unsupported("It is in Rich Text Format: save it as docx.")
    if head[4:8] == b"ftyp" or (head.startswith(b"RIFF") and head[8:12] in (b"WAVE", b"AVI ")):
        raise _unsupported("It is sound or video, which is not read.")
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        raise _unsupported("It is an image, which is not read.")
    if head[257:262] == b"ustar":
        raise _unsupported("It is an archive: upload the files that are in it.")
    for magic, what in _OTHER_MAGIC:
        if head.startswith(magic) and not (
            magic.isalnum() and len(magic) < 4 and encoding.is_text(head, whole=len(head) < _HEAD)
        ):
            advice = ": upload the files that are in it." if what == "an archive" else ", which is not read."
            raise _unsupported(f"It is {what}{advice}")
    return None


def _in_zip(file: BinaryIO) -> Kind:
    try:
        with zipfile.ZipFile(file) as archive:
            names = set(archive.namelist())
            mimetype = archive.read("mimetype")[:200] if "mimetype" in names and _small(archive) else b""
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, OSError, RuntimeError):
        raise DocumentError(FileReason.CORRUPT, "It is a damaged or incomplete zip container.") from None
    if mimetype.startswith(b"application/epub+zip") or "META-INF/container.xml" in names:
        return Kind.EPUB
    if mimetype.startswith(b"application/vnd.oasis.opendocument"):
        raise _unsupported("It is an OpenDocument file: save it as docx, xlsx, pptx or pdf.")
    if "xl/workbook.bin" in names:
        raise _unsupported("It is a binary Excel workbook: save it as xlsx.")
    for folder, kind in (("word/", Kind.DOCX), ("ppt/", Kind.PPTX), ("xl/", Kind.XLSX)):
        if any(name.startswith(folder) for name in names):
            return kind
    raise _unsupported("It is an archive: upload the files that are in it.")


def _small(archive: zipfile.ZipFile) -> bool:
    return archive.getinfo("mimetype").file_size < 1000


def _ole(file: BinaryIO) -> DocumentError:
    """The container of Office before 2007, and of encrypted files since; its streams' names are UTF-16."""
    file.seek(0)
    content = file.read(64 << 20)
    for name, what, target in _OLE_STREAMS:
        if name.encode("utf-16-le") in content:
            if not what:
                return DocumentError(FileReason.PASSWORD_PROTECTED, "It is protected with a password.")
            return _unsupported(f"It is an old {what}: save it as {target}.")
    return _unsupported("It is in an old Office format: save it as docx, xlsx, pptx or pdf.")


def _as_text(head: bytes, named: Kind | None) -> Kind:
    if not encoding.is_text(head, whole=len(head) < _HEAD):
        if named is None:
            raise _unsupported("Its format is not known.")
        if named in _BINARY:
            raise DocumentError(
                FileReason.WRONG_EXTENSION, f"It is called .{named.value}, but is no such file."
            )
        raise DocumentError(FileReason.UNKNOWN_ENCODING, "Its bytes are text in no encoding that is known.")
    if named is None or named in _BINARY or named is Kind.TEXT:
        # Of what is called .txt only the unmistakable is believed to be something else.
        if _HTML_START.match(head):
            return Kind.HTML
        if named is not Kind.TEXT:
            if _XML_START.match(head):
                return Kind.XML
            if _is_email(head):
                return Kind.EMAIL
        return Kind.TEXT
    if named is Kind.XML and _HTML_START.match(head):
        return Kind.HTML
    if named is Kind.EMAIL and not _is_email(head):
        return Kind.TEXT
    return named


def _is_email(head: bytes) -> bool:
    found = _EMAIL_START.match(head.replace(b"\r\n", b"\n"))
    return found is not None and len(_EMAIL_FIELD.findall(found[0])) >= 2


def _unsupported(message: str) -> DocumentError:
    return DocumentError(FileReason.UNSUPPORTED_FORMAT, message)
