"""What is said when the documents do not answer a question. No model is asked."""

from __future__ import annotations

import re
from collections.abc import Mapping

SENTENCES: Mapping[str, str] = {
    "en": "I could not find anything about this in the documents.",
    "zh": "我在文档中没有找到与此相关的内容。",
}
_HAN = re.compile(r"[\u3400-\u9fff]")
_KANA = re.compile(r"[\u3040-\u30ff]")


def sentence(question: str, sentences: Mapping[str, str]) -> str:
    """The sentence in the question's language, as far as its script tells; English otherwise.

    `sentences` are the operator's own, by ISO 639-1 code; a language that it does not name has ours.
    """
    language = "zh" if is_chinese(question) else "en"
    return sentences.get(language) or SENTENCES[language]


def is_chinese(text: str) -> bool:
    """Whether a text is Chinese, as far as its script tells."""
    return len(_HAN.findall(text)) * 3 >= len(text.strip()) > 0 and not _KANA.search(text)
