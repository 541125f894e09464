"""From bytes to clean text."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval_service.documents.errors import DocumentError, FileReason
from retrieval_service.documents.parsed import Parsed
from retrieval_service.parsing.clean import clean, clean_code
from retrieval_service.parsing.encoding import decode

_CHINESE = "北京是中华人民共和国的首都，也是全国的政治中心。人口超过两千万人，历史悠久。"
_TEXTS = [
    ("Die Straße führt über die Brücke nach Köln.", "cp1252"),
    ("Zażółć gęślą jaźń. Warszawa jest stolicą Polski i największym miastem kraju, nad Wisłą.", "cp1250"),
    ("Москва является столицей России и крупнейшим городом страны.", "cp1251"),
    ("Москва является столицей России и крупнейшим городом страны.", "koi8-r"),
    ("Η Αθήνα είναι η πρωτεύουσα της Ελλάδας.", "cp1253"),
    (_CHINESE, "gbk"),
    ("臺北市是中華民國的首都，也是臺灣的政治、文化中心，歷史悠久。", "big5"),
    ("東京は日本の首都であり、世界最大の都市圏の一つです。", "shift_jis"),
    ("東京は日本の首都であり、世界最大の都市圏の一つです。人口は千三百万人を超えています。", "euc_jp"),
    ("서울은 대한민국의 수도이자 최대 도시이다.", "euc_kr"),
    ("Plain words, two bytes each.", "utf-16-le"),
    ("Plain words, two bytes each.", "utf-16-be"),
    ("Words with a mark. Ünï", "utf-16"),
    ("Words with a mark. Ünï", "utf-8-sig"),
    ("Words with a mark. Ünï", "utf-32"),
]


@pytest.mark.parametrize(("text", "encoding"), _TEXTS)
def test_encodings(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding))[0] == text


@pytest.mark.parametrize("encoding", ["utf-8", "gbk", "utf-16"])
@pytest.mark.parametrize("before", range(4))
def test_long_texts_are_not_cut_within_a_character(
    read_bytes: Callable[..., Parsed], encoding: str, before: int
) -> None:
    text = "x" * before + _CHINESE * 1500
    assert read_bytes("a.txt", text.encode(encoding)).text == text


def test_a_few_bad_bytes_are_left_out(read_bytes: Callable[..., Parsed]) -> None:
    data = bytearray(_CHINESE.encode() * 5)
    data[30] = 0xFF
    parsed = read_bytes("a.txt", bytes(data))
    assert len(parsed.text) == len(_CHINESE) * 5 - 1
    assert parsed.notes == ("A few of its bytes are no text and were left out.",)


def test_rubbish_is_refused() -> None:
    for seed in range(20):
        for size in (300, 100_000):
            with pytest.raises(DocumentError) as caught:
                decode(random.Random(seed).randbytes(size))
            assert caught.value.fault.reason is FileReason.UNKNOWN_ENCODING


def test_a_declared_codec_that_is_no_encoding_of_text_is_not_used() -> None:
    with pytest.raises(DocumentError):
        decode(b"\x81\x8d\x00\x01" * 20, declared="zlib_codec")
    assert decode("Größe".encode("cp1252"), declared="rot13")[0] == "Größe"


@pytest.mark.parametrize(
    ("dirty", "text"),
    [
        ("  a \t b\u00a0c\u3000d  ", "a b c d"),
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("one \n\n\n two", "one\ntwo"),
        ("e\u0301", "é"),
        ("ﬁre ﬂow ＡＢ１２ ｶﾞ", "fire flow AB12 ガ"),
        ("10² and 2½ are ① and ⁵", "10² and 2½ are ① and ⁵"),
        ("1,234.50 −3 × 10⁻⁵", "1,234.50 −3 × 10⁻⁵"),
        ("in\u00advis\u200bible\ufeff", "invisible"),
        ("safe\u202egnp.exe\u202c", "safegnp.exe"),
        ("a\x00b\x07c\x9fd", "abcd"),
        ("hid\U000e0041\U000e0042den", "hidden"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("ﻻ ﷲ", "لا الله"),
        ("\ue123 bullet \U000f0854", "bullet"),
        ("bad \ud800 half", "bad half"),
        ("Ã¼ber", "Ã¼ber"),
        ("你好，世界！", "你好，世界！"),
    ],
)
def test_clean(dirty: str, text: str) -> None:
    assert clean(dirty) == text


def test_code_keeps_its_indentation() -> None:
    assert clean_code("\n\tif x:\r\n\n        y  \n") == "    if x:\n        y"


@given(st.text())
def test_clean_text_stays_as_it_is(text: str) -> None:
    once = clean(text)
    assert clean(once) == once
    assert "\n\n" not in once
    assert once == once.strip()
    assert all(once.count(digit) >= text.count(digit) for digit in "0123456789")
