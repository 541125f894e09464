"""Where something stands: a file with its page or its heading, in one line."""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from sixfold_cli.client import Api
from sixfold_cli.errors import CliError

_SHORT = 320
"""Characters of a passage that are shown unless all of it is asked for."""


def place(item: Mapping[str, Any]) -> str:
    """ "handbook/travel.pdf, page 3 · Trains › Tickets" of a search result or a citation."""
    name = str(
        (item.get("attributes") or {}).get("path") or item.get("filename") or item.get("file_id") or "?"
    )
    where = item.get("place") or item
    first = where.get("page_first") or where.get("page")
    last = where.get("page_last") or where.get("last_page")
    if first:
        name += f", page {first}" if last in (None, first) else f", pages {first}–{last}"
    headings = [str(each) for each in where.get("headings") or []]
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


def label(api: Api, citations: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Citations with the attributes that their files carry in their stores: `ingest` keeps paths there."""
    known: dict[tuple[str, str], Mapping[str, Any]] = {}
    for each in citations:
        at = (str(each.get("vector_store_id", "")), str(each.get("file_id", "")))
        if at not in known:
            known[at] = {}
            with contextlib.suppress(CliError):  # deleted meanwhile, or a key that may not look
                store, file = (quote(part, safe="") for part in at)
                known[at] = api.call("GET", f"/v1/vector_stores/{store}/files/{file}").get("attributes") or {}
    return [
        {
            **each,
            "attributes": dict(known[(str(each.get("vector_store_id", "")), str(each.get("file_id", "")))]),
        }
        for each in citations
    ]


def listing(citations: Sequence[Mapping[str, Any]], grounding: str) -> list[str]:
    """Each source once, by its number. `grounding` is the answer's header of that name."""
    lines: dict[str, None] = {}
    for each in sorted(citations, key=lambda each: each.get("number") or 0):
        lines[f"  [{each.get('number', '?')}] {place(each)}"] = None
    if lines:
        return ["Sources:", *lines]
    if grounding.startswith("passages="):
        return ["No sources: passages were read, but no sentence of this answer stands in them."]
    return ["No sources: nothing was found that answers this."]
