"""XML of no particular kind: the text of its elements, short ones with their names."""

from __future__ import annotations

from typing import Any

from lxml import etree

from retrieval_service.parsing.blocks import Blocks
from retrieval_service.parsing.safexml import parse

MEDIA_TYPE = "application/xml"


def read(data: bytes, blocks: Blocks) -> None:
    """Raises DocumentError as `safexml.parse` does."""
    _write(parse(data, doctype=True), blocks)


def _write(root: Any, blocks: Blocks) -> None:
    waiting: list[str] = []
    inside = 0  # of an element that is already written whole
    for event, element in etree.iterwalk(root, events=("start", "end")):
        if event == "end":
            inside -= inside > 0
            if not inside and waiting and len(element):
                blocks.paragraph("\n".join(waiting))
                waiting.clear()
        elif inside:
            inside += 1
        elif not len(element) or _is_mixed(element):
            inside = 1
            text = " ".join("".join(element.itertext()).split())
            if _is_mixed(element):
                blocks.paragraph("\n".join(waiting))
                waiting.clear()
                blocks.paragraph(text)
            elif text:
                waiting.append(f"{etree.QName(element).localname}: {text}")
    blocks.paragraph("\n".join(waiting))


def _is_mixed(element: Any) -> bool:
    return len(element) > 0 and bool(
        (element.text or "").strip() or any((child.tail or "").strip() for child in element)
    )
