"""Readable numbers in gateway.yaml: `120s`, `1.5m`, `250ms`, `20%`."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%")


def seconds(value: Any) -> Any:
    """Seconds from `120`, `"120s"`, `"2m"`, `"250ms"`."""
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
        if match is None:
            raise ValueError("a duration is a number with ms, s, m or h, such as 120s")
        return float(match[1]) * _UNITS[match[2]]
    return value


def share(value: Any) -> Any:
    """A share between 0 and 1 from `0.2` or `"20%"`."""
    if isinstance(value, str):
        match = _SHARE.fullmatch(value.strip())
        if match is None:
            raise ValueError("a share is a percentage, such as 20%")
        return float(match[1]) / 100
    return value


Seconds = Annotated[float, BeforeValidator(seconds)]
Share = Annotated[float, BeforeValidator(share)]
