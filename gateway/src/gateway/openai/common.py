"""What chat and completion requests share: the body, sampling, stops, streaming options."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import orjson

from gateway.openai import fields, verbatim
from gateway.openai.request import Format, Generation, Sampling
from servicekit.errors import Reason, SixfoldError

MAX_TOKENS = 2**31 - 1
MAX_CHOICES = 128
_INT64 = 2**63

COMMON = frozenset(
    {
        "model", "temperature", "top_p", "top_k", "min_p", "seed", "presence_penalty",
        "frequency_penalty", "repetition_penalty", "logit_bias", "max_tokens", "stop", "n", "logprobs",
        "stream", "stream_options", "guided_regex", "guided_grammar", "guided_choice",
    }
)  # fmt: skip
"""Fields of both endpoints that the contract names."""


def decode(raw: bytes) -> dict[str, Any]:
    """The body as an object. Raises INVALID_JSON or INVALID_REQUEST."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if not raw:
            raise SixfoldError(Reason.INVALID_JSON, "The body is empty; send a JSON object.") from None
        raise SixfoldError(
            Reason.INVALID_JSON, f"The body is not valid JSON (near character {error.pos})."
        ) from None
    if type(body) is not dict:
        raise SixfoldError(Reason.INVALID_REQUEST, "The body must be a JSON object.")
    return body


def extra_of(raw: bytes, body: dict[str, Any], known: Collection[str]) -> bytes:
    """The unknown fields of the body, byte for byte; empty when there are none."""
    if body.keys() <= known:  # type: ignore[operator]
        return b""
    return verbatim.without(verbatim.members(raw.decode()), known)


def read_sampling(body: dict[str, Any]) -> Sampling:
    """The fields that say how tokens are chosen."""
    return Sampling(
        temperature=fields.number(body, "temperature", 0, 2),
        top_p=fields.number(body, "top_p", 0, 1),
        top_k=fields.integer(body, "top_k", -1, 2**31 - 1),
        min_p=fields.number(body, "min_p", 0, 1),
        seed=fields.integer(body, "seed", -_INT64, _INT64 - 1),
        presence_penalty=fields.number(body, "presence_penalty", -2, 2),
        frequency_penalty=fields.number(body, "frequency_penalty", -2, 2),
        repetition_penalty=fields.number(body, "repetition_penalty", 0.01, 100),
        logit_bias=_logit_bias(body),
    )


def _logit_bias(body: dict[str, Any]) -> dict[int, float] | None:
    given = fields.obj(body, "logit_bias")
    if not given:
        return None
    if len(given) > 1024:
        raise fields.invalid("logit_bias", "more than 1024 entries.")
    bias: dict[int, float] = {}
    for key in given:
        path = f"logit_bias.{key[:20]}"
        if not (key.isascii() and key.isdigit() and len(key) <= 10 and int(key) < 2**31):
            raise fields.invalid(path, "keys are token ids.")
        bias[int(key)] = fields.number(given, key, -100, 100, path) or 0.0
    return bias


def read_stop(body: dict[str, Any]) -> list[str]:
    """Up to four strings."""
    given = body.get("stop")
    if given is None:
        return []
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, list):
        raise fields.wrong_type("stop", "a string or an array of strings", given)
    if len(given) > 4:
        raise fields.invalid("stop", "at most 4 strings.")
    for index, entry in enumerate(given):
        if not isinstance(entry, str):
            raise fields.wrong_type(f"stop[{index}]", "a string", entry)
        if not 0 < len(entry) <= 1024:
            raise fields.invalid(f"stop[{index}]", "must have 1 to 1024 characters.")
    return given


def read_shared(generation: Generation, body: dict[str, Any]) -> None:
    """Fills in what both endpoints have."""
    generation.sampling = read_sampling(body)
    generation.stop = read_stop(body)
    generation.n = fields.integer(body, "n", 1, MAX_CHOICES) or 1
    generation.stream = fields.flag(body, "stream") or False
    options = fields.obj(body, "stream_options")
    if options:
        if not generation.stream:
            raise fields.invalid("stream_options", "only allowed when 'stream' is true.")
        generation.include_usage = (
            fields.flag(options, "include_usage", "stream_options.include_usage") or False
        )
    generation.format = read_guided(body) or generation.format


def read_guided(body: dict[str, Any]) -> Format | None:
    """The shape of the answer in vLLM's names, which many clients send."""
    if (regex := fields.text(body, "guided_regex", longest=16384)) is not None:
        return Format("regex", regex)
    if (grammar := fields.text(body, "guided_grammar", longest=262144)) is not None:
        return Format("grammar", grammar)
    choices = fields.array(body, "guided_choice", longest=1024)
    if choices is None:
        return None
    if not choices:
        raise fields.invalid("guided_choice", "must not be empty.")
    for index, entry in enumerate(choices):
        if not isinstance(entry, str):
            raise fields.wrong_type(f"guided_choice[{index}]", "a string", entry)
        if not entry:
            raise fields.invalid(f"guided_choice[{index}]", "must not be empty.")
    return Format("choice", choices)
