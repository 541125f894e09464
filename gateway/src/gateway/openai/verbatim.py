"""The bytes of JSON members exactly as the caller wrote them.

Fields that the contract does not name travel to the engine byte for byte. Decoding and encoding again
would lose big integers, number spelling and key order, so members are cut out of the text instead.
Only requests that carry such fields pay for it.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from json.decoder import scanstring  # type: ignore[attr-defined]

from servicekit.errors import Reason, SixfoldError

_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
_SPACE = " \t\n\r"


def _skip(text: str, at: int) -> int:
    while text[at] in _SPACE:
        at += 1
    return at


def members(text: str) -> dict[str, str]:
    """The members of a JSON object as text, by name; a repeated name keeps its last value."""
    found: dict[str, str] = {}
    at = _skip(text, 0) + 1  # past "{"
    at = _skip(text, at)
    while text[at] != "}":
        name, at = scanstring(text, at + 1, True)
        at = _skip(text, _skip(text, at) + 1)  # past ":"
        end = _value_end(text, at)
        found[name] = text[at:end]
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return found


def items(text: str) -> list[str]:
    """The entries of a JSON array as text."""
    found: list[str] = []
    at = _skip(text, _skip(text, 0) + 1)  # past "["
    while text[at] != "]":
        end = _value_end(text, at)
        found.append(text[at:end])
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return found


def _value_end(text: str, at: int) -> int:
    try:
        end: int = _scan(text, at)[1]
    except (StopIteration, ValueError, RecursionError) as error:
        raise SixfoldError(Reason.INVALID_JSON, "The body is nested too deeply.") from error
    return end


def without(found: dict[str, str], known: Collection[str]) -> bytes:
    """A JSON object of the members that are not in `known`; empty when none is left."""
    rest = [f"{json.dumps(name)}:{value}" for name, value in found.items() if name not in known]
    return ("{" + ",".join(rest) + "}").encode() if rest else b""
