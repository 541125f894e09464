"""E-mails as files: headers, then the text, then what is attached, as far as it can be read."""

from __future__ import annotations

import io
from collections.abc import Callable
from email import policy
from email.message import EmailMessage, MIMEPart
from email.parser import BytesParser
from typing import BinaryIO

from retrieval_service.documents.errors import DocumentError, FileReason
from retrieval_service.parsing.blocks import Blocks
from retrieval_service.parsing.encoding import decode
from retrieval_service.parsing.formats import html, plain

MEDIA_TYPE = "message/rfc822"
_HEADERS = ("From", "To", "Cc", "Date")
_ATTACHMENTS = 100
_DEPTH = 3

Read = Callable[[BinaryIO, str, Blocks], object]


def read(file: BinaryIO, blocks: Blocks, read_attachment: Read, depth: int = 0) -> None:
    """`read_attachment` reads one into the same blocks, or raises DocumentError, which is noted."""
    message = BytesParser(policy=policy.default).parse(file)
    assert isinstance(message, EmailMessage)
    _message(message, blocks, read_attachment, depth)


def _message(message: EmailMessage, blocks: Blocks, read_attachment: Read, depth: int) -> None:
    subject = _header(message, "Subject")
    blocks.title = blocks.title or subject
    blocks.heading(subject, depth + 1)
    headers = ((name, _header(message, name)) for name in _HEADERS)
    blocks.paragraph("\n".join(f"{name}: {value}" for name, value in headers if value))
    body = message.get_body(preferencelist=("plain", "html"))
    if body is not None:
        text, _ = decode(_content(body), declared=body.get_content_charset())
        if body.get_content_subtype() == "html":
            html.read(text, blocks)
        else:
            plain.read(text, blocks)
    if message.get_content_maintype() == "multipart":
        for number, part in enumerate(message.iter_attachments()):
            if number == _ATTACHMENTS:
                blocks.note(f"Only the first {_ATTACHMENTS} attachments were read.")
                break
            _attachment(part, blocks, read_attachment, depth)


def _attachment(part: EmailMessage, blocks: Blocks, read_attachment: Read, depth: int) -> None:
    name = " ".join((part.get_filename() or "").split())[:100] or part.get_content_type()
    if depth >= _DEPTH:
        blocks.note(f"The attachment {name} is nested too deeply and was not read.")
    elif part.get_content_type() == "message/rfc822":
        for inner in part.iter_parts() if part.is_multipart() else ():
            if isinstance(inner, EmailMessage):
                _message(inner, blocks, read_attachment, depth + 1)
    elif part.get_content_disposition() == "attachment":
        blocks.heading(f"Attachment: {name}", depth + 2)
        try:
            read_attachment(io.BytesIO(_content(part)), name, blocks)
        except DocumentError as error:
            if error.fault.reason is FileReason.TOO_LARGE:
                raise
            blocks.note(f"The attachment {name} was not read. {error.fault.message}")


def _content(part: MIMEPart) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _header(message: EmailMessage, name: str) -> str:
    try:
        return str(message[name] or "")
    except (ValueError, IndexError, TypeError, AttributeError):  # the parser fails on some malformed ones
        return ""
