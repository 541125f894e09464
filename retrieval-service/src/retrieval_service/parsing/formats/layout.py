"""From a page's lines to headings and paragraphs, by the places and sizes that the lines have."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from retrieval_service.parsing.blocks import Blocks

_MARGIN = 0.12
"""Running heads and feet stand in this share of a page's height, at either end."""
_REPEATED = 0.6
_REPEATED_PAGES = 3
_LARGER = 1.12
_HEADING_CHARS = 160
_HEADING_SHARE = 0.25
_ITEM = re.compile(r"(?:[•◦▪●‣∙·*\u2013\uf0b7\uf0a7]|-(?=\s))\s*(?=\S)")
_NUMBERED = re.compile(r"(?:\(?\d{1,2}[.)]|\(?[a-z][.)]|[①-⑳])\s+\S")
_SENTENCE_END = re.compile(r"[.!?。！？:：;]['\")\]”’」』]*$")
_UNSPACED = re.compile("[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]")
_HANGUL = re.compile("[\uac00-\ud7a3]")
_HYPHEN = re.compile("(?<![^\\W\\d_])([^\\W\\d_]{1,60})[-\u00ad\u2010]$")
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the text layer; places in points from the lower left corner."""

    text: str
    """With the space that it may end in: it tells whether a word ends with the line."""
    left: float
    right: float
    top: float
    bottom: float
    size: float
    emphasised: bool


@dataclass(frozen=True, slots=True)
class Page:
    """Lines in the order of the text layer."""

    height: float
    lines: list[Line]


def write(pages: list[Page], blocks: Blocks) -> None:
    """All pages, without what repeats at their margins."""
    repeated = _repeated(pages)
    kept = [[line for line in page.lines if (_margin_key(line, page)) not in repeated] for page in pages]
    levels, body = _sizes([line for lines in kept for line in lines])
    joiner = _Joiner([line for lines in kept for line in lines])
    for lines in kept:
        blocks.next_page()
        for group in _groups(lines, body):
            _write_group(group, levels, body, joiner, blocks)
    if not blocks.title:
        blocks.title = next((line.text for lines in kept for line in lines if levels.get(line.size) == 1), "")


def _write_group(
    group: list[Line], levels: dict[float, int], body: float, joiner: _Joiner, blocks: Blocks
) -> None:
    text = joiner.join(group)
    size = group[0].size
    short = len(text) <= _HEADING_CHARS and any(map(str.isalpha, text))
    if short and size in levels:
        blocks.heading(text, levels[size])
    elif (
        short
        and len(group) == 1
        and group[0].emphasised
        and size >= body
        and len(text.split()) <= 12
        and not _SENTENCE_END.search(text)
        and not text[0].islower()
    ):
        blocks.heading(text, min(3, max(levels.values(), default=1) + 1))
    elif marker := _ITEM.match(text):
        blocks.item(text[marker.end() :])
    elif _NUMBERED.match(text):
        blocks.item(text)
    else:
        blocks.paragraph(text)


def _repeated(pages: list[Page]) -> set[str]:
    """Running heads and feet: the same but for numbers, at the same end of most pages."""
    if len(pages) < _REPEATED_PAGES:
        return set()
    seen: Counter[str] = Counter()
    for page in pages:
        seen.update({key for line in page.lines if (key := _margin_key(line, page))})
    least = max(_REPEATED_PAGES, _REPEATED * sum(bool(page.lines) for page in pages))
    return {key for key, times in seen.items() if times >= least}


def _margin_key(line: Line, page: Page) -> str:
    """Empty for lines that are not at a margin."""
    if line.bottom > page.height * (1 - _MARGIN):
        place = "top"
    elif line.top < page.height * _MARGIN:
        place = "bottom"
    else:
        return ""
    return f"{place} {re.sub(r'[0-9]+', '#', ' '.join(line.text.split()))}"


def _sizes(lines: list[Line]) -> tuple[dict[float, int], float]:
    """Levels of the sizes that headings have, and the size of most text."""
    chars: Counter[float] = Counter()
    for line in lines:
        chars[line.size] += len(line.text)
    if not chars:
        return {}, 0.0
    body = chars.most_common(1)[0][0]
    larger = sorted((size for size in chars if size >= body * _LARGER), reverse=True)
    if sum(chars[size] for size in larger) > _HEADING_SHARE * chars.total():
        return {}, body
    return {size: min(rank, 3) for rank, size in enumerate(larger, 1)}, body


def _groups(lines: list[Line], body: float) -> Iterator[list[Line]]:
    """Lines that belong together."""
    drops = [
        above.top - below.top
        for above, below in pairwise(lines)
        if 0.5 * body < above.top - below.top < 4 * body
    ]
    pitch = statistics.median(drops) if drops else 1.5 * body
    rights: dict[int, float] = {}
    for line in lines:
        column = round(line.left / 20)
        rights[column] = max(rights.get(column, 0.0), line.right)
    group: list[Line] = []
    for line in lines:
        if group and _parts(group[-1], line, pitch, rights.get(round(group[-1].left / 20), 0.0)):
            yield group
            group = []
        group.append(line)
    if group:
        yield group


def _parts(above: Line, line: Line, pitch: float, column_right: float) -> bool:
    """Whether a new paragraph begins with `line`."""
    drop = above.top - line.top
    if abs(above.size - line.size) > 0.08 * max(above.size, line.size):
        return abs(drop) > 0.3 * line.size  # on one line, a smaller sign is a note's number or the like
    if above.emphasised != line.emphasised and abs(drop) > 0.3 * line.size:
        return above.emphasised or bool(_SENTENCE_END.search(above.text.rstrip()))
    if abs(drop) <= 0.3 * line.size:
        return False
    if _ITEM.match(line.text) or _NUMBERED.match(line.text):
        return True
    ended = bool(_SENTENCE_END.search(above.text.rstrip()))
    if drop < 0:  # the next column
        return ended
    if drop > 1.35 * pitch:
        return True
    if not ended:
        return False
    indented = line.left - above.left > 0.8 * line.size
    return indented or above.right < column_right - 6 * line.size


class _Joiner:
    """Puts the lines of a paragraph together, as this document spells its words."""

    def __init__(self, lines: list[Line]) -> None:
        self._words: Counter[str] = Counter()
        for line in lines:
            self._words.update(word.lower() for word in _WORD.findall(line.text))
        korean = [line.text for line in lines if _HANGUL.search(line.text[-2:])]
        # Korean lines may break within a word; then those that do not end in a space.
        self._spaces_tell = sum(text.endswith(" ") for text in korean) * 10 > len(korean) > 0

    def join(self, lines: list[Line]) -> str:
        right = max(line.right for line in lines)
        parts: list[str] = []
        for above, line in pairwise(lines):
            parts += self._border(above.text, line.text, full=above.right > right - 1.5 * above.size)
        return "".join([*parts, lines[-1].text]).strip()

    def _border(self, text: str, following: str, *, full: bool) -> tuple[str, str]:
        """What is kept of a line, and what comes between it and the next."""
        tight = text.rstrip()
        hyphen = _HYPHEN.search(tight)
        if hyphen and following[:1].islower():
            rest = _WORD.match(following)
            tail = rest[0].lower() if rest else ""
            whole, first = tight[: hyphen.end(1)], hyphen[1].lower()
            usual = self._words[f"{first}-{tail.split('-')[0]}"] and not self._words[first + tail]
            return whole, "-" if usual else ""
        if tight.endswith("-") and following[:1].isalnum():
            return tight, ""
        last, first = tight[-1:], following[:1]
        if _UNSPACED.match(last) and _UNSPACED.match(first):
            return tight, ""
        if full and self._spaces_tell and text == tight and _HANGUL.match(first) and _HANGUL.match(last):
            return tight, ""
        return tight, " "
