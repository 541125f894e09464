"""The language of a query: by its script where that says enough, else by py3langid."""

from __future__ import annotations

import re
from functools import cache, lru_cache

from py3langid.langid import MODEL_FILE, LanguageIdentifier

LATIN = (
    "ca", "cs", "da", "de", "en", "es", "et", "eu", "fi", "fr", "ga", "hu", "id", "it", "lt", "nl", "no",
    "pl", "pt", "ro", "sv", "tr",
)  # fmt: skip
OTHER = ("ar", "bg", "bn", "el", "fa", "he", "hi", "hy", "ka", "ne", "ru", "sr", "ta", "te", "th", "uk", "ur")
SURE = 0.8
"""Of a few words in Latin letters, the guess is below this as often wrong as right."""

_KANA = re.compile(r"[\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9d]")
_HANGUL = re.compile(r"[\uac00-\ud7af\u1100-\u11ff\u3130-\u318f]")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_LATIN = re.compile(r"[a-z\u00c0-\u024f]", re.IGNORECASE)


@lru_cache(maxsize=4_096)
def query_language(query: str) -> str:
    """ISO 639-1; empty when unknown. A few words of Chinese make it Chinese: names stay in Latin letters."""
    if _KANA.search(query):
        return "ja"
    if _HANGUL.search(query):
        return "ko"
    if _HAN.search(query):
        return "zh"
    if _LATIN.search(query):
        if _plainly_english(query):
            return "en"
        language, sure = _among(LATIN).classify(query)
        return str(language) if sure >= SURE else ""
    if any(one.isalpha() for one in query):
        return str(_among(OTHER).classify(query)[0])
    return ""


_ENGLISH_WORDS = "the of and with from which what that are how does who why when where by to for"
_OTHER_WORDS = """
de het een van voor wat welke hoe der die und das ist wie wer wo warum ein eine le la les des du et est
un une qui quel quelle el los las que es y qué cuál quién il che chi di per os da em um uma quem qual
och att en som vad vem og af til med det hvem hvad na se je w z co kto ja ei az egy ve bir
"""
_ENGLISH = frozenset(_ENGLISH_WORDS.split())
_ELSEWHERE = frozenset(_OTHER_WORDS.split())
"""Common words of other languages in Latin letters that English has not."""


def _plainly_english(query: str) -> bool:
    """By its little words: a tenth of the time that the model takes, and most English questions have some."""
    words = set(query.lower().split())
    return not words.isdisjoint(_ENGLISH) and words.isdisjoint(_ELSEWHERE)


@cache
def _among(languages: tuple[str, ...]) -> LanguageIdentifier:
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(list(languages))
    return identifier
