"""Header blocks (RFC 7541): written as plain literals, read with the hpack library and remembered.

The peer is told that our table holds nothing, so a block always means the same: equal blocks, which
nearly all are, are read once a connection.
"""

from __future__ import annotations

import base64
import binascii

from hpack import Decoder, HPACKError

MAX_LIST_BYTES = 16 * 1024
_REMEMBERED = 256

Headers = dict[bytes, bytes]


class BadHeaders(Exception):
    """The peer sent a block that cannot be read."""


def _string(value: bytes) -> bytes:
    length = len(value)
    if length < 127:
        return bytes((length,)) + value
    out = bytearray((127,))
    length -= 127
    while length >= 128:
        out.append(length % 128 + 128)
        length //= 128
    out.append(length)
    return bytes(out) + value


def literal(name: bytes, value: bytes) -> bytes:
    """A header that no table remembers."""
    return b"\x00" + _string(name) + _string(value)


def secret(name: bytes, value: bytes) -> bytes:
    """A header that no proxy may put into a table either."""
    return b"\x10" + _string(name) + _string(value)


def request_head(path: bytes, authority: bytes, *, tls: bool) -> bytes:
    """What every call of one method starts with. The first bytes name entries of the static table."""
    return b"".join(
        (
            b"\x83\x87" if tls else b"\x83\x86",  # :method POST, :scheme
            b"\x04" + _string(path),  # :path
            b"\x01" + _string(authority),  # :authority
            literal(b"te", b"trailers"),
            literal(b"content-type", b"application/grpc+proto"),
            literal(b"user-agent", b"sixfold-gateway/0.1"),
        )
    )


def timeout(seconds: float) -> bytes:
    """gRPC's deadline header, in milliseconds, of at most eight digits."""
    return literal(b"grpc-timeout", b"%dm" % max(1, min(99_999_999, int(seconds * 1000))))


class HeaderReader:
    """Reads the blocks of one connection."""

    def __init__(self) -> None:
        self._decoder = Decoder(max_header_list_size=MAX_LIST_BYTES)
        self._decoder.max_allowed_table_size = 0
        self._decoder.header_table_size = 0  # whether or not the peer says so before its first block
        self._known: dict[bytes, Headers] = {}

    def read(self, block: bytes) -> Headers:
        """The headers of a block; a repeated name keeps its last value."""
        known = self._known.get(block)
        if known is not None:
            return known
        try:
            headers = dict(self._decoder.decode(block, raw=True))
        except HPACKError as error:
            raise BadHeaders from error
        if len(self._known) < _REMEMBERED and len(block) < 1024:
            self._known[block] = headers
        return headers


def binary(value: bytes) -> bytes:
    """The bytes of a `-bin` header; empty when it is not base64."""
    try:
        return base64.b64decode(value + b"=" * (-len(value) % 4), validate=False)
    except (binascii.Error, ValueError):
        return b""
