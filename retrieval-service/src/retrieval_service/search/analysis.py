"""Text to terms: the one analysis that passages and queries go through.

- Unicode is normalised (NFKC) and folded: full-width letters, ligatures and case make no difference.
- Words are stemmed by Snowball in the language of their passage. A word in a script that this language does
  not use is stemmed in that script's most common one: "servers" in a Chinese passage is English.
- Chinese is cut by jieba in search mode, which gives "科学院" with "中国科学院". Japanese, Korean and scripts
  without spaces are cut into pairs of characters, which needs no dictionary and misses nothing.
- Numbers stay whole: "3.14" and "3,14" are one term, "1,000" is "1000". Identifiers are kept whole and in
  parts: "E-1042" is found as "E-1042", "E1042" and "1042"; "COVID19" also as "covid".
- Accents of Latin letters are dropped after stemming, for people type without them.
- Stop words are indexed, but left out of queries that have other words. On SciFact that changes nDCG@10 from
  .699 to .701, and makes searches quicker.

A query does not know in which language the passage that answers it is written. So each of its words is
stemmed once for every language that the store has (`query_terms`), and the best match counts: a German
query finds a German passage by German stems even in an English store, and a name is found everywhere. A
store of one language has one form a word, and pays nothing for it.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache

import rjieba
import Stemmer

from retrieval_service.search.stopwords import STOP_WORDS

MAX_TERM = 64
"""Characters; what is longer is no word but data, and is cut there."""

_MARKS = "".join(
    chr(code)
    for code in (*range(0x300, 0x1B00), *range(0xA800, 0xAC00))
    if unicodedata.category(chr(code))[0] == "M"
)
_HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_KANA = "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"
_HANGUL = "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af"
_UNSPACED = "\u0e00-\u0e7f\u0e80-\u0eff\u1000-\u109f\u1780-\u17ff"
"""Thai, Lao, Burmese, Khmer."""
_LETTER = rf"[^\W_{_HAN}{_KANA}{_HANGUL}{_UNSPACED}]"


def _runs(word: str) -> re.Pattern[str]:
    return re.compile(
        rf"(?P<word>(?![a-z](?:\+\+|\#)(?!\w)){word}(?:[-_.,/:'\u2019\u2010\u2011]{word})*)"
        rf"|(?P<sharp>[a-z](?:\+\+|\#))|(?P<east>[{_HAN}{_KANA}]+)|(?P<pairs>[{_HANGUL}]+|[{_UNSPACED}]+)"
    )


_RUN = _runs(f"{_LETTER}+")
_MARKED_RUN = _runs(f"(?:{_LETTER}|[{re.escape(_MARKS)}])+")
"""For text whose vowels are marks on letters, as in Hindi. Several times slower."""
_MARK = re.compile(f"[{re.escape(_MARKS)}]")
_HAS_KANA = re.compile(f"[{_KANA}]")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_INITIALS = re.compile(r"[a-z](?:\.[a-z])+")
_NAMED_NUMBER = re.compile(r"([a-z]{3,})(\d+)")
_NAME = re.compile(r"\b[A-Z]{2,}\b")
_JOINTS = re.compile(r"[-_.,/:'\u2019\u2010\u2011]")
_TIGHT = re.compile(r"[-_/:\u2010\u2011]")
"""Joints that are left out where a whole identifier is written without them."""

STEMMERS = {
    "ar": "arabic", "ca": "catalan", "cs": "czech", "da": "danish", "de": "german", "el": "greek",
    "en": "english", "es": "spanish", "et": "estonian", "eu": "basque", "fa": "persian", "fi": "finnish",
    "fr": "french", "ga": "irish", "hi": "hindi", "hu": "hungarian", "hy": "armenian", "id": "indonesian",
    "it": "italian", "lt": "lithuanian", "ne": "nepali", "nl": "dutch", "no": "norwegian", "pl": "polish",
    "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian", "sv": "swedish", "ta": "tamil",
    "tr": "turkish",
}  # fmt: skip
_SCRIPTS = {
    "ar": "arabic", "fa": "arabic", "el": "greek", "hi": "devanagari", "ne": "devanagari", "hy": "armenian",
    "ru": "cyrillic", "ta": "tamil",
}  # fmt: skip
"""Scripts of languages that are not written in Latin letters."""
_COMMON = {
    "latin": "en", "arabic": "ar", "greek": "el", "devanagari": "hi", "armenian": "hy", "cyrillic": "ru",
    "tamil": "ta",
}  # fmt: skip


def index_terms(text: str, language: str = "") -> list[str]:
    """The terms of a passage in this language (ISO 639-1; empty when unknown), repeated as they are."""
    languages = (language,)
    return [_stems(word, languages)[0] for word in _words(text, language == "ja")]


def query_terms(text: str, languages: Collection[str] = ("",)) -> list[tuple[str, ...]]:
    """The terms of a query, each once: forms of one word, one form for each way in which it may be indexed.

    `languages` are those of the passages that are searched.
    """
    known = tuple(sorted(languages)) or ("",)
    cuts = sorted({one == "ja" for one in known})
    words = dict.fromkeys(word for japanese in cuts for word in _words(text, japanese))
    # A name that looks like a stop word, "the WHO", is one; unless all of the query is in capitals.
    names = set() if text.isupper() else {name.casefold() for name in _NAME.findall(text)}
    telling = [word for word in words if word not in STOP_WORDS or word in names]
    return list(dict.fromkeys(_stems(word, known) for word in telling or words))


def _words(text: str, japanese: bool) -> Iterator[str]:
    """Words before stemming."""
    text = unicodedata.normalize("NFKC", text).casefold()
    for run in (_MARKED_RUN if _MARK.search(text) else _RUN).finditer(text):
        kind, found = run.lastgroup, run.group()
        if kind == "word":
            if found.isalpha() and len(found) <= MAX_TERM:
                yield found
            else:
                yield from _parts(found)
        elif kind == "pairs" or (kind == "east" and (japanese or _HAS_KANA.search(found))):
            yield from _pairs(found)
        elif kind == "east":
            yield from rjieba.cut_for_search(found)
        else:
            yield found


def _pairs(run: str) -> Iterable[str]:
    return [run] if len(run) == 1 else [run[i : i + 2] for i in range(len(run) - 1)]


def _parts(found: str) -> Iterator[str]:
    """A word that may have joints: its parts, and the whole where people write it in more than one way."""
    if _NUMBER.fullmatch(found):
        grouped = _GROUPED.fullmatch(found)
        yield (found.replace(",", "") if grouped else found.replace(",", "."))[:MAX_TERM]
        return
    parts = _JOINTS.split(found)
    if len(parts) == 1:
        yield found[:MAX_TERM]
        if named := _NAMED_NUMBER.fullmatch(found):
            yield from named.groups()
        return
    if found.isascii() and _INITIALS.fullmatch(found):
        yield "".join(parts)  # U.S.A.
        return
    elided = "'" in found or "\u2019" in found
    # "l'homme", "it's": what is left at an apostrophe is no word.
    yield from (part[:MAX_TERM] for part in parts if len(part) > 1 or not elided)
    whole = _TIGHT.sub("", found)
    numbered = any(one.isdigit() for one in whole)
    one_word = len(whole) <= MAX_TERM and not elided and "," not in whole
    if one_word and (numbered or (len(parts) == 2 and "." not in whole)):
        yield whole


@lru_cache(maxsize=65_536)
def _stems(word: str, languages: tuple[str, ...]) -> tuple[str, ...]:
    """The word as it is indexed in passages of these languages: usually one form."""
    if any(one.isdigit() for one in word):
        return (word,)
    script = _script(word)
    if script not in _COMMON:
        return (word,)
    # A language that is written otherwise, or is unknown, leaves a word to its script's most common language.
    with _LOCK:
        forms = {
            _stemmer(one if _written(one) == script else _COMMON[script]).stemWord(word) for one in languages
        }
    if script == "latin":
        forms = {_without_accents(form) for form in forms}
    return tuple(sorted(forms))


_LOCK = threading.Lock()
"""A Snowball stemmer keeps its work in itself."""
_MADE: dict[str, Stemmer.Stemmer] = {}


def _stemmer(language: str) -> Stemmer.Stemmer:
    if language not in _MADE:
        _MADE[language] = Stemmer.Stemmer(STEMMERS[language])
    return _MADE[language]


def _written(language: str) -> str:
    return _SCRIPTS.get(language, "latin") if language in STEMMERS else ""


def _script(word: str) -> str:
    first = word[0]
    return "latin" if first < "\u0250" else unicodedata.name(first, "").split(" ")[0].lower()


def _without_accents(word: str) -> str:
    if word.isascii():
        return word
    return "".join(one for one in unicodedata.normalize("NFD", word) if not unicodedata.combining(one))
