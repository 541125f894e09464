"""How alike two texts are, from 0 to 1. Libraries do the work; only what they lack is here."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

MAX_CHARS = 20_000
"""Of either text. Longer ones are compared by their beginnings, so that no item takes minutes."""

_WORD = re.compile(r"[぀-ヿ㐀-鿿가-힯]|[^\W_]+")
_TOKEN = re.compile(r"[぀-ヿ㐀-鿿가-힯]|\w+|[^\w\s]")


def similarity(metric: str, text: str, reference: str) -> float:
    """By every metric of OpenAI's that needs no model."""
    text, reference = text[:MAX_CHARS], reference[:MAX_CHARS]
    if metric == "fuzzy_match":
        return indel(text, reference)
    if metric == "bleu":
        return _bleu(text, reference)
    if metric == "gleu":
        return _gleu(text, reference)
    if metric == "meteor":
        return _meteor(text, reference)
    if metric.startswith("rouge_"):
        return _rouge(metric, text, reference)
    raise ValueError(f"no such metric: {metric}")


def indel(one: str, two: str) -> float:
    """1 − insertions and deletions that lead from one to the other / all characters: 1 for equal texts.

    The longest common subsequence comes bit by bit (Hyyrö, 2004): a Python integer is the whole row.
    """
    if not one and not two:
        return 1.0
    places: dict[str, int] = {}
    for index, letter in enumerate(one):
        places[letter] = places.get(letter, 0) | 1 << index
    full = (1 << len(one)) - 1
    row = full
    for letter in two:
        matches = places.get(letter, 0) & row
        row = (row + matches | row - matches) & full
    common = len(one) - row.bit_count()
    return 2 * common / (len(one) + len(two))


def _bleu(text: str, reference: str) -> float:
    from sacrebleu import sentence_bleu

    score: float = sentence_bleu(text, [reference], use_effective_order=True).score
    return min(1.0, score / 100)


def _gleu(text: str, reference: str) -> float:
    from nltk.translate.gleu_score import sentence_gleu

    words, wanted = _TOKEN.findall(text), _TOKEN.findall(reference)
    if not words or not wanted:
        return float(words == wanted)
    return float(sentence_gleu([wanted], words))


def _meteor(text: str, reference: str) -> float:
    """Exact words and stems; synonyms would need a thesaurus that is not part of the library."""
    from nltk.translate.meteor_score import single_meteor_score

    words, wanted = _TOKEN.findall(text), _TOKEN.findall(reference)
    if not words or not wanted:
        return float(words == wanted)
    return float(single_meteor_score(wanted, words, wordnet=_NoSynonyms()))


def _rouge(metric: str, text: str, reference: str) -> float:
    kind = "rougeL" if metric == "rouge_l" else f"rouge{metric.removeprefix('rouge_')}"
    return float(_scorer(kind).score(reference, text)[kind].fmeasure)


@lru_cache
def _scorer(kind: str) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer([kind], tokenizer=_Words())


class _Words:
    """The library's own tokenizer knows ASCII alone: every other script would score 0."""

    def tokenize(self, text: str) -> list[str]:
        """Words in lower case; characters of scripts without spaces one by one."""
        return _WORD.findall(text.lower())


class _NoSynonyms:
    def synsets(self, word: str, *_: Any, **__: Any) -> list[Any]:
        return []
