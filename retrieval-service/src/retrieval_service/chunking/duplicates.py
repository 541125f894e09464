"""Documents that say the same: exactly, or nearly.

Near duplicates are found as in the curation of web text: MinHash over shingles of five words (five characters
where words are not parted by spaces), in 14 bands of 8 rows, which pairs documents that share about 72 % of
their shingles or more. Pure functions; the store keeps the bytes.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from datasketch import MinHash

from retrieval_service.documents.parsed import Parsed

BANDS = 14
ROWS = 8
SIMILAR = 0.8
"""Estimated share of shingles in common from which a document counts as a near duplicate."""

_SHINGLE = 5
_BATCH = 10_000
_WORD = re.compile(
    r"[\u0e00-\u0eff\u1100-\u11ff\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]|[^\W_\u0e00-\u0eff\u1100-\u11ff\u2e80-\u9fff]+"
)
_SEED = 1
_VERSION = b"\x01"
"""Changes with anything that changes what is stored, so that old and new signatures never meet."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What is stored of a document to find its near duplicates."""

    data: bytes
    """112 hash values of four bytes, little-endian."""

    @property
    def bands(self) -> tuple[bytes, ...]:
        """14 keys of 8 bytes. Documents that share one are candidates; `similarity` decides."""
        size = ROWS * 4
        return tuple(
            hashlib.blake2b(
                _VERSION + bytes([band]) + self.data[band * size : (band + 1) * size], digest_size=8
            ).digest()
            for band in range(BANDS)
        )


def text_digest(parsed: Parsed) -> str:
    """SHA-256 of the cleaned text, in hexadecimal: equal for the same words in another format of file.

    Spaces and the borders of blocks do not count, nor do capitals.
    """
    digest = hashlib.sha256()
    for block in parsed.blocks:
        for word in block.text.casefold().split():
            digest.update(word.encode())
            digest.update(b" ")
    return digest.hexdigest()


def signature(parsed: Parsed) -> Signature:
    """About a microsecond and a half a word: call it in a thread for large documents."""
    sketch = MinHash(num_perm=BANDS * ROWS, seed=_SEED, scheme="affine32")
    for batch in _batches(_shingles(parsed)):
        sketch.update_batch(batch)
    return Signature(np.asarray(sketch.hashvalues, dtype="<u4").tobytes())


def similarity(one: Signature, other: Signature) -> float:
    """Estimated share of shingles that two documents have in common, from 0 to 1; within about 0.05."""
    return float(np.mean(np.frombuffer(one.data, "<u4") == np.frombuffer(other.data, "<u4")))


def _shingles(parsed: Parsed) -> Iterator[bytes]:
    words = [word for block in parsed.blocks for word in _WORD.findall(block.text.casefold())]
    if len(words) < _SHINGLE:
        yield " ".join(words).encode()
        return
    for at in range(len(words) - _SHINGLE + 1):
        yield " ".join(words[at : at + _SHINGLE]).encode()


def _batches(shingles: Iterator[bytes]) -> Iterator[list[bytes]]:
    while batch := list(itertools.islice(shingles, _BATCH)):
        yield batch
