"""HTML: what a reader sees of a page. Nothing that it names is ever fetched, no script runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from selectolax.lexbor import LexborHTMLParser

from retrieval_service.documents.errors import DocumentError, FileReason
from retrieval_service.parsing.blocks import Blocks
from retrieval_service.parsing.tables import TableWriter

MEDIA_TYPE = "text/html"

# Around the text rather than of it, or not shown at all.
_SKIPPED_NAMES = """
    head script style noscript template nav footer svg iframe frame object embed applet audio video
    canvas button select input textarea datalist dialog menu map link meta title
"""
_SKIPPED = frozenset(_SKIPPED_NAMES.split())
_SKIPPED_ROLES = frozenset(["navigation", "contentinfo", "search", "banner", "menu", "menubar", "toolbar"])
_CLASSES = "mw-editsection mw-jump-link navbox catlinks printfooter noprint headerlink sr-only"
_SKIPPED_CLASSES = frozenset(_CLASSES.split())
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d])", re.I)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BLOCK_NAMES = """
    address article aside blockquote body caption center dd details div dl dt fieldset figcaption figure
    form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main ol p pre section summary table tbody td
    tfoot th thead tr ul
"""
_BLOCKS = frozenset(_BLOCK_NAMES.split())
_MAIN_CHARS = 200
_LINKS = 8
_LINK_CHARS = 30
_SPAN = 50


def read(text: str, blocks: Blocks) -> None:
    """Raises DocumentError(TOO_LARGE) for nesting beyond the limit."""
    tree = LexborHTMLParser(text)
    title = tree.css_first("title")
    if title is not None and not blocks.title:
        blocks.title = title.text()
    root = tree.body or tree.root
    if root is None:
        return
    main = tree.css("main, [role=main]")
    if len(main) == 1 and len(main[0].text()) >= _MAIN_CHARS:
        root = main[0]
    _Writer(blocks).walk(root)


class _Writer:
    """Gathers inline text until a block ends."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self._text: list[str] = []
        self._lists = 0
        self._chars = 0

    def walk(self, root: Any) -> None:
        self._chars = len("".join(root.text().split()))
        for node, opens in _events(root, self._blocks.limits.depth, self._skips):
            if opens:
                self._open(node)
            else:
                self._close(node.tag)
        self._flush("p")

    def _skips(self, node: Any) -> bool:
        """Whether to leave out what is below a node: because nobody sees it, or it is written already."""
        tag = node.tag
        if _is_skipped(node) or (tag in ("ul", "ol") and self._is_menu(node)):
            return True
        if tag in _HEADINGS or tag == "pre":
            self._flush("p")
            text = _inline(node, self._blocks.limits.depth, keep=tag == "pre")
            if tag == "pre":
                self._blocks.code(text)
            else:
                self._blocks.heading(text, _HEADINGS[tag])
            return True
        if tag == "table" and not _is_layout(node):
            self._flush("p")
            self._table(node)
            return True
        return False

    def _is_menu(self, node: Any) -> bool:
        """Whether a list is only many short links, and not what the page is about."""
        links = node.css("a")
        if len(links) < _LINKS:
            return False
        chars = len("".join(node.text().split()))
        linked = sum(len("".join(link.text().split())) for link in links)
        return linked >= 0.95 * chars and linked < _LINK_CHARS * len(links) and 2 * chars < self._chars

    def _open(self, node: Any) -> None:
        tag = node.tag
        if tag == "-text":
            self._text.append(node.text_content or "")
        elif tag == "br":
            self._text.append("\0")
        elif tag in _BLOCKS:
            self._flush("li" if self._lists else "p")
            self._lists += tag == "li"

    def _close(self, tag: str) -> None:
        if tag in _BLOCKS:
            self._flush("li" if self._lists else "p")
            self._lists -= tag == "li"

    def _flush(self, tag: str) -> None:
        if not self._text:
            return
        text = _spaced("".join(self._text))
        self._text.clear()
        if tag == "li":
            self._blocks.item(text)
        else:
            self._blocks.paragraph(text)

    def _table(self, table: Any) -> None:
        depth = self._blocks.limits.depth
        rows = [
            [child for child in row.iter() if child.tag in ("td", "th")]
            for row in table.css("tr")
            if not _is_skipped(row)
        ]
        caption = table.css_first("caption")
        if caption is not None:
            self._blocks.paragraph(_inline(caption, depth))
        rows = [row for row in rows if row]
        header = bool(rows) and len(rows[0]) > 1 and all(cell.tag == "th" for cell in rows[0])
        writer = TableWriter(self._blocks, header=True if header else None)
        carried: dict[int, tuple[int, str]] = {}
        for number, row in enumerate(rows):
            labelled = len(row) == 2 and row[0].tag == "th" and row[1].tag == "td" and not header
            if labelled:
                writer.finish()
                self._blocks.row(f"{_inline(row[0], depth)}: {_inline(row[1], depth)}")
            else:
                writer.add(_cells(row, carried, depth, names=header and number == 0))
        writer.finish()


