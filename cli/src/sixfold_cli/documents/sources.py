"""Where something stands: a file with its page or its heading, in one line."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

_SHORT = 320
"""Characters of a passage that are shown unless all of it is asked for."""


def place(item: Mapping[str, Any]) -> str:
    """ "handbook/travel.pdf, page 3 · Trains › Tickets" of a search result or an annotation."""
    attributes = item.get("attributes") or {}
    name = str(attributes.get("path") or item.get("filename") or item.get("file_id") or "?")
    first, last = item.get("page_first") or 0, item.get("page_last") or 0
    if first:
        name += f", page {first}" if last in (0, first) else f", pages {first}–{last}"
    headings = [str(each) for each in item.get("headings") or []]
    return f"{name} · {' › '.join(headings)}" if headings else name


def passage(number: int, hit: Mapping[str, Any], *, full: bool) -> list[str]:
    """A hit's lines: its rank, score and place, and below what it says."""
    text = " ".join(str(part.get("text", "")) for part in hit.get("content") or [])
    words = " ".join(text.split())
    if not full and len(words) > _SHORT:
        words = words[:_SHORT].rsplit(" ", 1)[0] + " …"
    indent = " " * 4
    shown = textwrap.wrap(words, 100, initial_indent=indent, subsequent_indent=indent)
    return [f"{number:>2}  {hit.get('score', 0):.2f}  {place(hit)}", *shown]
