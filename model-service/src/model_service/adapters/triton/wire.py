"""Tensors in and out of Triton's gRPC messages, without numpy: a token's worth of data is a few bytes."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

_FORMATS = {
    "BOOL": "?",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "FP32": "f",
    "FP64": "d",
}
_TEXT = "BYTES"


def can_send(datatype: str) -> bool:
    """Whether values of this Triton data type can be written."""
    return datatype in _FORMATS or datatype == _TEXT


def add_input(request: Any, name: str, datatype: str, rank: int, values: Sequence[Any]) -> None:
    """Append a tensor of shape [n], or [1, n] where the model has a batch dimension.

    Raises struct.error, TypeError or OverflowError for values that the data type cannot hold.
    """
    raw = _pack(datatype, values)
    tensor = request.inputs.add()
    tensor.name = name
    tensor.datatype = datatype
    tensor.shape.extend([1] * (rank - 1) + [len(values)])
    request.raw_input_contents.append(raw)


def read_outputs(response: Any) -> dict[str, list[Any]]:
    """The flat values of every output of a ModelInferResponse; unknown data types are left out."""
    outputs: dict[str, list[Any]] = {}
    for tensor, raw in zip(response.outputs, response.raw_output_contents, strict=False):
        if tensor.datatype == _TEXT:
            outputs[tensor.name] = _unpack_texts(raw)
        elif form := _FORMATS.get(tensor.datatype):
            outputs[tensor.name] = [value for (value,) in struct.iter_unpack("<" + form, raw)]
    return outputs


def datatypes(tensors: Any) -> Mapping[str, tuple[str, int]]:
    """Name → (data type, rank) of the tensors in a model's metadata."""
    return {tensor.name: (tensor.datatype, max(len(tensor.shape), 1)) for tensor in tensors}


def _pack(datatype: str, values: Sequence[Any]) -> bytes:
    if datatype == _TEXT:
        texts = [str(value).encode() for value in values]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    form = _FORMATS[datatype]
    if form in "QI":  # seeds may be negative: their bits are what counts
        values = [int(value) & (2**64 - 1 if form == "Q" else 2**32 - 1) for value in values]
    elif form in "?":
        values = [bool(value) for value in values]
    elif form in "fd":
        values = [float(value) for value in values]
    return struct.pack(f"<{len(values)}{form}", *values)


def _unpack_texts(raw: bytes) -> list[bytes]:
    texts, place = [], 0
    while place + 4 <= len(raw):
        (size,) = struct.unpack_from("<I", raw, place)
        texts.append(raw[place + 4 : place + 4 + size])
        place += 4 + size
    return texts
