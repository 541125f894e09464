"""Which sentence of an answer stands on which passage.

Two things make a citation: a mark that the model wrote, `[2]`, when there is a passage of that number; and
the words of a sentence, when one passage holds enough of them and all of its numbers. Both are only ever
looked for among the passages that stood in the prompt.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.grounding import sentences
from gateway.grounding.passages import Source
from gateway.retrieval.types import Hit

_MARK = re.compile(sentences.MARK)
_DIGITS = re.compile(r"\d+")
_UNFINISHED = re.compile(r"[^\S\n]?(?:[\[【][\d\s,，、]{0,16})?$")
_LOOK_BACK = 64
"""Characters before a new piece that may be part of a sentence's end."""
_ALONE = 4
"""A sentence of fewer words than this must have all of them in the passage."""


@dataclass(frozen=True, slots=True)
class Citation:
    """A span of the answer and the passage that it stands on. Places are characters of the answer's text."""

    source: Source
    hit: Hit
    """The one of the source's passages that says it."""
    start: int
    end: int
    """Behind the sentence."""
    place: int
    """Where a reader expects the reference: at the model's own mark, otherwise behind the sentence."""


class _Known:
    """A passage with its words, looked up once an answer."""

    __slots__ = ("hit", "numbers", "source", "terms")

    def __init__(self, source: Source, hit: Hit) -> None:
        said = "\n".join((*hit.passage.headings, hit.passage.text))
        self.source = source
        self.hit = hit
        self.terms = frozenset(sentences.terms(f"{hit.filename}\n{said}"))
        self.numbers = sentences.numbers(said)


class Evidence:
    """The passages that stood in a prompt, as things to cite."""

    def __init__(self, sources: Sequence[Source], *, support: float) -> None:
        """`support` is the share of a sentence's words that a passage must hold, 0 to 1."""
        self.sources = {source.number: source for source in sources}
        self._support = support
        self._known = [_Known(source, hit) for source in sources for hit in source.hits]

    def of(self, sentence: str, number: int | None = None) -> tuple[Source, Hit] | None:
        """The passage that a sentence stands on, of source `number` alone if one is named."""
        words = sentences.terms(sentence)
        if number is None and not words:
            return None
        figures = sentences.numbers(sentence)
        least = 0.0 if number is not None else 1.0 if len(words) < _ALONE else self._support
        best: tuple[float, _Known] | None = None
        for known in self._known:
            if (number is not None and known.source.number != number) or not figures <= known.numbers:
                continue
            share = sum(word in known.terms for word in words) / len(words) if words else 0.0
            if share >= least and (best is None or share > best[0]):
                best = share, known
        return (best[1].source, best[1].hit) if best is not None else None

    def closest(self, question: str) -> tuple[Source, Hit, str]:
        """The sentence that holds most of a question's words; the best passage's first if none holds any."""
        asked = set(sentences.terms(question))
        best: tuple[int, _Known, str] | None = None
        for known in self._known:
            for sentence in sentences.split(known.hit.passage.text):
                shared = len(asked.intersection(sentences.terms(sentence)))
                if best is None or shared > best[0]:
                    best = shared, known, sentence
        assert best is not None  # passages are never empty
        return best[1].source, best[1].hit, best[2]


class Citer:
    """Reads one choice of an answer as it comes; gives it back with its citations.

    Marks without a passage are taken out of the text, which is why the end of a piece that may become a mark
    is held back until it is one or is not. Nothing else waits.
    """

    def __init__(self, evidence: Evidence, *, marks: bool = True) -> None:
        """`marks` says whether `[2]` is a reference at all; in a JSON answer it is not."""
        self._evidence = evidence
        self._marks = marks
        self._held = ""
        self._open = ""
        """What has been given back since the last sentence ended."""
        self._begin = 0
        """Where that begins in the answer."""
        self._before = ""
        """The character before it."""
        self._marked: list[tuple[int, int]] = []
        """Marks in it: number, and place in the answer."""
        self.removed = 0
        """Marks that named nothing."""
        self.cited = False
        """Whether anything was cited so far."""

    def feed(self, text: str) -> tuple[str, list[Citation]]:
        """What may be shown by now, and the citations of sentences that have ended."""
        text, self._held = self._held + text, ""
        if self._marks and (tail := _UNFINISHED.search(text)) is not None:
            self._held, text = text[tail.start() :], text[: tail.start()]
        return self._take(text)

    def end(self) -> tuple[str, list[Citation]]:
        """The rest."""
        text, self._held = self._held, ""
        shown, citations = self._take(text)
        return shown, [*citations, *self._close(len(self._open))]

    @property
    def length(self) -> int:
        """Characters of the answer that have been given back."""
        return self._begin + len(self._open)

    def _take(self, text: str) -> tuple[str, list[Citation]]:
        shown = self._read_marks(text) if self._marks else text
        start = max(0, len(self._open) - _LOOK_BACK)
        self._open += shown
        citations: list[Citation] = []
        while (end := sentences.end_of_first(self._open, start)) is not None:
            citations += self._close(end)
            start = 0
        return shown, citations

    def _read_marks(self, text: str) -> str:
        """`text` without the marks that name no passage; takes note of the others."""
        shown, at = "", 0
        for mark in _MARK.finditer(text):
            shown += text[at : mark.start()]
            at = mark.end()
            given = [int(number) for number in _DIGITS.findall(mark[1])]
            known = [number for number in given if number in self._evidence.sources]
            before = shown[-1:] or self._open[-1:] or self._before
            space = mark[0][:1] if mark[0][:1].isspace() else ""
            if not known and not space and (before.isalnum() or before in ("_", "]", ")")):
                shown += mark[0]  # an index or the like, nothing that was meant to cite
                continue
            self.removed += len(given) - len(known)
            if known:
                place = self._begin + len(self._open) + len(shown) + len(space)
                self._marked += [(number, place) for number in known]
                shown += mark[0] if known == given else f"{space}[{', '.join(map(str, known))}]"
        return shown + text[at:]

    def _close(self, end: int) -> list[Citation]:
        """Ends the sentence that `end` characters of what is open make."""
        sentence, self._open = self._open[:end], self._open[end:]
        begin, self._begin = self._begin, self._begin + end
        self._before = sentence[-1:] or self._before
        marked = [mark for mark in self._marked if mark[1] < self._begin]
        self._marked = self._marked[len(marked) :]
        words = sentence.strip()
        if not words:
            return []
        start = begin + len(sentence) - len(sentence.lstrip())
        stop = begin + len(sentence.rstrip())
        if not marked:
            found = self._evidence.of(words)
            return [Citation(*found, start, stop, stop)] if found is not None else []
        said = _MARK.sub("", words)
        return [
            Citation(*found, start, stop, place)
            for number, place in dict(marked).items()
            if (found := self._evidence.of(said, number)) is not None
        ]
