"""Good documents as the usual programs write them, made while a test runs; `files` makes those by hand."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from email.message import EmailMessage

import docx
import openpyxl
import pptx


def word(heading: str, text: str) -> bytes:
    """A docx with a heading and a paragraph."""
    document = docx.Document()
    document.add_heading(heading, level=1)
    document.add_paragraph(text)
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def slides(title: str, *texts: str) -> bytes:
    """A pptx: a slide with this title for each text."""
    deck = pptx.Presentation()
    for text in texts:
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = text
    out = io.BytesIO()
    deck.save(out)
    return out.getvalue()


def workbook(sheet: str, rows: Sequence[Sequence[object]]) -> bytes:
    """An xlsx of one sheet, its first row the header."""
    book = openpyxl.Workbook()
    page = book.active
    page.title = sheet
    for row in rows:
        page.append(list(row))
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def mail(subject: str, text: str) -> bytes:
    """An e-mail in plain text."""
    message = EmailMessage()
    message["From"], message["To"] = "ada@example.org", "all@example.org"
    message["Subject"], message["Date"] = subject, "Mon, 02 Mar 2026 10:00:00 +0000"
    message["Message-ID"] = "<1@example.org>"
    message.set_content(text)
    return message.as_bytes()


def page(title: str, text: str) -> bytes:
    """A web page with a heading, a paragraph, and what is no text."""
    script = "<script>var hidden = 'not for readers'</script>"
    return (
        f"<!doctype html><html><head><title>{title}</title>{script}</head>"
        f"<body><h1>{title}</h1><p>{text}</p></body></html>"
    ).encode()


def records(**fields: object) -> bytes:
    """A JSON object."""
    return json.dumps(fields).encode()
