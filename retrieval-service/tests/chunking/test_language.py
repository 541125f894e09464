"""Languages of documents and passages."""

from __future__ import annotations

import pytest

from retrieval_service.chunking.language import detect

_TEXTS = {
    "en": "The quick brown fox jumps over the lazy dog while the farmer sleeps.",
    "de": "Der schnelle braune Fuchs springt über den faulen Hund, während der Bauer schläft.",
    "fr": "Le renard brun saute par-dessus le chien paresseux pendant que le fermier dort.",
    "es": "El zorro marrón salta sobre el perro perezoso mientras el granjero duerme.",
    "zh": "敏捷的棕色狐狸跳过了懒狗。农夫在睡觉。",
    "ja": "素早い茶色の狐がのろまな犬を飛び越えた。",
    "ko": "빠른 갈색 여우가 게으른 개를 뛰어넘었다.",
    "ar": "الثعلب البني السريع يقفز فوق الكلب الكسول بينما ينام المزارع.",
    "he": "השועל החום המהיר קופץ מעל הכלב העצלן בזמן שהאיכר ישן.",
    "ru": "Быстрая коричневая лиса прыгает через ленивую собаку, пока фермер спит.",
    "uk": "Швидка коричнева лисиця стрибає через ледачого пса, поки фермер спить у хаті.",
    "el": "Η γρήγορη καφέ αλεπού πηδάει πάνω από το τεμπέλικο σκυλί.",
    "hi": "तेज भूरी लोमड़ी आलसी कुत्ते के ऊपर से कूद जाती है।",
    "th": "สุนัขจิ้งจอกสีน้ำตาลกระโดดข้ามสุนัขขี้เกียจ",
}


@pytest.mark.parametrize("language", _TEXTS)
def test_languages(language: str) -> None:
    assert detect(_TEXTS[language]) == language


@pytest.mark.parametrize("text", ["", "  ", "12345 67.8 %", "OK", "🙂🙂", "https://example.org/a/b"])
def test_too_little_is_left_to_the_document(text: str) -> None:
    assert detect(text) == ""
    assert detect(text, "de") == "de"


def test_chinese_with_latin_names_is_chinese() -> None:
    assert detect("使用 Python 和 Kubernetes 部署 OpenAI 兼容的 API 服务") == "zh"
    assert detect("Install Kubernetes on your machine and read the guide, which calls it 集群.") == "en"
