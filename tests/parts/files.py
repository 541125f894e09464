"""Documents of every kind, made when a test runs: good ones, and such as strangers send."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from xml.sax.saxutils import escape

_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_P = 'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
_A = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
_R = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
_REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
_CONTAINER = (
    f'{_XML}<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OPS/book.opf"/></rootfiles></container>'
)


def zipped(parts: Mapping[str, str | bytes], *, stored: Iterable[str] = ()) -> bytes:
    """A zip archive of these parts."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content, zipfile.ZIP_STORED if name in stored else zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _rels(*links: tuple[str, str, str], external: Sequence[str] = ()) -> str:
    rows = "".join(
        f'<Relationship Id="{key}" Type="{_REL}/{kind}" Target="{target}"'
        + (' TargetMode="External"/>' if key in external else "/>")
        for key, kind, target in links
    )
    return (
        f'{_XML}<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        f"{rows}</Relationships>"
    )


def docx(body: str, **parts: str | bytes) -> bytes:
    """A Word document around this XML; more parts by name (`word__styles_xml` is word/styles.xml)."""
    styles = "".join(
        f'<w:style w:type="paragraph" w:styleId="H{n}"><w:name w:val="heading {n}"/></w:style>'
        for n in (1, 2, 3)
    )
    return zipped(
        {
            "[Content_Types].xml": f"{_XML}<Types/>",
            "_rels/.rels": _rels(("r1", "officeDocument", "word/document.xml")),
            "word/_rels/document.xml.rels": _rels(("s1", "styles", "styles.xml")),
            "word/styles.xml": f"{_XML}<w:styles {_W}>{styles}</w:styles>",
            "word/document.xml": f"{_XML}<w:document {_W} {_R}><w:body>{body}</w:body></w:document>",
        }
        | {
            name.replace("__", "/").replace("_xml", ".xml").replace("_bin", ".bin"): part
            for name, part in parts.items()
        }
    )


def w_paragraph(text: str, style: str = "") -> str:
    """One paragraph of a Word document."""
    properties = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f'<w:p>{properties}<w:r><w:t xml:space="preserve">{escape(text)}</w:t></w:r></w:p>'


def w_table(rows: Sequence[Sequence[str]]) -> str:
    """A table; cells are XML."""
    return (
        "<w:tbl>"
        + "".join(f"<w:tr>{''.join(f'<w:tc>{c}</w:tc>' for c in row)}</w:tr>" for row in rows)
        + "</w:tbl>"
    )


def pptx(slides: Sequence[tuple[str, Sequence[str]]], notes: Mapping[int, str] | None = None) -> bytes:
    """Slides of a title and points; notes by the slide's number, from 1."""
    parts: dict[str, str] = {
        "[Content_Types].xml": f"{_XML}<Types/>",
        "_rels/.rels": _rels(("r1", "officeDocument", "ppt/presentation.xml")),
        "ppt/_rels/presentation.xml.rels": _rels(
            *((f"s{n}", "slide", f"slides/slide{n}.xml") for n in range(1, len(slides) + 1))
        ),
        "ppt/presentation.xml": f"{_XML}<p:presentation {_P} {_R}><p:sldIdLst>"
        + "".join(f'<p:sldId id="{255 + n}" r:id="s{n}"/>' for n in range(1, len(slides) + 1))
        + "</p:sldIdLst></p:presentation>",
    }
    for number, (title, points) in enumerate(slides, 1):
        parts[f"ppt/slides/slide{number}.xml"] = _slide("sld", [("title", [title]), ("body", points)])
        if notes and number in notes:
            parts[f"ppt/slides/_rels/slide{number}.xml.rels"] = _rels(
                ("n1", "notesSlide", f"../notesSlides/notesSlide{number}.xml")
            )
            parts[f"ppt/notesSlides/notesSlide{number}.xml"] = _slide("notes", [("body", [notes[number]])])
    return zipped(parts)


def _slide(tag: str, shapes: Sequence[tuple[str, Sequence[str]]]) -> str:
    drawn = "".join(
        f'<p:sp><p:nvSpPr><p:nvPr><p:ph type="{place}"/></p:nvPr></p:nvSpPr><p:txBody>'
        + "".join(f"<a:p><a:r><a:t>{escape(text)}</a:t></a:r></a:p>" for text in texts)
        + "</p:txBody></p:sp>"
        for place, texts in shapes
    )
    return f"{_XML}<p:{tag} {_P} {_A}><p:cSld><p:spTree>{drawn}</p:spTree></p:cSld></p:{tag}>"


