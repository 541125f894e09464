"""Rows with known answers, as an eval takes them: what is asked, and what should be said.

Read are the forms that training reads too: `messages`; `prompt` and `completion`; `text` and `label`;
`input` with `preferred_output`. An item has what those of a data set have: `messages` (the turns),
`question` (the last thing that a person wrote) and `answer` (the known one).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sixfold_cli.client import Api
from sixfold_cli.errors import CliError, Exit
from sixfold_cli.jobs.sources import DATASETS, Named

_NAMED = 5
"""Bad rows that a message names."""
_MOST_BYTES = 256 * 1024 * 1024
_ASKED = ("prompt", "question", "instruction", "text", "utterance", "sentence")
_ANSWERED = ("completion", "answer", "response", "output", "label", "category", "intent")

Item = dict[str, Any]


class _Unusable(Exception):
    """Why a row cannot be used; names no content of it."""


def read(api: Api, named: Named, part: str, system: str | None = None) -> list[Item]:
    """All items, each asked with `system` in the place of its own, where that is given.

    CliError names the lines of rows that cannot be used.
    """
    name, lines = lines_of(api, named, part)
    found = _csv(lines, name) if name.lower().endswith((".csv", ".tsv")) else _json(lines)
    items: list[Item] = []
    bad: list[str] = []
    for number, row in found:
        try:
            items.append(_item(row, system))
        except _Unusable as why:
            bad.append(f"{name}, line {number}: {why}.")
    if bad:
        more = [f"… and {len(bad) - _NAMED} more"] if len(bad) > _NAMED else []
        raise CliError(
            f"{len(bad)} of {len(bad) + len(items)} rows cannot be used.",
            "Put them right; or make a data set of the file, which leaves them out.",
            reason="BAD_ROWS",
            details="\n".join([*bad[:_NAMED], *more]),
        )
    if not items:
        raise CliError(
            f"{name} has no rows.",
            f"It is the part '{part}' that was looked at: --part names another."
            if named.kind == "dataset"
            else "",
            reason="EMPTY_DATASET",
        )
    return items


def written(items: Iterable[Item]) -> bytes:
    """As JSON Lines for an eval's file."""
    return b"".join(json.dumps({"item": each}, ensure_ascii=False).encode() + b"\n" for each in items)


def labels_of(items: Iterable[Item]) -> list[str]:
    """The known answers, each once, in order."""
    return sorted({str(each["answer"]).strip() for each in items})


def lines_of(api: Api, named: Named, part: str) -> tuple[str, Iterator[bytes]]:
    """A name for people, and lines with their ends."""
    if named.kind == "path":
        if Path(named.value).suffix.lower() == ".parquet":
            raise CliError(
                f"{named.name} is a Parquet file, which only data sets are made of.",
                f"`sixfold datasets create NAME --file {named.value}`, and name that.",
                reason="UNSUPPORTED_FILE",
                code=Exit.USAGE,
            )
        return named.name, _file(Path(named.value))
    identity = quote(named.value, safe="")
    if named.kind == "file":
        name = str(api.call("GET", f"/v1/files/{identity}")["filename"])
        return name, _split(api.content(f"/v1/files/{identity}/content"))
    return f"{named.name} ({part})", _split(api.content(f"{DATASETS}/{identity}/parts/{part}"))


def _file(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as opened:
            yield from opened
    except OSError as error:
        raise CliError(f"{path}: {error.strerror}.", reason="UNREADABLE", code=Exit.USAGE) from None


def _split(pieces: Iterator[bytes]) -> Iterator[bytes]:
    kept, total = b"", 0
    for piece in pieces:
        total += len(piece)
        if total > _MOST_BYTES:
            raise CliError(f"more than {_MOST_BYTES >> 20} MB of rows are not evaluated.", reason="TOO_LARGE")
        *whole, kept = (kept + piece).split(b"\n")
        yield from whole
    if kept:
        yield kept


def _json(lines: Iterator[bytes]) -> Iterator[tuple[int, object]]:
    for number, line in enumerate(lines, 1):
        text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if not text.strip():
            continue
        try:
            yield number, json.loads(text)
        except (ValueError, RecursionError):
            yield number, _Unusable("it is no JSON")


def _csv(lines: Iterator[bytes], name: str) -> Iterator[tuple[int, object]]:
    try:
        text = b"".join(lines).decode("utf-8-sig")
        first = text.partition("\n")[0]
        delimiter = "\t" if "\t" in first else ";" if ";" in first and "," not in first else ","
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        while True:
            number = reader.line_num + 1
            row = next(reader, None)
            if row is None:
                return
            yield number, {str(key).strip().lower(): value for key, value in row.items()}
    except (UnicodeDecodeError, csv.Error):
        raise CliError(f"{name} is not a CSV file in UTF-8.", reason="UNREADABLE", code=Exit.USAGE) from None


def _item(row: object, system: str | None) -> Item:
    if isinstance(row, _Unusable):
        raise row
    if not isinstance(row, Mapping):
        raise _Unusable("it is no object")
    turns, answer = _parts(row)
    if system is not None:
        turns = [{"role": "system", "content": system}, *(t for t in turns if t["role"] != "system")]
    asked = [turn["content"] for turn in turns if turn["role"] == "user"]
    if not asked or not asked[-1].strip():
        raise _Unusable("nothing is asked in it")
    if not answer.strip():
        raise _Unusable("it has no answer")
    return {"messages": turns, "question": asked[-1], "answer": answer}


def _parts(row: Mapping[str, Any]) -> tuple[list[dict[str, str]], str]:
    """The turns up to the answer, and the answer."""
    if "messages" in row:
        turns = _turns(row["messages"])
        if turns[-1]["role"] != "assistant":
            raise _Unusable("its last message is not the assistant's")
        return turns[:-1], turns[-1]["content"]
    if "preferred_output" in row:
        asked = row.get("input")
        turns = _turns(asked.get("messages") if isinstance(asked, Mapping) else None)
        return turns, _turns(row["preferred_output"])[-1]["content"]
    prompt = next((row[name] for name in _ASKED if name in row), None)
    answer = next((row[name] for name in _ANSWERED if name in row), row.get("chosen"))
    if prompt is None or answer is None:
        raise _Unusable("expected 'messages', 'prompt' and 'completion', or 'text' and 'label'")
    turns = [{"role": "user", "content": _text(prompt)}] if isinstance(prompt, str) else _turns(prompt)
    return turns, str(answer) if isinstance(answer, int) else _text(answer)


def _turns(found: object) -> list[dict[str, str]]:
    if not isinstance(found, list) or not found:
        raise _Unusable("'messages' is a list of turns")
    turns = []
    for each in found:
        if not isinstance(each, Mapping) or each.get("role") not in (
            "system", "developer", "user", "assistant",
        ):  # fmt: skip
            raise _Unusable("a turn has a role: system, user or assistant")
        turns.append({"role": str(each["role"]), "content": _text(each.get("content"))})
    return turns


def _text(value: object) -> str:
    if isinstance(value, list) and all(isinstance(p, Mapping) and p.get("type") == "text" for p in value):
        return "".join(str(part.get("text", "")) for part in value)
    if not isinstance(value, str):
        raise _Unusable("a text is missing, or is none")
    return value
