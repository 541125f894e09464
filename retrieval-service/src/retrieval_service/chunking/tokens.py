"""How many tokens a text has, without a model: close, and rather too many than too few."""

from __future__ import annotations

import re

_PIECE = re.compile(
    # Ideographs, kana and Hangul: a token each.
    r"([\u1100-\u11ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff])"
    r"|([A-Za-z]+)|([0-9]+)|([^\W\d_A-Za-z]+)|(\S)"
)


def estimate(text: str) -> int:
    """Tokens of a text for a model with a vocabulary of some tens of thousands."""
    total = 0
    for found in _PIECE.finditer(text):
        group = found.lastindex
        length = found.end() - found.start()
        if group == 2:  # words of up to seven letters are mostly whole
            total += 1 + (length - 1) // 7
        elif group in (3, 4):  # numbers and other alphabets are broken up more
            total += 1 + (length - 1) // 2
        else:
            total += 1
    return total
