"""Files to rows: JSON lines, CSV and Parquet, one row at a time, each with its line."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from training_service.datasets.faults import Cause, Reason, RowFault, SetFault
from training_service.datasets.rows import Place, Row
from training_service.datasets.shapes import Limits, to_row

_COLUMNS = (
    ("messages",),
    ("prompt", "chosen", "rejected"),
    ("prompt", "completion"),
    ("text", "label"),
)
_ALSO = {
    "question": "prompt",
    "instruction": "prompt",
    "answer": "completion",
    "response": "completion",
    "output": "completion",
    "utterance": "text",
    "sentence": "text",
    "category": "label",
    "intent": "label",
}
"""Other names that people give these columns; one of our own names wins."""


def read_file(path: Path, name: str, limits: Limits) -> Iterator[Row | RowFault]:
    """The rows of a file, in its order; faults stand where their rows would.

    By the file's first bytes and its name. Raises SetFault(UNREADABLE_FILE) for one that is no table at
    all, and TOO_MANY_ROWS.
    """
    number = 0
    for place, found in _raw(path, name, limits):
        number += 1
        if number > limits.rows:
            raise SetFault(Reason.TOO_MANY_ROWS, f"{name} has more than {limits.rows} rows.")
        if isinstance(found, RowFault):
            yield found
            continue
        try:
            yield to_row(found, place, limits)
        except RowFault as fault:
            yield fault


def _raw(path: Path, name: str, limits: Limits) -> Iterator[tuple[Place, Any]]:
    with path.open("rb") as opened:
        start = opened.read(4)
    if start == b"PAR1":
        return _parquet(path, name)
    if name.lower().endswith((".csv", ".tsv")):
        return _csv(path, name, limits)
    return _json_lines(path, name, limits)


def _json_lines(path: Path, name: str, limits: Limits) -> Iterator[tuple[Place, Any]]:
    longest = 8 * limits.row_chars
    with path.open("rb") as lines:
        number = 0
        while line := lines.readline(longest):
            number += 1
            place = Place(name, number)
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if len(line) == longest and not line.endswith(b"\n"):
                while (rest := lines.readline(longest)) and not rest.endswith(b"\n"):
                    pass
                yield place, RowFault(Cause.TOO_LONG, f"the line has more than {longest} bytes", place)
                continue
            if not line.strip():
                continue
            try:
                yield place, orjson.loads(line)
            except orjson.JSONDecodeError:
                yield place, RowFault(Cause.BAD_JSON, "not valid JSON", place)


def _csv(path: Path, name: str, limits: Limits) -> Iterator[tuple[Place, Any]]:
    csv.field_size_limit(limits.row_chars * 4)
    try:
        with path.open(encoding="utf-8-sig", newline="") as opened:
            sample = opened.read(8192)
            opened.seek(0)
            delimiter = "\t" if sample.partition("\n")[0].count("\t") else ","
            if ";" in sample.partition("\n")[0] and "," not in sample.partition("\n")[0]:
                delimiter = ";"
            reader = csv.DictReader(opened, delimiter=delimiter, strict=True)
            wanted = _wanted(list(reader.fieldnames or []), name)
            while True:
                line = reader.line_num + 1
                found = next(reader, None)
                if found is None:
                    return
                yield Place(name, line), {ours: found.get(theirs) for ours, theirs in wanted.items()}
    except (UnicodeDecodeError, csv.Error):
        raise SetFault(Reason.UNREADABLE_FILE, f"{name} is not a CSV file in UTF-8.") from None


def _parquet(path: Path, name: str) -> Iterator[tuple[Place, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path, memory_map=False)
        wanted = _wanted(file.schema_arrow.names, name)
        number = 0
        for batch in file.iter_batches(batch_size=1024, columns=list(wanted.values())):
            for found in batch.to_pylist():
                number += 1
                yield Place(name, number), {ours: found[theirs] for ours, theirs in wanted.items()}
    except (pa.ArrowException, OSError):
        raise SetFault(Reason.UNREADABLE_FILE, f"{name} is not a Parquet file that can be read.") from None


def _wanted(columns: list[str], name: str) -> dict[str, str]:
    """Our names of columns to the file's."""
    ours = {_ALSO.get(column.strip().lower(), ""): column for column in columns}
    ours.update({column.strip().lower(): column for column in columns})
    for form in _COLUMNS:
        if all(column in ours for column in form):
            return {column: ours[column] for column in form}
    raise SetFault(
        Reason.UNREADABLE_FILE,
        f"{name} has no columns 'messages', 'prompt' and 'completion', 'text' and 'label', "
        "or 'prompt', 'chosen' and 'rejected'.",
    )
