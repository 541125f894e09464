"""Counts of tokens where nobody here can count: never too few."""

from __future__ import annotations

import unicodedata

from model_service.engines.types import Counted

_AROUND = 2
"""What vocabularies put before and after a text, a dummy space among it."""


def estimated(texts: list[str]) -> Counted:
    """The most that a text can take.

    Every vocabulary in use covers single bytes or characters, so no token is shorter than a byte of the text
    as the tokenizer normalises it. That is about four times what English takes, and the price of being sure.
    """
    return Counted([_most(text) for text in texts], exact=False)


def _most(text: str) -> int:
    plain = len(text.encode("utf-8", "surrogatepass"))
    if text.isascii():
        return plain + _AROUND
    # Compatibility forms may be written out: one character becomes up to eighteen.
    return max(plain, len(unicodedata.normalize("NFKC", text).encode("utf-8", "surrogatepass"))) + _AROUND
