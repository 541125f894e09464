"""JSON and JSON lines: every value with the path to it. Numbers stay as they are written."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

from retrieval_service.documents.errors import DocumentError, FileReason
from retrieval_service.parsing.blocks import Blocks
from retrieval_service.parsing.formats import markdown

MEDIA_TYPE = "application/json"
LINES_MEDIA_TYPE = "application/jsonl"
_TOGETHER = 40
"""So many values or fewer make one block."""
_LONG = 400


class _Number(str):
    """A number, spelt as the file has it: 1.10 is not 1.1 to everybody."""

    __slots__ = ()


def read(text: str, blocks: Blocks) -> None:
    """Raises DocumentError(CORRUPT) for what is not JSON, RecursionError for deep nesting."""
    try:
        value = _loads(text)
    except json.JSONDecodeError as error:
        raise DocumentError(FileReason.CORRUPT, f"It is not valid JSON at line {error.lineno}.") from None
    if isinstance(value, dict) and isinstance(value.get("cells"), list) and "nbformat" in value:
        _notebook(value["cells"], blocks)
    else:
        _emit(value, "", blocks, 0)


def read_lines(text: str, blocks: Blocks) -> None:
    """As `read`, one value a line."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                value = _loads(line)
            except json.JSONDecodeError:
                raise DocumentError(FileReason.CORRUPT, f"Line {number} is not valid JSON.") from None
            _emit(value, "", blocks, 0)


def _loads(text: str) -> Any:
    return json.loads(text, parse_float=_Number, parse_int=_Number)


def _emit(value: Any, path: str, blocks: Blocks, depth: int) -> None:
    if depth > blocks.limits.depth:
        raise RecursionError
    few = list(itertools.islice(_leaves(value, path), _TOGETHER + 1))
    if len(few) <= _TOGETHER:
        _write(few, blocks)
    elif isinstance(value, list):
        if all(not isinstance(item, dict | list) for item in value):
            _write([(path, ", ".join(map(_shown, value)))], blocks)
        else:
            for number, item in enumerate(value):
                _emit(item, f"{path}[{number}]", blocks, depth + 1)
    else:
        _write([(_join(path, key), _shown(item)) for key, item in value.items() if _is_leaf(item)], blocks)
        for key, item in value.items():
            if not _is_leaf(item):
                _emit(item, _join(path, key), blocks, depth + 1)


def _write(leaves: list[tuple[str, str]], blocks: Blocks) -> None:
    lines: list[str] = []
    for path, text in leaves:
        line = f"{path}: {text}" if path else text
        if len(text) > _LONG:
            blocks.paragraph("\n".join(lines))
            lines = []
            blocks.paragraph(line)
        elif text:
            lines.append(" ".join(line.split()))
    blocks.paragraph("\n".join(lines))


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, _join(path, key))
    elif isinstance(value, list):
        if value and all(_is_leaf(item) for item in value):
            yield path, ", ".join(map(_shown, value))
        else:
            for number, item in enumerate(value):
                yield from _leaves(item, f"{path}[{number}]")
    else:
        yield path, _shown(value)


def _is_leaf(value: Any) -> bool:
    return not isinstance(value, dict | list)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    return {True: "true", False: "false"}.get(value, "")


def _notebook(cells: list[Any], blocks: Blocks) -> None:
    for cell in cells:
        if not isinstance(cell, dict):
            continue
        source = cell.get("source", "")
        text = "".join(map(str, source)) if isinstance(source, list) else str(source)
        if cell.get("cell_type") == "markdown":
            markdown.read(text, blocks)
        else:
            blocks.code(text)
