"""Which passages stand in a prompt: whole ones, the best first, as many as there is room for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.retrieval.types import Hit


@dataclass(frozen=True, slots=True)
class Source:
    """What stands under one number: a passage, or neighbours of one file in the order of the document."""

    number: int
    """From 1, the best first."""
    hits: tuple[Hit, ...]

    @property
    def text(self) -> str:
        """What it says. What two neighbours share stands there once."""
        text, end = "", 0
        for hit in self.hits:
            passage = hit.passage
            shared = end - passage.char_start if text else 0
            plain = passage.char_end - passage.char_start == len(passage.text)
            if plain and 0 < shared < len(passage.text) and text.endswith(passage.text[:shared]):
                text += passage.text[shared:]
            else:
                text = f"{text}\n{passage.text}" if text else passage.text
            end = passage.char_end
        return text

    @property
    def filename(self) -> str:
        """The file that it stands in."""
        return self.hits[0].filename

    @property
    def pages(self) -> tuple[int, int] | None:
        """First and last page; None where the format has none."""
        first, last = self.hits[0].passage.page_first, max(hit.passage.page_last for hit in self.hits)
        return (first, max(first, last)) if first else None

    @property
    def headings(self) -> tuple[str, ...]:
        """The headings above its beginning, outermost first."""
        return self.hits[0].passage.headings


def choose(hits: Sequence[Hit], sizes: Sequence[int], *, room: int, most: int) -> list[Source]:
    """At most `most` of `hits`, best first, whose `sizes` fit into `room` together; neighbours made one.

    One that does not fit is passed by, and a smaller one behind it may still be taken: none is ever cut.
    """
    taken: list[Hit] = []
    seen: set[str] = set()
    for hit, size in zip(hits, sizes, strict=True):
        passage = hit.passage
        if len(taken) == most:
            break
        if size > room or passage.id in seen or passage.text in seen:
            continue
        seen |= {passage.id, passage.text}
        taken.append(hit)
        room -= size
    return [Source(number, run) for number, run in enumerate(_runs(taken), 1)]


def _runs(hits: Sequence[Hit]) -> list[tuple[Hit, ...]]:
    """Neighbours of one file together, in reading order; the runs in the order of their best."""
    rank = {hit.passage.id: at for at, hit in enumerate(hits)}
    runs: list[list[Hit]] = []
    for hit in sorted(hits, key=lambda hit: (hit.store_id, hit.file_id, hit.passage.index)):
        last = runs[-1][-1] if runs else None
        if (
            last is not None
            and (last.store_id, last.file_id) == (hit.store_id, hit.file_id)
            and last.passage.index + 1 == hit.passage.index
        ):
            runs[-1].append(hit)
        else:
            runs.append([hit])
    runs.sort(key=lambda run: min(rank[hit.passage.id] for hit in run))
    return [tuple(run) for run in runs]
