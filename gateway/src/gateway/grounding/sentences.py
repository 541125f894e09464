"""Where sentences end, and what a sentence says, as words that can be compared."""

from __future__ import annotations

import re
import unicodedata

MARK = r"[^\S\n]?[\[【](\d{1,3}(?:\s*[,，、]\s*\d{1,3})*)[\]】]"
"""A reference to a numbered passage, the space before it included."""

# A sentence is over when what follows it is known, for a mark right behind it still belongs to it. What may
# follow is chosen so that an answer is cut in the same places, however it comes in pieces.
_MARKS, _NO_MARK = MARK.replace("(", "(?:", 1), r"(?![\[【]\d)"
_STOPS, _CLOSES = "。！？；", "”’」』）"
_END = re.compile(
    rf"[.!?…]+[\"'”’)]*(?:{_MARKS})*(?=\s+{_NO_MARK}\S)"
    rf"|[{_STOPS}]+[{_CLOSES}]*(?:{_MARKS})*(?=\s*{_NO_MARK}[^\s{_STOPS}{_CLOSES}])"
    r"|\n"
)
_NUMBER = re.compile(r"\d+(?:[.,:/]\d+)*")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*|\d+(?:[.,:/]\d+)*")
_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff\u3040-\u30ff]+")
_LITTLE_WORDS = """
    a about above after again all also am an and any are as at be because been before being below
    between both but by can could did do does doing down during each few for from further had has have
    having he her here hers him his how i if in into is it its itself just me more most my no nor not
    now of off on once only or other our out over own same she should so some such than that the their
    them then there these they this those through to too under until up very was we were what when where
    which while who whom why will with would you your answer passage passages question according
    mentioned states text provided
"""
_COMMON = frozenset(_LITTLE_WORDS.split())
_COMMON_HAN = frozenset("的了是在和与及或也就都而被把对于从到为以其之这那有个们")


def end_of_first(text: str, start: int = 0) -> int | None:
    """The place behind the first sentence of `text` that is certainly over, looked for from `start` on."""
    found = _END.search(text, start)
    return found.end() if found is not None else None


def split(text: str) -> list[str]:
    """The sentences of a passage, none empty."""
    found: list[str] = []
    while (end := end_of_first(text)) is not None:
        found.append(text[:end])
        text = text[end:]
    return [clean for part in (*found, text) if (clean := " ".join(part.split()))]


def terms(text: str) -> list[str]:
    """The words that carry meaning, in order: stems of words, numbers, pairs of Chinese characters."""
    text = unicodedata.normalize("NFKC", text).casefold()
    found: list[str] = []
    for run in _HAN.findall(text):
        found += _pairs(run)
    for word in _WORD.findall(_HAN.sub(" ", text)):
        if word[0].isdigit():
            found.append(_number(word))
        elif word not in _COMMON:
            found.append(_stem(word))
    return found


def numbers(text: str) -> set[str]:
    """The numbers in a text, thousands written together."""
    return {_number(word) for word in _NUMBER.findall(unicodedata.normalize("NFKC", text))}


def _number(word: str) -> str:
    return word.replace(",", "")


def _pairs(run: str) -> list[str]:
    if len(run) == 1:
        return [] if run in _COMMON_HAN else [run]
    pairs = (run[at : at + 2] for at in range(len(run) - 1))
    return [pair for pair in pairs if not _COMMON_HAN.issuperset(pair)]


def _stem(word: str) -> str:
    """Crude on purpose: both sides are cut the same way."""
    word = word.replace("’", "'").removesuffix("'s").replace("'", "")
    for ending in (
        "ations",
        "ation",
        "ingly",
        "edly",
        "ings",
        "ies",
        "ing",
        "est",
        "ed",
        "es",
        "er",
        "ly",
        "s",
        "e",
    ):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word
