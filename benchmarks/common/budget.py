"""How many rounds: as planned, or as many as the time allows."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator


def rounds(part: str, mode: str, planned: int, seconds: float) -> Iterator[int]:
    """Counts rounds from 0. At least two (or what is planned) are run; none is begun after `seconds`."""
    begin = time.monotonic()
    for number in range(planned):
        if number >= 2 and time.monotonic() - begin > seconds:
            print(f"{part}: {mode}: {number} rounds of {planned}, time is up", file=sys.stderr, flush=True)
            return
        print(f"{part}: {mode} round {number + 1} of {planned}", file=sys.stderr, flush=True)
        yield number
