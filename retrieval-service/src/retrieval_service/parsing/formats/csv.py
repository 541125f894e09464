"""Tables as text files."""

from __future__ import annotations

import csv
import io

from retrieval_service.parsing.blocks import Blocks
from retrieval_service.parsing.tables import TableWriter

MEDIA_TYPE = "text/csv"
_SAMPLE = 16_384
_DELIMITERS = ",;\t|"


def read(text: str, blocks: Blocks) -> None:
    """Raises csv.Error for what is no table."""
    csv.field_size_limit(blocks.limits.text_chars)
    writer = TableWriter(blocks)
    for row in csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text[:_SAMPLE])):
        writer.add(row)
    writer.finish()


def _delimiter(sample: str) -> str:
    """The one that parts most lines into the same number of cells, and more than one."""
    best, most = ",", 0.0
    for delimiter in _DELIMITERS:
        widths = [
            len(row) for row in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter) if row
        ][:200]
        if len(widths) > 1:
            widths.pop()  # the sample may end in it
        usual = max(set(widths), key=widths.count, default=0)
        score = widths.count(usual) / len(widths) * min(usual, 4) if usual > 1 else 0
        if score > most:
            best, most = delimiter, score
    return best
