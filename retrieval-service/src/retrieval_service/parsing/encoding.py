"""From bytes to text, or an honest refusal."""

from __future__ import annotations

import codecs
import re

from charset_normalizer import from_bytes

from retrieval_service.documents.errors import DocumentError, FileReason

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark begins alike
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE = 64 << 10
_FEW = 30
_LONGEST = 4
_GOOD_PER_BAD = 10
_HIGH = re.compile(rb"[\x80-\xff]+")
_ACCENTED = ("cp1252", "cp1250", "cp1254", "cp1257", "mac-roman")
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_DECLARED = re.compile(
    rb"""<(?:meta|\?xml)[^>]{0,200}?(?:charset|encoding)\s*=\s*["']?\s*([\w.:-]{1,40})""", re.I
)
_NAMES = """
    utf-8 ascii utf-16 utf-16-le utf-16-be utf-32 iso8859-1 iso8859-2 iso8859-3 iso8859-4 iso8859-5 iso8859-6
    iso8859-7 iso8859-8 iso8859-9 iso8859-10 iso8859-11 iso8859-13 iso8859-14 iso8859-15 iso8859-16 cp1250
    cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 cp437 cp850 cp852 cp866 cp874 cp932 cp949 cp950
    gb18030 big5 big5hkscs shift_jis euc_jp iso2022_jp euc_kr johab koi8-r koi8-u mac-roman mac-cyrillic hz
"""
_TEXTUAL = frozenset(_NAMES.split())
_NARROW = {name for name in _TEXTUAL if not name.startswith(("utf", "iso8859-1", "ascii"))} - {"hz"}
"""Codecs that make text of bytes. Python has others, which unpack and unescape; no document chooses those."""


DAMAGED = "damaged utf-8"
"""The encoding of text of which a few bytes could not be read."""


def preload() -> None:
    """Load every codec while files may still be opened."""
    for name in (*_TEXTUAL, "utf-8-sig"):
        codecs.lookup(name)


def decode(data: bytes, *, declared: str | None = None, markup: bool = False) -> tuple[str, str]:
    """The text and its encoding. `declared` is what a protocol says; `markup` also asks the text itself.

    Raises DocumentError(UNKNOWN_ENCODING).
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _strict(data, encoding), encoding
    if markup and declared is None and (found := _DECLARED.search(data[:4096])):
        declared = found[1].decode("ascii", "replace")
    text = _try(data, "utf-8")
    if text is not None and not _is_binary(text):
        return text, "utf-8"
    text = _damaged(data)
    if text is not None and not _is_binary(text):
        return text, DAMAGED
    said = _known(declared) if declared is not None else None
    if said is not None:
        text = _try(data, said)
        if text is not None and not _is_binary(text):
            return text, said
    name = _wide(data) or _guess(data)
    return _strict(data, name), name


def is_text(head: bytes, *, whole: bool) -> bool:
    """Whether a file could be text in some encoding. Its head may end within a character."""
    for trim in range(1 if whole else _LONGEST):
        try:
            decode(head[: len(head) - trim])
        except DocumentError:
            continue
        return True
    return False


def _damaged(data: bytes) -> str | None:
    """UTF-8 with an error here and there, None if it is anything else."""
    text = data.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    good = sum(text.count(sign) for sign in set(text) if ord(sign) > 127) - bad
    return text if bad * _GOOD_PER_BAD <= good else None


def _strict(data: bytes, name: str) -> str:
    text = _try(data, name)
    if text is None or _is_binary(text):
        raise _unknown()
    return text


def _try(data: bytes, name: str) -> str | None:
    try:
        return data.decode(name)
    except (UnicodeDecodeError, LookupError):
        return None


def _known(name: str) -> str | None:
    try:
        normal = codecs.lookup(name).name
    except LookupError:
        return None
    normal = {"iso8859-1": "cp1252", "ascii": "cp1252", "gb2312": "gb18030", "gbk": "gb18030"}.get(
        normal, normal
    )
    return normal if normal in _TEXTUAL else None


def _wide(data: bytes) -> str | None:
    """UTF-16 without a mark: Latin text has a zero in nearly every other byte."""
    sample = data[:_SAMPLE]
    if len(sample) < 4 or sample.count(0) < len(sample) // 4:
        return None
    for name, zeros in (("utf-16-le", sample[1::2]), ("utf-16-be", sample[::2])):
        if zeros.count(0) > 0.8 * len(zeros) and sample.count(0) <= 1.1 * zeros.count(0):
            return name
    return None


def _guess(data: bytes) -> str:
    sample = data[:_SAMPLE]
    if b"\0" in sample:
        raise _unknown()
    isolation = sorted(_NARROW)
    runs = _HIGH.findall(sample)
    if sum(len(run) == 1 for run in runs) >= 0.8 * len(runs):
        # Letters with accents among others: an alphabet of Europe, and with few of them its usual one.
        if len(runs) < _FEW and _try(data, "cp1252") is not None:
            return "cp1252"
        isolation = list(_ACCENTED)
    for trim in range(1 if len(data) <= _SAMPLE else _LONGEST):
        best = from_bytes(sample[: len(sample) - trim], cp_isolation=isolation).best()
        if best is not None:
            return str(best.encoding)
    raise _unknown()


def _is_binary(text: str) -> bool:
    """Whether more than one character in 200 is a control that no text needs."""
    sample = text[:_SAMPLE]
    return len(_CONTROLS.findall(sample)) * 200 > len(sample)


def _unknown() -> DocumentError:
    return DocumentError(FileReason.UNKNOWN_ENCODING, "Its bytes are text in no encoding that is known.")
