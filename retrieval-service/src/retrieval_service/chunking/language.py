"""Which language a text is in: by its script where that is enough, else by a model of byte sequences."""

from __future__ import annotations

import re
import threading
import unicodedata
from collections import Counter
from typing import Any

_SAMPLE = 1200
_LETTERS = 12
"""With fewer, a Latin text could be in any language."""
_SURE = 0.6
_JAPANESE = ("HIRAGANA", "KATAKANA")
_BY_SCRIPT = {
    "HANGUL": "ko",
    "HEBREW": "he",
    "GREEK": "el",
    "THAI": "th",
    "ARMENIAN": "hy",
    "GEORGIAN": "ka",
    "TAMIL": "ta",
    "TELUGU": "te",
    "KANNADA": "kn",
    "MALAYALAM": "ml",
    "GUJARATI": "gu",
    "GURMUKHI": "pa",
    "SINHALA": "si",
    "KHMER": "km",
    "LAO": "lo",
}
# Scripts of several languages: the one that is meant when the model sees something else altogether.
_SHARED = {
    "CYRILLIC": ("ru", {"ru", "uk", "bg", "sr", "mk", "be", "kk", "ky", "mn"}),
    "ARABIC": ("ar", {"ar", "fa", "ur", "ps", "ug"}),
    "DEVANAGARI": ("hi", {"hi", "mr", "ne"}),
    "BENGALI": ("bn", {"bn", "as"}),
}
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f\u1e00-\u1eff]")
_NOT_LETTERS = re.compile(r"https?://\S+|[\W\d_]+")

_lock = threading.Lock()
_model: Any = None


def detect(text: str, default: str = "") -> str:
    """ISO 639-1 code of the text's main language, or `default` when there is too little to tell.

    The first call loads the model, about a second; afterwards a passage takes a fifth of a millisecond.
    """
    letters = _NOT_LETTERS.sub(" ", text[: 4 * _SAMPLE])[:_SAMPLE]
    scripts = _scripts(letters)
    if not scripts:
        return default
    script, most = scripts.most_common(1)[0]
    count = scripts.total()
    if script in ("CJK", *_JAPANESE):
        kana = scripts["HIRAGANA"] + scripts["KATAKANA"]
        return "ja" if kana * 8 > count else "zh"
    # Chinese, Japanese and Korean texts are full of Latin names, and say as much in a third of the letters.
    for name, code in (("CJK", "zh"), ("HANGUL", "ko")):
        if script == "LATIN" and scripts[name] * 3 > most:
            return "ja" if name == "CJK" and scripts["HIRAGANA"] * 4 > scripts["CJK"] else code
    if script in _BY_SCRIPT:
        return _BY_SCRIPT[script]
    if script in _SHARED:
        usual, known = _SHARED[script]
        code, _ = _classify(letters)
        return code if code in known else usual
    if script != "LATIN" or most < _LETTERS:
        return default
    code, probability = _classify(letters)
    return code if probability >= _SURE and len(code) == 2 else default


def _scripts(letters: str) -> Counter[str]:
    """Letters by script, as the first word of their names has it."""
    found: Counter[str] = Counter()
    latin = len(_LATIN.findall(letters))
    if latin:
        found["LATIN"] = latin
    if latin < len(letters) - letters.count(" "):
        for letter, times in Counter(letters).items():
            if letter != " " and not _LATIN.match(letter):
                found[unicodedata.name(letter, "?").split(" ", 1)[0]] += times
    return found


def _classify(text: str) -> tuple[str, float]:
    code, probability = _identifier().classify(text.lower() if text.isupper() else text)
    return str(code), float(probability)


def _identifier() -> Any:
    global _model  # loaded once, when it is first needed, rather than at import
    if _model is None:
        with _lock:
            if _model is None:
                from py3langid.langid import MODEL_FILE, LanguageIdentifier

                _model = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    return _model
