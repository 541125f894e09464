"""multipart/form-data, read as it comes: a file goes where it belongs without ever being held whole."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any
from urllib.parse import unquote_to_bytes

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from gateway.openai import fields
from servicekit.errors import Reason, SixfoldError

_MAX_FIELDS = 16
_EXTENDED = re.compile(rb"filename\*\s*=\s*([A-Za-z0-9-]+)'[^']*'([^;\s]+)", re.IGNORECASE)
_ESCAPED = {"%22": '"', "%0D": "\r", "%0A": "\n"}
"""What browsers and HTTP clients write for these three within a quoted name."""


class FormField:
    """One field of a form, whose content is still coming."""

    def __init__(self, form: Form, headers: dict[bytes, bytes]) -> None:
        self._form = form
        disposition = headers.get(b"content-disposition", b"")
        kind, options = parse_options_header(disposition)
        if kind != b"form-data" or b"name" not in options:
            raise malformed()
        self.name = _text(options[b"name"])
        self.filename = _filename(disposition, options)
        """As the sender wrote it, None when it named none."""
        self.ended = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """The content."""
        while not self.ended:
            data = await self._form.next_data()
            if data is None:
                self.ended = True
            else:
                yield data

    async def text(self, limit: int) -> str:
        """The content of a short field. Raises INVALID_REQUEST when it is longer than `limit` bytes."""
        value = bytearray()
        async for data in self.chunks():
            value += data
            if len(value) > limit:
                raise fields.invalid(shown(self.name), f"longer than {limit} bytes.")
        return _text(bytes(value))


class Form:
    """The fields of a body, in its order. `boundary` is from `boundary_of`."""

    def __init__(self, body: AsyncGenerator[bytes, None], boundary: bytes) -> None:
        self._body = body
        self._events: deque[tuple[str, Any]] = deque()
        self._name = bytearray()
        self._value = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._complete = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begins,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header_ends,
                "on_headers_finished": self._headers_end,
                "on_part_data": self._data,
                "on_part_end": lambda: self._events.append(("end", None)),
                "on_end": self._ends,
            },
        )

    async def fields(self) -> AsyncGenerator[FormField, None]:
        """Each field; what is not read of one is passed over. Raises INVALID_REQUEST for a malformed form."""
        async with aclosing(self._body):
            count = 0
            while (event := await self._next()) is not None:
                count += 1
                if count > _MAX_FIELDS:
                    raise SixfoldError(
                        Reason.INVALID_REQUEST, f"The form has more than {_MAX_FIELDS} fields."
                    )
                field = FormField(self, event[1])
                yield field
                async for _ in field.chunks():
                    pass

    async def next_data(self) -> bytes | None:
        """The next piece of the field that is being read; None at its end."""
        event = await self._next()
        if event is None:
            raise malformed()
        kind, data = event
        return data if kind == "data" else None

    async def _next(self) -> tuple[str, Any] | None:
        """What comes next in the form; None behind its end."""
        while not self._events:
            piece = await anext(self._body, None)
            if piece is None:
                if not self._complete:
                    raise malformed()
                return None
            if self._complete:
                continue  # whatever follows the form means nothing
            try:
                self._parser.write(piece)
            except FormParserError:
                raise malformed() from None
        return self._events.popleft()

    def _part_begins(self) -> None:
        self._headers = {}

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_ends(self) -> None:
        self._headers[bytes(self._name).lower()] = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _headers_end(self) -> None:
        self._events.append(("field", self._headers))

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(("data", data[start:end]))

    def _ends(self) -> None:
        self._complete = True


def boundary_of(content_type: bytes | None) -> bytes:
    """The boundary between a form's fields. Raises INVALID_REQUEST for a body that is no form."""
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 0 < len(boundary) <= 70:
        raise SixfoldError(
            Reason.INVALID_REQUEST, "Send a form: multipart/form-data with a boundary of 1 to 70 characters."
        )
    return boundary


def malformed() -> SixfoldError:
    """Not a form, or not a whole one."""
    return SixfoldError(Reason.INVALID_REQUEST, "The form is malformed, or ends before its last boundary.")


def shown(name: str) -> str:
    """A field's name as an error may repeat it."""
    return name if len(name) <= 64 and name.isascii() and name.isprintable() else "field"


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _filename(disposition: bytes, options: dict[bytes, bytes]) -> str | None:
    extended = _EXTENDED.search(disposition)
    if extended is not None:
        charset = extended[1].decode().lower()
        value = unquote_to_bytes(extended[2])
        return value.decode("latin-1" if charset == "iso-8859-1" else "utf-8", "replace")
    if b"filename" not in options:
        return None
    name = _text(options[b"filename"])
    for written, meant in _ESCAPED.items():
        name = name.replace(written, meant)
    return name
