"""Which real parts ran, and which could not: said on the last lines of every run."""

from __future__ import annotations

from typing import NoReturn

import pytest

_ran: set[str] = set()
_skipped: dict[str, str] = {}


def ran(part: str) -> None:
    """This part was started, or found running."""
    _ran.add(part)


def skip_part(part: str, reason: str) -> NoReturn:
    """Skip the test that asked for this part; `reason` is a few plain words."""
    _skipped[part] = reason
    pytest.skip(f"{part}: {reason}")


def closing_line() -> str | None:
    """None when no test asked for a part."""
    if _skipped:
        return "SKIPPED PARTS: " + "; ".join(f"{part}: {reason}" for part, reason in sorted(_skipped.items()))
    if _ran:
        return f"every real part ran ({', '.join(sorted(_ran))})"
    return None
