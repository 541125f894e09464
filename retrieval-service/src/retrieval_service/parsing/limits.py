"""What one foreign file may cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ParserLimits:
    """Every bound of the parser's child processes. What goes over one fails that file alone."""

    seconds: float = 60.0
    """Wall time for one file, counted from the moment a child takes it."""
    cpu_seconds: int = 50
    """Processor time for one file."""
    memory_bytes: int = 1 << 30
    """Address space of a child, the interpreter's own 90 MB included."""
    input_bytes: int = 128 << 20
    """Largest file that is opened at all."""
    unpacked_bytes: int = 512 << 20
    """All parts of a zipped format together, by the sizes that it declares: no more is ever unpacked."""
    compression_ratio: int = 200
    """Unpacked to packed, for archives that unpack to more than 16 MiB."""
    archive_entries: int = 20_000
    text_chars: int = 32_000_000
    """Text of one document."""
    blocks: int = 1_000_000
    pages: int = 20_000
    depth: int = 400
    """Nesting of markup, of JSON, and of messages within messages."""
    start_seconds: float = 30.0
    """How long a new child may take until it is ready."""
    documents_per_process: int = 200
    """A child is replaced after so many files, so that what libraries leak stays small."""
