"""Text of documents as data: nothing in it closes, opens or imitates the frame that it stands in.

Chat templates mark turns with tokens such as `<|im_end|>`, tokenizers recognise them wherever they stand,
and a frame has marks of its own. A document that holds one of them must not be able to use it.
"""

from __future__ import annotations

import re
import unicodedata

_INVISIBLE = frozenset({"Cf", "Cc", "Cs", "Co"})
_KEPT = frozenset("\n\t\u200c\u200d")  # joiners are part of how some languages and emoji are written
_OPENING = re.compile(r"[<\uff1c\ufe64](?=[^\s\d=-]|\s*[/|\uff5c!]|\s*passage)", re.IGNORECASE)
"""A bracket that may open a tag; `a < b`, `<= 3` and `<- x` are left alone."""
_CLOSING = re.compile("\u2039([^\u2039\u203a<>\uff1e\ufe65\n]{0,200})[>\uff1e\ufe65]")
_CONTROL_WORD = re.compile(r"\[(/?[A-Z_]{3,24})\]")
_MARKER = re.compile(r"[\[\u3010\uff3b]([\s\d,\uff0c\u3001]{1,24})[\]\u3011\uff3d]")
_LONGEST_LABEL = 120


def quoted(text: str) -> str:
    """`text` as it may stand between the frame's marks.

    Tags lose their angle brackets' meaning (`‹|im_end|›`), brackets of control words and numbers become
    round, so that no passage looks like a citation, and characters that nobody sees are gone.
    """
    if not text.isprintable():
        text = "".join(char for char in text if char in _KEPT or unicodedata.category(char) not in _INVISIBLE)
    text = _CLOSING.sub("\u2039\\1\u203a", _OPENING.sub("\u2039", text))
    text = _CONTROL_WORD.sub(r"(\1)", text)
    return _MARKER.sub(lambda found: f"({found[1].strip()})", text)


def label(text: str) -> str:
    """A file's name or a heading on one line."""
    line = " ".join(quoted(text).replace('"', "'").split())
    return line if len(line) <= _LONGEST_LABEL else line[: _LONGEST_LABEL - 1] + "…"
