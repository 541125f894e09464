"""Encryption at rest: AES-256-GCM in frames, so that a reader needs one frame in memory and trusts each.

An object is `header ‖ frame ‖ … ‖ last frame`. The header is a magic word, the fingerprint of the
installation's key and 32 random bytes; from those, the installation's key and the namespace HKDF derives a
key for this object alone. A frame is 64 KiB of content (the last one: 0 to 64 KiB) and its 16 bytes of tag.
Its nonce is its number and whether it is the last (the STREAM construction), and the header is authenticated
with it: frames that are reordered, repeated, left out or taken from another object do not open.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from servicekit.objects.names import fingerprint

FRAME = 64 * 1024
_TAG = 16
_MAGIC = b"sixfold\x01"
_SALT = 32
HEADER = len(_MAGIC) + 8 + _SALT


class Broken(Exception):
    """The bytes are not what was written."""


class WrongKey(Exception):
    """The object was encrypted with another key."""


class Sealer:
    """Encrypts one object. `secret` has 32 bytes or more."""

    def __init__(self, secret: bytes, namespace: str) -> None:
        salt = secrets.token_bytes(_SALT)
        self.header = _MAGIC + fingerprint(secret) + salt
        self._cipher = AESGCM(_derive(secret, salt, namespace))
        self._waiting = bytearray()
        self._count = 0

    def update(self, data: bytes) -> bytes:
        """What can be written after `data`. A full frame waits until more comes: it may be the last."""
        self._waiting += data
        out = bytearray()
        view = memoryview(self._waiting)
        start = 0
        while len(view) - start > FRAME:
            out += self._frame(view[start : start + FRAME], last=False)
            start += FRAME
        view.release()
        del self._waiting[:start]
        return bytes(out)

    def finish(self) -> bytes:
        """The last frame."""
        return self._frame(self._waiting, last=True)

    def _frame(self, content: bytes | bytearray | memoryview, *, last: bool) -> bytes:
        sealed = self._cipher.encrypt(_nonce(self._count, last), content, self.header)
        self._count += 1
        return sealed


class Opener:
    """Decrypts one object. Every piece that it gives is authenticated; the whole is only after `finish`."""

    def __init__(self, secret: bytes, namespace: str) -> None:
        self._secret = secret
        self._namespace = namespace
        self._header = b""
        self._cipher: AESGCM | None = None
        self._waiting = bytearray()
        self._count = 0

    def update(self, data: bytes) -> bytes:
        """Content of the frames that are whole now. Raises Broken and WrongKey."""
        self._waiting += data
        if self._cipher is None:
            if len(self._waiting) < HEADER:
                return b""
            self._begin(bytes(self._waiting[:HEADER]))
            del self._waiting[:HEADER]
        return b"".join(self._whole_frames())

    def finish(self) -> bytes:
        """Content of the last frame. Raises Broken when the object ends early."""
        if self._cipher is None:
            raise Broken
        return self._open(bytes(self._waiting), last=True)

    def _begin(self, header: bytes) -> None:
        check_key(header, self._secret)
        self._header = header
        self._cipher = AESGCM(_derive(self._secret, header[-_SALT:], self._namespace))

    def _whole_frames(self) -> Iterator[bytes]:
        size = FRAME + _TAG
        start = 0
        while len(self._waiting) - start > size:
            yield self._open(bytes(self._waiting[start : start + size]), last=False)
            start += size
        del self._waiting[:start]

    def _open(self, frame: bytes, *, last: bool) -> bytes:
        assert self._cipher is not None
        try:
            content = self._cipher.decrypt(_nonce(self._count, last), frame, self._header)
        except (InvalidTag, ValueError):
            raise Broken from None
        self._count += 1
        return content


def check_key(header: bytes, secret: bytes | None) -> None:
    """Raises WrongKey unless this is the header of an object under `secret`, Broken for no header."""
    if len(header) < HEADER or not header.startswith(_MAGIC):
        raise Broken
    if secret is None or header[len(_MAGIC) : len(_MAGIC) + 8] != fingerprint(secret):
        raise WrongKey


def _nonce(count: int, last: bool) -> bytes:
    return count.to_bytes(11, "big") + (b"\x01" if last else b"\x00")


def _derive(secret: bytes, salt: bytes, namespace: str) -> bytes:
    info = b"sixfold-object\0" + namespace.encode()
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(secret)