def _cells(row: list[Any], carried: dict[int, tuple[int, str]], depth: int, *, names: bool) -> list[str]:
    """A row's texts by column; cells that span rows are said in each, names that span columns in each."""
    out: list[str] = []

    def carry() -> None:
        while (held := carried.get(len(out))) is not None:
            left, text = held
            if left > 1:
                carried[len(out)] = (left - 1, text)
            else:
                del carried[len(out)]
            out.append(text)

    for cell in row:
        if _is_skipped(cell):
            continue
        carry()
        text = _inline(cell, depth)
        for column in range(_span(cell, "colspan")):
            shown = text if column == 0 or names else ""
            if (rows := _span(cell, "rowspan")) > 1:
                carried[len(out)] = (rows - 1, shown)
            out.append(shown)
    carry()
    return out


def _span(cell: Any, name: str) -> int:
    value = cell.attributes.get(name) or "1"
    return max(1, min(int(value), _SPAN)) if value.isascii() and value.isdigit() and len(value) < 6 else 1


def _is_layout(table: Any) -> bool:
    """Whether a table only arranges a page: then what is in its cells is not a table's."""
    if (table.attributes.get("role") or "") in ("presentation", "none"):
        return True
    if table.css_first("h1, h2, h3, h4, pre, form") is not None:
        return True
    return len(table.css("table")) > 1 or not any(len(row.css("td, th")) > 1 for row in table.css("tr"))


def _is_skipped(node: Any) -> bool:
    tag = node.tag
    if tag in _SKIPPED or tag in ("-comment", "!doctype", "!--"):
        return True
    if tag == "-text":
        return False
    attributes = node.attributes
    if not attributes:
        return False
    return (
        "hidden" in attributes
        or attributes.get("aria-hidden") == "true"
        or (attributes.get("role") or "") in _SKIPPED_ROLES
        or not _SKIPPED_CLASSES.isdisjoint((attributes.get("class") or "").split())
        or _HIDDEN.search(attributes.get("style") or "") is not None
    )


def _inline(root: Any, depth: int, *, keep: bool = False) -> str:
    """All text below a node on one line, or as it stands if `keep`."""
    parts: list[str] = []
    for node, opens in _events(root, depth, lambda node: node is not root and _is_skipped(node)):
        if node.tag == "-text":
            if opens:
                parts.append(node.text_content or "")
        elif node.tag == "br":
            parts.append("\n" if keep else " ")
        elif node.tag in _BLOCKS and not keep:
            parts.append(" ")
    text = "".join(parts)
    return text if keep else " ".join(text.split())


def _events(root: Any, limit: int, skips: Any) -> Iterator[tuple[Any, bool]]:
    """Nodes as they open (True) and close (False), without recursion: pages are nested as strangers like."""
    stack: list[Any] = [root]
    yield root, True
    child = root.child
    while stack:
        if child is None:
            node = stack.pop()
            yield node, False
            child = node.next if stack else None
            continue
        if skips(child):
            child = child.next
            continue
        yield child, True
        if child.child is not None:
            stack.append(child)
            if len(stack) > limit:
                raise DocumentError(FileReason.TOO_LARGE, f"It is nested more than {limit} deep.")
            child = child.child
        else:
            yield child, False
            child = child.next


def _spaced(text: str) -> str:
    """Line breaks of the source are spaces; those of the page are kept."""
    return "\n".join(" ".join(line.split()) for line in text.split("\0"))
