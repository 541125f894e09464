"""Numbers in words: spans of time, sizes, shares, moments."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

_BARS = "▁▂▃▄▅▆▇█"


def span(seconds: float) -> str:
    """ "45 s", "12 min", "3 h", "5 d": rounded to what a person would say."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def size(count: float) -> str:
    """Bytes as "1.2 GB"."""
    for much, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= much:
            return f"{count / much:.1f} {unit}"
    return f"{count:.0f} B"


def percent(share: float) -> str:
    """ "94%"; one more digit where it is needed to tell it from 0 and from all."""
    return f"{100 * share:.1f}%" if 0 < share < 0.01 or 0.99 < share < 1 else f"{100 * share:.0f}%"


def moment(seconds: object) -> str:
    """Of Unix seconds, in UTC; "-" for none."""
    if not isinstance(seconds, int | float) or not seconds:
        return "-"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def small(p_value: float) -> str:
    """A p value as it is written."""
    return "p < 0.0001" if p_value < 0.0001 else f"p = {p_value:.4f}"


def curve(values: Sequence[float], width: int = 10) -> str:
    """The last `width` values as bars between their least and most."""
    shown = values[-width:]
    if len(shown) < 2:
        return ""
    low, high = min(shown), max(shown)
    steps = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BARS[round((each - low) * steps)] for each in shown)
