"""What Word and PowerPoint files share: parts, and the links between them."""

from __future__ import annotations

from typing import Any

from retrieval_service.parsing.archive import Archive, resolve
from retrieval_service.parsing.blocks import Blocks
from retrieval_service.parsing.safexml import parse

RELATIONSHIP_ID = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_CORE = "docProps/core.xml"
_TITLE = "{http://purl.org/dc/elements/1.1/}title"


def links(archive: Archive, part: str) -> dict[str, tuple[str, str]]:
    """Of one part: identifier to the last word of the link's type, and the part that it leads to.

    Links out of the file are left out: nothing is fetched.
    """
    folder, _, name = part.rpartition("/")
    path = f"{folder}/_rels/{name}.rels" if folder else f"_rels/{name}.rels"
    if path not in archive:
        return {}
    return {
        link.get("Id", ""): (link.get("Type", "").rsplit("/", 1)[-1], resolve(part, link.get("Target", "")))
        for link in parse(archive.read(path))
        if link.get("TargetMode") != "External"
    }


def main_part(archive: Archive, usual: str) -> str:
    """The part with the document itself."""
    found = [target for kind, target in links(archive, "").values() if kind == "officeDocument"]
    return next((part for part in found if part in archive), usual)


def describe(archive: Archive, blocks: Blocks) -> None:
    """Take the title from the properties, and note what is never done."""
    if _CORE in archive:
        title = parse(archive.read(_CORE)).find(_TITLE)
        if title is not None and title.text:
            blocks.title = title.text
    if any(name.endswith("vbaProject.bin") for name in archive.names):
        blocks.note("Its macros were not run; its text was read.")


def local(element: Any) -> str:
    """An element's name without its namespace."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""
