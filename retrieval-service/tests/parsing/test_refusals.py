"""Files that cannot be read, or must not be: each has its reason."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Callable
from email.message import EmailMessage

import openpyxl
import pytest
from parts import files
from parts.files import PdfLine, w_paragraph

from retrieval_service.documents.errors import FileReason
from retrieval_service.documents.parsed import Parsed
from retrieval_service.parsing.limits import ParserLimits

Read = Callable[..., Parsed]
Refused = Callable[..., FileReason]

_RUBBISH = random.Random(7).randbytes(5000)
_ENTITIES = '<!DOCTYPE l [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;">]>'
_EXTERNAL = '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>'


def _xlsx() -> bytes:
    book = openpyxl.Workbook()
    book.active.append(["a", "b"])
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


_GOOD: dict[str, bytes] = {
    "a.pdf": files.pdf_text(["Some words that are long enough to be cut somewhere in the middle."]),
    "a.docx": files.docx(w_paragraph("Some words.")),
    "a.pptx": files.pptx([("Title", ["Point"])]),
    "a.xlsx": _xlsx(),
    "a.epub": files.epub(["<p>Some words.</p>"]),
    "a.json": b'{"a": [1, 2, 3], "b": "some words"}',
    "a.jsonl": b'{"a": 1}\n{"b": "some words"}',
}


@pytest.mark.parametrize("name", _GOOD)
def test_the_good_ones_are_good(read_bytes: Read, name: str) -> None:
    assert read_bytes(name, _GOOD[name]).text


@pytest.mark.parametrize("name", _GOOD)
def test_truncated_files_are_corrupt(refused: Refused, name: str) -> None:
    data = _GOOD[name]
    cut = data[:100] if name == "a.pdf" else data[: len(data) * 2 // 3]
    assert refused(name, cut) is FileReason.CORRUPT


@pytest.mark.parametrize("name", ["a.docx", "a.pptx", "a.xlsx", "a.epub"])
def test_damaged_archives_are_corrupt(refused: Refused, name: str) -> None:
    data = bytearray(_GOOD[name])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.compress_size)
        at = largest.header_offset + 30 + len(largest.filename)
        for entry in archive.infolist():
            middle = entry.header_offset + 30 + len(entry.filename) + entry.compress_size // 2
            data[middle] ^= 0xFF
    data[at] ^= 0xFF
    assert refused(name, bytes(data)) is FileReason.CORRUPT


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("a.docx", "word/document.xml"),
        ("a.pptx", "ppt/slides/slide1.xml"),
        ("a.epub", "META-INF/container.xml"),
    ],
)
def test_archives_without_their_main_part_are_corrupt(refused: Refused, name: str, missing: str) -> None:
    with zipfile.ZipFile(io.BytesIO(_GOOD[name])) as archive:
        parts = {entry: archive.read(entry) for entry in archive.namelist() if entry != missing}
    assert refused(name, files.zipped(parts)) is FileReason.CORRUPT


@pytest.mark.parametrize("name", ["a.pdf", "a.docx", "a.xlsx"])
def test_nothing_of_the_kind_that_the_name_says(refused: Refused, name: str) -> None:
    assert refused(name, _RUBBISH) is FileReason.WRONG_EXTENSION


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.md", "a.json", "a.py"])
def test_rubbish_is_no_text(refused: Refused, name: str) -> None:
    assert refused(name, _RUBBISH) is FileReason.UNKNOWN_ENCODING


def test_a_name_without_meaning_and_content_without_form(refused: Refused) -> None:
    assert refused("noname", _RUBBISH) is FileReason.UNSUPPORTED_FORMAT


@pytest.mark.parametrize(
    ("name", "of", "called"),
    [
        ("a.pdf", "a.docx", ".pdf"),
        ("a.docx", "a.pdf", ".docx"),
        ("a.txt", "a.epub", ".txt"),
        ("a.csv", "a.xlsx", ".csv"),
    ],
)
def test_another_known_kind_is_read_with_a_note(read_bytes: Read, name: str, of: str, called: str) -> None:
    parsed = read_bytes(name, _GOOD[of])
    assert parsed.text == read_bytes(of, _GOOD[of]).text
    assert called in parsed.notes[0]


def test_text_that_is_called_pdf_is_read_as_text(read_bytes: Read) -> None:
    parsed = read_bytes("a.pdf", "Only words.")
    assert (parsed.text, parsed.media_type) == ("Only words.", "text/plain")
    assert parsed.notes == ("It is called .pdf, but was read as txt.",)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.png", files.png()),
        ("a.pdf", files.png()),
        ("a.exe", b"MZ\x90\0" + bytes(200)),
        ("a", b"\x7fELF" + bytes(200)),
        ("a.zip", files.zipped({"readme.txt": "hello"})),
        ("a.gz", b"\x1f\x8b\x08" + bytes(100)),
        ("a.odt", files.zipped({"mimetype": "application/vnd.oasis.opendocument.text"}, stored=["mimetype"])),
        ("a.rtf", rb"{\rtf1 hello}"),
        ("a.doc", files.ole("WordDocument")),
        ("a.xls", files.ole("Workbook")),
        ("a.ppt", files.ole("PowerPoint Document")),
    ],
)
def test_other_formats_are_not_supported(refused: Refused, name: str, data: bytes) -> None:
    assert refused(name, data) is FileReason.UNSUPPORTED_FORMAT


def test_passwords(refused: Refused) -> None:
    locked = bytearray(files.zipped({"word/document.xml": "x"}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[locked.index(signature) + offset] |= 1
    assert refused("a.pdf", files.pdf([[]], encrypted=True)) is FileReason.PASSWORD_PROTECTED
    assert refused("a.docx", files.ole("EncryptedPackage")) is FileReason.PASSWORD_PROTECTED
    assert refused("a.docx", bytes(locked)) is FileReason.PASSWORD_PROTECTED


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.pdf", files.pdf([[], []], scanned=True)),
        ("a.docx", files.docx(w_paragraph(" "))),
        ("a.pptx", files.pptx([("", [])])),
        ("a.txt", b" \n\t\n"),
        ("a.html", b"<html><body><img src=x></body></html>"),
        ("a.json", b"[]"),
        ("a.md", b"---\n---\n"),
    ],
)
def test_no_text(refused: Refused, name: str, data: bytes) -> None:
    assert refused(name, data) is FileReason.NO_TEXT


@pytest.mark.parametrize("prolog", [_ENTITIES, _EXTERNAL, '<!DOCTYPE r SYSTEM "http://127.0.0.1:9/x.dtd">'])
def test_entities_are_forbidden(refused: Refused, prolog: str) -> None:
    part = f'<?xml version="1.0"?>{prolog}<r>&c;</r>'
    assert refused("a.docx", files.docx("", word__document_xml=part)) is FileReason.FORBIDDEN_CONTENT
    wide = part.replace("?>", ' encoding="UTF-16"?>', 1).encode("utf-16")
    assert refused("a.docx", files.docx("", word__document_xml=wide)) is FileReason.FORBIDDEN_CONTENT
    with zipfile.ZipFile(io.BytesIO(_xlsx())) as archive:
        parts: dict[str, str | bytes] = {name: archive.read(name) for name in archive.namelist()}
    for name in ("xl/worksheets/sheet1.xml", "xl/workbook.xml", "xl/sharedStrings.xml"):
        assert refused("a.xlsx", files.zipped(parts | {name: part})) is FileReason.FORBIDDEN_CONTENT


@pytest.mark.parametrize("prolog", [_ENTITIES, _EXTERNAL])
def test_entities_are_forbidden_in_books_and_xml(refused: Refused, prolog: str) -> None:
    assert refused("a.xml", f"<?xml version='1.0'?>{prolog}<r>&x;</r>") is FileReason.FORBIDDEN_CONTENT
    assert refused("a.epub", files.epub(["<p>&x;</p>"], doctype=prolog)) is FileReason.FORBIDDEN_CONTENT


def _bomb(name: str, size: int) -> bytes:
    with zipfile.ZipFile(io.BytesIO(_GOOD[name])) as archive:
        parts: dict[str, str | bytes] = {entry: archive.read(entry) for entry in archive.namelist()}
    return files.zipped(parts | {"bomb.xml": bytes(size)})


@pytest.mark.parametrize("name", ["a.docx", "a.pptx", "a.xlsx", "a.epub"])
def test_bombs_are_refused_by_ratio_and_by_size(
    refused: Refused, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    by_ratio = _bomb(name, 40 << 20)
    assert len(by_ratio) < 100_000
    by_size = _bomb(name, 3 << 20)

    def unpack(*_: object) -> None:
        raise AssertionError("unpacked")

    real = zipfile.ZipFile.read
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda a, n: real(a, n) if n == "mimetype" else unpack())
    assert refused(name, by_ratio) is FileReason.TOO_LARGE
    assert refused(name, by_size, ParserLimits(unpacked_bytes=1 << 20)) is FileReason.TOO_LARGE


def test_a_part_that_is_larger_than_it_says_is_not_unpacked(refused: Refused) -> None:
    text = "x" * 100_000
    data = bytearray(files.docx(w_paragraph(text)))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        true = archive.getinfo("word/document.xml").file_size
    lie = (100).to_bytes(4, "little")
    at = 0
    while (at := data.find(true.to_bytes(4, "little"), at)) >= 0:
        data[at : at + 4] = lie
    assert refused("a.docx", bytes(data)) is FileReason.CORRUPT


def test_too_many_parts(refused: Refused) -> None:
    many = files.zipped({f"word/{number}.xml": "" for number in range(50)})
    assert refused("a.docx", many, ParserLimits(archive_entries=40)) is FileReason.TOO_LARGE


def test_archives_in_archives_are_not_opened(read_bytes: Read) -> None:
    inner = files.zipped({"word/document.xml": bytes(10 << 20)})
    assert read_bytes("a.docx", files.docx(w_paragraph("outer"), inner__zip=inner)).text == "outer"


def test_too_much_text_pages_or_parts(refused: Refused) -> None:
    small = ParserLimits(text_chars=1000, pages=2, blocks=5)
    assert refused("a.txt", "x" * 1001, small) is FileReason.TOO_LARGE
    assert refused("a.txt", "x\n\n" * 6, small) is FileReason.TOO_LARGE
    assert refused("a.pdf", files.pdf([[]] * 3), small) is FileReason.TOO_LARGE
    assert refused("a.pptx", files.pptx([("t", [])] * 3), small) is FileReason.TOO_LARGE
    long = files.pdf([[PdfLine("y" * 90, 780 - 12 * n, size=5) for n in range(60)]])
    assert refused("a.pdf", long, small) is FileReason.TOO_LARGE


def test_deep_nesting(refused: Refused) -> None:
    assert refused("a.html", "<div>" * 5000 + "x") is FileReason.TOO_LARGE
    assert refused("a.xml", "<a>" * 5000 + "</a>" * 5000) is FileReason.TOO_LARGE
    deep = "<w:sdt><w:sdtContent>" * 300 + w_paragraph("x") + "</w:sdtContent></w:sdt>" * 300
    assert refused("a.docx", files.docx(deep)) is FileReason.TOO_LARGE


@pytest.mark.parametrize("data", ["[" * 100_000 + "]" * 100_000, '{"a":' * 5000 + "1" + "}" * 5000])
def test_deep_json(read_bytes: Read, data: str) -> None:
    with pytest.raises(RecursionError):  # the worker says TOO_LARGE
        read_bytes("a.json", data)


def test_deeply_nested_mail_ends(read_bytes: Read) -> None:
    message = EmailMessage()
    message["Subject"] = "inner"
    message["From"] = "a@example.org"
    message.set_content("innermost")
    for level in range(6):
        outer = EmailMessage()
        outer["Subject"] = f"level {level}"
        outer["From"] = "a@example.org"
        outer.set_content("see attached")
        outer.add_attachment(message)
        message = outer
    parsed = read_bytes("a.eml", message.as_bytes())
    assert "innermost" not in parsed.text
    assert "nested too deeply" in parsed.notes[0]


def test_a_sheet_that_lies_about_its_size(read_bytes: Read) -> None:
    with zipfile.ZipFile(io.BytesIO(_xlsx())) as archive:
        parts: dict[str, str | bytes] = {name: archive.read(name) for name in archive.namelist()}
    sheet = bytes(parts["xl/worksheets/sheet1.xml"])  # type: ignore[arg-type]
    assert b'ref="A1:B1"' in sheet
    lie = sheet.replace(b'ref="A1:B1"', b'ref="A1:XFD1048576"')
    assert (
        read_bytes("a.xlsx", files.zipped(parts | {"xl/worksheets/sheet1.xml": lie})).text == "Sheet\n\na | b"
    )


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd.txt", "C:\\windows\\a.TXT", "a\0\x1b[31m\n.txt", "\u202egpj.txt", "x" * 5000 + ".txt"],
)
def test_names_are_only_asked_for_their_extension(read_bytes: Read, name: str) -> None:
    assert read_bytes(name, "Some words.").text == "Some words."
