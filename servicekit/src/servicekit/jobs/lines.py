"""What worker and job process say to each other: JSON, one object a line, of limited length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

MAX_LINE = 8 * 1024 * 1024
"""Bytes of one line at most."""


def encode(line: Mapping[str, Any]) -> bytes:
    """ValueError for what is no JSON, or too long."""
    try:
        data = orjson.dumps(line, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY) + b"\n"
    except TypeError as error:
        raise ValueError("not JSON") from error
    if len(data) > MAX_LINE:
        raise ValueError("the line is too long")
    return data


def decode(data: bytes) -> dict[str, Any]:
    """ValueError for anything but a whole line with one object."""
    if not data.endswith(b"\n"):
        raise ValueError("not a whole line")
    said = orjson.loads(data)
    if not isinstance(said, dict) or not isinstance(said.get("t"), str):
        raise ValueError("not an object with a type")
    return said
