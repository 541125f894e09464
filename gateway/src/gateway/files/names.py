"""File names as callers send them, made fit to show."""

from __future__ import annotations

import unicodedata

MAX_BYTES = 255
UNNAMED = "unnamed"


def clean_filename(name: str) -> str:
    """The last part of `name`, without characters that do not show; at most 255 bytes of UTF-8.

    It is kept for people, and for what its ending says. Nothing is ever stored under it.
    """
    last = name.replace("\\", "/").rpartition("/")[2]
    shown = "".join(c for c in unicodedata.normalize("NFC", last) if unicodedata.category(c)[0] != "C")
    shown = " ".join(shown.split())
    if not shown.strip("."):
        return UNNAMED
    return _cut(shown)


def _cut(name: str) -> str:
    """Shortens the stem, so that the ending still tells what the file is."""
    if len(name.encode()) <= MAX_BYTES:
        return name
    stem, dot, ending = name.rpartition(".")
    if not stem or len(ending.encode()) > 16:
        stem, dot, ending = name, "", ""
    room = MAX_BYTES - len((dot + ending).encode())
    return stem.encode()[:room].decode(errors="ignore") + dot + ending
