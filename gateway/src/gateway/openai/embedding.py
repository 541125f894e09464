"""POST /v1/embeddings: the request and its answer."""

from __future__ import annotations

import base64
from array import array
from collections.abc import Sequence
from typing import Any

import orjson

from gateway.openai import fields
from gateway.openai.common import decode, extra_of
from gateway.openai.request import EmbeddingInput

KNOWN = frozenset({"model", "input", "encoding_format", "dimensions"})
MAX_INPUTS = 2048
_MAX_ID = 2**32 - 1


def parse_embedding(raw: bytes) -> EmbeddingInput:
    """A checked embedding request. Raises SixfoldError with the path of the field at fault."""
    body = decode(raw)
    model = fields.required_text(body, "model")
    texts, token_lists = _inputs(body)
    encoding = fields.text(body, "encoding_format") or "float"
    fields.one_of(encoding, "encoding_format", ("float", "base64"))
    return EmbeddingInput(
        model=model,
        texts=texts,
        token_lists=token_lists,
        base64=encoding == "base64",
        dimensions=fields.integer(body, "dimensions", 1, 65536) or 0,
        extra=extra_of(raw, body, KNOWN),
        body=body,
    )


def _inputs(body: dict[str, Any]) -> tuple[list[str] | None, list[list[int]] | None]:
    given = body.get("input")
    if given is None:
        raise fields.missing("input")
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, list):
        raise fields.wrong_type("input", "a string or an array", given)
    if not given:
        raise fields.invalid("input", "must not be empty.")
    if type(given[0]) is int:
        return None, [_token_ids(given, "input")]
    if len(given) > MAX_INPUTS:
        raise fields.invalid("input", f"more than {MAX_INPUTS} entries.")
    if isinstance(given[0], list):
        return None, [_token_ids(entry, f"input[{index}]") for index, entry in enumerate(given)]
    for index, entry in enumerate(given):
        if not isinstance(entry, str):
            raise fields.wrong_type(f"input[{index}]", "a string", entry)
        if not entry:
            raise fields.invalid(f"input[{index}]" if len(given) > 1 else "input", "must not be empty.")
    return given, None


def _token_ids(given: Any, path: str) -> list[int]:
    if not isinstance(given, list):
        raise fields.wrong_type(path, "an array of token ids", given)
    if not given:
        raise fields.invalid(path, "must not be empty.")
    for index, entry in enumerate(given):
        if type(entry) is not int:
            raise fields.wrong_type(f"{path}[{index}]", "a token id", entry)
        if not 0 <= entry <= _MAX_ID:
            raise fields.invalid(f"{path}[{index}]", "not a token id.")
    return given


def write_embeddings(vectors: Sequence[bytes], *, as_base64: bool, model: str, prompt_tokens: int) -> bytes:
    """The answer's body. Every vector is little-endian float32."""
    data: list[dict[str, Any]] = []
    for index, vector in enumerate(vectors):
        value: Any = base64.b64encode(vector).decode() if as_base64 else _floats(vector)
        data.append({"object": "embedding", "index": index, "embedding": value})
    return orjson.dumps(
        {
            "object": "list",
            "data": data,
            "model": model,
            "usage": {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens},
        }
    )


def _floats(vector: bytes) -> list[float]:
    values = array("f", vector)
    return values.tolist()
