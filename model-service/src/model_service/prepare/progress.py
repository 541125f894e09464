"""Progress on stderr, one line a step, with the seconds since the start."""

from __future__ import annotations

import sys
import time


class Progress:
    """Says what is being done. Every step that may take more than a second gets a line."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def say(self, text: str) -> None:
        """Write one line."""
        print(f"prepare [{time.monotonic() - self._begun:5.1f} s] {text}", file=sys.stderr, flush=True)  # noqa: T201


class PrepareError(Exception):
    """Preparation cannot go on. The text is one line for a person: what is wrong, and the way out."""
