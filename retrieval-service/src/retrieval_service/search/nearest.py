"""Exact nearest neighbours in memory: for a store of some ten thousand passages quicker than any index.

One product of a matrix and a vector gives every passage's cosine, so nothing is missed, a filter costs one
mask, and the scores of passages that the other arm found are there already.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from retrieval_service.search.ports import Allowed, Scored, Vectors

GONE = -1
"""The owner of a row that was deleted."""
_OUT = -2.0
"""Below every cosine."""


@dataclass(slots=True)
class _Rows:
    """Rows in place. Readers use the first `len(ids)` that they saw; only a new `_Rows` ever moves one."""

    vectors: Vectors
    owners: npt.NDArray[np.int64]
    """Each row's attachment by its code, or GONE."""
    ids: list[str] = field(default_factory=list)
    codes: dict[str, int] = field(default_factory=dict)


class Nearest:
    """Vectors of one store by passage. Any number of threads may search while one changes it."""

    def __init__(self, dimensions: int) -> None:
        self._dimensions = dimensions
        self._changing = threading.Lock()
        self._rows = self._empty(1_024)
        self._row: dict[str, int] = {}
        self._owned: dict[str, list[int]] = {}
        self._gone = 0
        self._kept: tuple[_Rows, Allowed, npt.NDArray[np.bool_]] = (
            self._rows,
            Allowed(frozenset()),
            np.zeros(0, np.bool_),
        )
        """The last filter: the same one is often asked again, and may name thousands."""

    @property
    def bytes(self) -> int:
        """Memory that the vectors take."""
        return self._rows.vectors.nbytes

    def put(self, files: Mapping[str, tuple[Sequence[str], Vectors]]) -> None:
        """Replaces what these attachments have: ids of passages, and their vectors."""
        with self._changing:
            for attachment, (ids, vectors) in files.items():
                self._forget(attachment)
                self._append(attachment, ids, vectors)

    def remove(self, attachments: Collection[str]) -> None:
        """Unknown ones are no error."""
        with self._changing:
            for attachment in attachments:
                self._forget(attachment)
            if self._gone > 1_024 and self._gone * 2 > len(self._rows.ids):
                self._compact()

    def attachments(self) -> set[str]:
        """Those that have vectors."""
        return set(self._owned)

    def search(
        self, vector: npt.NDArray[np.float32], limit: int, allowed: Allowed | None = None
    ) -> list[Scored]:
        """The nearest first; equals in the order in which they came."""
        rows = self._rows
        count = len(rows.ids)
        if not count:
            return []
        owners = rows.owners[:count]
        cosines = _cosines(rows.vectors[:count], vector)
        if allowed is not None:
            passing = self._passing(rows, allowed)
            # An attachment that came while this runs is not in the table, and waits for the next search.
            cosines[~passing[np.where(owners < len(passing) - 1, owners, GONE)]] = _OUT
        elif self._gone:
            cosines[owners == GONE] = _OUT
        limit = min(limit, count)
        best = np.argpartition(cosines, count - limit)[count - limit :]
        best = best[np.argsort(-cosines[best], kind="stable")]
        best = best[cosines[best] > _OUT]
        names = map(rows.ids.__getitem__, best.tolist())
        return list(map(Scored, names, _absolute(cosines[best])))

    def _passing(self, rows: _Rows, allowed: Allowed) -> npt.NDArray[np.bool_]:
        """Whether each attachment, by its code, may answer; the last place is for rows that are GONE."""
        known = len(rows.codes)
        kept_rows, kept_allowed, passing = self._kept
        if kept_rows is rows and kept_allowed is allowed and len(passing) == known + 1:
            return passing
        named = [rows.codes.get(one, known) for one in allowed.attachments]
        passing = np.full(known + 1, allowed.complement)
        passing[[code for code in named if code < known]] = not allowed.complement
        passing[GONE] = False
        self._kept = (rows, allowed, passing)
        return passing

    def score(self, vector: npt.NDArray[np.float32], passage_ids: Sequence[str]) -> dict[str, float]:
        """Of those that are there."""
        with self._changing:
            rows = self._rows
            found = {one: self._row[one] for one in passage_ids if one in self._row}
        if not found:
            return {}
        scores = _absolute(_cosines(rows.vectors[list(found.values())], vector))
        return dict(zip(found, scores, strict=True))

    def _forget(self, attachment: str) -> None:
        taken = self._owned.pop(attachment, [])
        for row in taken:
            self._rows.owners[row] = GONE
            del self._row[self._rows.ids[row]]
        self._gone += len(taken)

    def _append(self, attachment: str, ids: Sequence[str], vectors: Vectors) -> None:
        rows, start = self._rows, len(self._rows.ids)
        if start + len(ids) > len(rows.vectors):
            grown = self._empty(max(2 * len(rows.vectors), start + len(ids)))
            grown.vectors[:start], grown.owners[:start] = rows.vectors[:start], rows.owners[:start]
            grown.ids, grown.codes = list(rows.ids), dict(rows.codes)
            self._rows = rows = grown
        code = rows.codes.setdefault(attachment, len(rows.codes))
        rows.vectors[start : start + len(ids)] = vectors
        rows.owners[start : start + len(ids)] = code
        self._row.update({one: start + number for number, one in enumerate(ids)})
        if ids:
            self._owned[attachment] = list(range(start, start + len(ids)))
        rows.ids.extend(ids)  # last: from here on searches see them

    def _compact(self) -> None:
        old, live = self._rows, np.flatnonzero(self._rows.owners[: len(self._rows.ids)] != GONE)
        new = self._empty(max(1_024, 2 * len(live)))
        new.vectors[: len(live)] = old.vectors[live]
        new.ids = [old.ids[row] for row in live.tolist()]
        self._row = {one: row for row, one in enumerate(new.ids)}
        self._owned = {}
        for row, one in enumerate(new.ids):
            attachment = one.rpartition(":")[0]
            new.owners[row] = new.codes.setdefault(attachment, len(new.codes))
            self._owned.setdefault(attachment, []).append(row)
        self._rows, self._gone = new, 0

    def _empty(self, capacity: int) -> _Rows:
        return _Rows(
            np.zeros((capacity, self._dimensions), np.float32), np.full(capacity, GONE, dtype=np.int64)
        )


def _cosines(rows: Vectors, vector: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Of rows of length 1, in this thread alone.

    `rows @ vector` would be cut among threads that wait for each other by spinning: 0.1 ms where the machine
    is idle, and 20 where it is not.
    """
    cosines: npt.NDArray[np.float32] = np.vecdot(rows, vector)
    return cosines


def _absolute(cosines: npt.NDArray[np.float32]) -> list[float]:
    scores: list[float] = np.clip((1 + cosines) / 2, 0, 1).tolist()
    return scores


def absolute(cosine: float) -> float:
    """A cosine as a score from 0 to 1."""
    return min(max((1 + cosine) / 2, 0.0), 1.0)
