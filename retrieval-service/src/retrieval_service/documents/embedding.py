"""Vectors of texts, and who makes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Embedded:
    """`vectors` is (texts, dimensions), float32, every row of length 1. `version` is their model's."""

    vectors: npt.NDArray[np.float32]
    version: str


class Embedder(Protocol):
    """The models of the platform."""

    async def embed(self, tenant: str, model: str, texts: Sequence[str], *, deadline: float) -> Embedded:
        """One vector a text, within `deadline` seconds.

        Raises SixfoldError: MODEL_NOT_FOUND; CONTEXT_LENGTH_EXCEEDED for a text that is too long for the
        model, with `limit` in its metadata where that is known; others that say "later".
        """
        ...