def epub(chapters: Sequence[str], *, doctype: str = "<!DOCTYPE html>") -> bytes:
    """A book; chapters are XHTML bodies."""
    names = [f"c{number}.xhtml" for number in range(1, len(chapters) + 1)]
    items = "".join(f'<item id="{n}" href="{n}" media-type="application/xhtml+xml"/>' for n in names)
    spine = "".join(f'<itemref idref="{n}"/>' for n in names)
    return zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": _CONTAINER,
            "OPS/book.opf": f'{_XML}<package xmlns="http://www.idpf.org/2007/opf" '
            'xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata><dc:title>A Book</dc:title></metadata>'
            f"<manifest>{items}</manifest><spine>{spine}</spine></package>",
        }
        | {
            f"OPS/{name}": f'{_XML}{doctype}<html xmlns="http://www.w3.org/1999/xhtml"><head><title/></head>'
            f"<body>{chapter}</body></html>"
            for name, chapter in zip(names, chapters, strict=True)
        },
        stored=["mimetype"],
    )


class PdfLine:
    """A line with its place from the lower left, its size in points and its font (2 is bold)."""

    def __init__(self, text: str, y: float, *, x: float = 72, size: float = 11, font: int = 1) -> None:
        self.text, self.x, self.y, self.size, self.font = text, x, y, size, font


def pdf(pages: Sequence[Sequence[PdfLine]], *, encrypted: bool = False, scanned: bool = False) -> bytes:
    """Latin-1 text on Letter pages. `scanned` draws a picture in place of text; nobody has the password."""
    objects: list[bytes] = []

    def add(content: bytes) -> int:
        objects.append(content)
        return len(objects)

    def stream(data: bytes, extra: bytes = b"") -> bytes:
        return b"<< /Length %d %s>>\nstream\n%s\nendstream" % (len(data), extra, data)

    catalog, tree = add(b"<< /Type /Catalog /Pages 2 0 R >>"), add(b"")
    regular = add(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
    bold = add(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding >>")
    gray = zlib.compress(bytes(64 * 64))
    image = add(
        stream(
            gray,
            b"/Type /XObject /Subtype /Image /Width 64 /Height 64 /ColorSpace /DeviceGray "
            b"/BitsPerComponent 8 /Filter /FlateDecode ",
        )
    )
    kids = []
    for lines in pages:
        content = b"q 400 0 0 400 72 200 cm /I Do Q" if scanned else b"\n".join(map(_drawn, lines))
        drawn = add(stream(content))
        kids.append(
            add(
                b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R "
                b"/Resources << /Font << /F1 %d 0 R /F2 %d 0 R >> /XObject << /I %d 0 R >> >> >>"
                % (drawn, regular, bold, image)
            )
        )
    objects[tree - 1] = b"<< /Type /Pages /Count %d /Kids [%s] >>" % (
        len(kids),
        b" ".join(b"%d 0 R" % kid for kid in kids),
    )
    trailer = b"/Root %d 0 R" % catalog
    if encrypted:
        key = add(b"<< /Filter /Standard /V 1 /R 2 /P -4 /O <%s> /U <%s> >>" % (b"41" * 32, b"42" * 32))
        trailer += b" /Encrypt %d 0 R /ID [<00> <00>]" % key
    out = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, content in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< /Size %d %s >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, trailer, start)
    return bytes(out)


def _drawn(line: PdfLine) -> bytes:
    text = line.text.encode("cp1252").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")
    return b"BT /F%d %f Tf %f %f Td (%s) Tj ET" % (line.font, line.size, line.x, line.y, text)


def pdf_text(paragraphs: Sequence[str], *, heading: str = "") -> bytes:
    """One page: a heading and paragraphs, one line each."""
    lines = [PdfLine(heading, 720, size=20)] if heading else []
    lines += [PdfLine(text, 680 - 40 * number) for number, text in enumerate(paragraphs)]
    return pdf([lines])


def ole(stream: str) -> bytes:
    """The beginning of an old Office file that has a stream of this name."""
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504) + stream.encode("utf-16-le") + bytes(4096)


def png() -> bytes:
    """A picture of one pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0\0"))
        + chunk(b"IEND", b"")
    )
