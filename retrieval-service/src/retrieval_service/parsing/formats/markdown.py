"""Markdown: CommonMark with tables. HTML in it is read as HTML."""

from __future__ import annotations

import re
from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

from retrieval_service.parsing.blocks import Blocks
from retrieval_service.parsing.formats import html
from retrieval_service.parsing.tables import TableWriter

MEDIA_TYPE = "text/markdown"
_FRONT = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.S)
_TITLE = re.compile(r"^title:[ \t]*(.+)$", re.M)


def read(text: str, blocks: Blocks) -> None:
    """The title is the first heading of the first level, or what the front matter says."""
    text = text.replace("\r\n", "\n")
    front = _FRONT.match(text)
    if front:
        title = _TITLE.search(front[1])
        blocks.title = title[1].strip(" \t\"'") if title else ""
        text = text[front.end() :]
    _write(MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text), blocks)


def _write(tokens: Sequence[Token], blocks: Blocks) -> None:
    lists = 0
    level = 0
    table: TableWriter | None = None
    row: list[str] = []
    for token in tokens:
        match token.type:
            case "heading_open":
                level = int(token.tag[1:])
            case "heading_close":
                level = 0
            case "list_item_open":
                lists += 1
            case "list_item_close":
                lists -= 1
            case "fence" | "code_block":
                blocks.code(token.content)
            case "html_block":
                html.read(token.content, blocks)
            case "table_open":
                table = TableWriter(blocks, header=True)
            case "tr_open":
                row = []
            case "tr_close" if table is not None:
                table.add(row)
            case "table_close" if table is not None:
                table.finish()
                table = None
            case "inline":
                content = _inline(token.children or [])
                if table is not None:
                    row.append(content)
                elif level:
                    blocks.heading(content, level)
                    if level == 1 and not blocks.title:
                        blocks.title = content
                elif lists:
                    blocks.item(content)
                else:
                    blocks.paragraph(content)


def _inline(tokens: Sequence[Token]) -> str:
    parts = []
    for token in tokens:
        match token.type:
            case "text" | "code_inline" | "image":
                parts.append(token.content)
            case "softbreak":
                parts.append(" ")
            case "hardbreak":
                parts.append("\n")
    return "".join(parts)
