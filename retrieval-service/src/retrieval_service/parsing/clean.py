"""Text as it should be indexed: one spelling of each character, nothing invisible, no meaning changed.

NFC throughout. NFKC would turn 10² into 102 and 2½ into 21/2, so compatibility forms are only folded
where they are pure typography: ligatures, Arabic and Hebrew presentation forms, full-width letters and
digits, half-width kana, radicals in the place of ideographs. Wrongly decoded text is left as it is:
guessing would make more of it.
"""

from __future__ import annotations

import re
import unicodedata

# Controls but tab and newline, soft hyphens, zero-width spaces and marks of direction (a right-to-left
# override hides what a text says), interlinear marks, tags, halves of surrogate pairs and what is no
# character at all. The joiners U+200C and U+200D stay: Persian and Hindi are misspelt without them.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x84\x86-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]+"
)
_LINE = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_FOLDED = re.compile(
    "[\u2e80-\u2fd5\uf900-\ufaff\ufb00-\ufdcf\ufdf0-\ufdff\ufe70-\ufefc\uff10-\uff19\uff21-\uff3a"
    "\uff41-\uff5a\uff66-\uff9f]+"
)
_PRIVATE = re.compile(
    "[\ue000-\uf8ff\U000f0000-\U0010ffff]+"
)  # signs of one font, which nobody else can read
_SPACES = re.compile(r"[^\S\n]+")
_AROUND_NEWLINE = re.compile(r" *\n[ \n]*")
_NEWLINES = re.compile(r"\n\s*\n")
_MARK_AFTER_SPACE = re.compile(r" ([\u064b-\u0652\u0670])([\u0620-\u064a])")


def clean(text: str) -> str:
    """A paragraph: spaces collapsed, single line breaks kept, none around it."""
    text = _characters(text)
    text = _SPACES.sub(" ", text)
    if "\n" in text:
        text = _AROUND_NEWLINE.sub("\n", text)
    return text.strip()


def clean_line(text: str) -> str:
    """As `clean`, on one line."""
    return " ".join(_characters(text).split())


def clean_code(text: str) -> str:
    """Code and the like: indentation is kept, empty lines are not, for they part blocks."""
    text = _characters(text).expandtabs(4)
    return _NEWLINES.sub("\n", text).strip("\n").rstrip()


def _characters(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    text = _LINE.sub("\n", text)
    text = _INVISIBLE.sub("", text)
    if text.isascii():
        return text
    text = _PRIVATE.sub(" ", text)
    text = _FOLDED.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text)
    # Vowel marks that a PDF placed by themselves: no word begins with one.
    text = _MARK_AFTER_SPACE.sub(r"\2\1", text)
    return unicodedata.normalize("NFC", text)
