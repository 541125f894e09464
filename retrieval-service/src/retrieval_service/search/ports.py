"""What a store's index is made of: two arms that know files by number and passages by id.

A passage's id is `"<attachment id>:<index>"`. Every arm removes by attachment, so a file that is
indexed again, under a new attachment, never mixes with what it was.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from retrieval_service.documents.passage import Passage

Vectors = npt.NDArray[np.float32]
"""(passages, dimensions), every row of length 1."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """Which attachments may answer. `None` in the index's place means all; empty means none at all."""

    attachments: frozenset[str]
    complement: bool = False
    """Whether `attachments` are those that may not: shorter to say when nearly all may."""


class Scored(NamedTuple):
    """What one arm thinks of a passage. `score` is from 0 to 1 and comparable between queries."""

    passage_id: str
    score: float


class IndexDamaged(Exception):
    """What an arm has on disk is broken, or of another version: delete it, and put everything again."""


class LexicalArm(Protocol):
    """BM25 over one store. Methods block: call them in a thread. One writer, many readers."""

    def put(self, attachment: str, passages: Sequence[Passage]) -> None:
        """Replaces all that is indexed under this attachment. Durable when it returns."""
        ...

    def put_many(self, files: Mapping[str, Sequence[Passage]]) -> None:
        """As `put`, of several attachments at once: cheaper, and all or none."""
        ...

    def remove(self, attachments: Collection[str]) -> None:
        """Durable when it returns; unknown ones are no error."""
        ...

    def search(self, query: str, limit: int, allowed: Allowed | None = None) -> list[Scored]:
        """The best first. Empty for a query without any word."""
        ...

    def score(self, query: str, passage_ids: Sequence[str]) -> dict[str, float]:
        """The query's scores of passages that another arm found; absent where it matches nothing."""
        ...

    def passages(self, passage_ids: Sequence[str]) -> dict[str, Passage]:
        """What is stored under ids; unknown ones are absent."""
        ...

    def attachments(self) -> set[str]:
        """Every attachment that has passages here."""
        ...

    def close(self) -> None:
        """Lets go of files and locks."""
        ...


class VectorArm(Protocol):
    """Nearest neighbours over one store. Methods block: call them in a thread."""

    def put(self, attachment: str, vectors: Vectors) -> None:
        """Replaces all that is indexed under this attachment; row i is passage i."""
        ...

    def put_many(self, files: Mapping[str, Vectors]) -> None:
        """As `put`, of several attachments at once: cheaper."""
        ...

    def remove(self, attachments: Collection[str]) -> None:
        """Unknown ones are no error."""
        ...

    def search(
        self, vector: npt.NDArray[np.float32], limit: int, allowed: Allowed | None = None
    ) -> list[Scored]:
        """The nearest first; score is (1 + cosine) / 2."""
        ...

    def at_hand(self) -> bool:
        """Whether a search is answered from memory: a thread of its own would cost more than it saves."""
        ...

    def score(self, vector: npt.NDArray[np.float32], passage_ids: Sequence[str]) -> dict[str, float]:
        """As for the lexical arm."""
        ...

    def attachments(self) -> set[str]:
        """Every attachment that has vectors here."""
        ...

    def drop(self) -> None:
        """Deletes all of this store's vectors."""
        ...

    def close(self) -> None:
        """Lets go of connections."""
        ...
