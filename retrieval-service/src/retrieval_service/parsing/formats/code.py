"""Source code and settings: as they stand, in pieces between empty lines."""

from __future__ import annotations

import re

from retrieval_service.parsing.blocks import Blocks

MEDIA_TYPE = "text/plain"
_EMPTY_LINES = re.compile(r"\n[^\S\n]*\n(?:[^\S\n]*\n)*")


def read(text: str, blocks: Blocks) -> None:
    """Indentation is kept."""
    for part in _EMPTY_LINES.split(text.replace("\r\n", "\n").replace("\r", "\n")):
        blocks.code(part)
