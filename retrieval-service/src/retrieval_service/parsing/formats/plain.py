"""Plain text: paragraphs are parted by empty lines."""

from __future__ import annotations

import re

from retrieval_service.parsing.blocks import Blocks

MEDIA_TYPE = "text/plain"
_EMPTY_LINES = re.compile(r"\n[^\S\n]*\n\s*")


def read(text: str, blocks: Blocks) -> None:
    """Line breaks within a paragraph stay: nobody can tell those of a poem from wrapped ones."""
    for part in _EMPTY_LINES.split(text.replace("\r\n", "\n").replace("\r", "\n")):
        if part.strip():
            blocks.paragraph(part)
