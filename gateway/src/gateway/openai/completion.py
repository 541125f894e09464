"""POST /v1/completions: the request."""

from __future__ import annotations

from typing import Any

from gateway.openai import fields
from gateway.openai.common import COMMON, MAX_TOKENS, decode, extra_of, read_shared
from gateway.openai.request import Generation

KNOWN = COMMON | {"prompt", "echo", "best_of"}
DEFAULT_MAX_TOKENS = 16  # as OpenAI documents it


def parse_completion(raw: bytes) -> Generation:
    """A checked completion request. Raises SixfoldError with the path of the field at fault."""
    body = decode(raw)
    generation = Generation(model=fields.required_text(body, "model"), body=body)
    generation.prompt = _prompt(body)
    read_shared(generation, body)
    given = fields.integer(body, "max_tokens", 1, MAX_TOKENS)
    generation.max_tokens = DEFAULT_MAX_TOKENS if given is None else given
    likeliest = fields.integer(body, "logprobs", 0, 5)
    generation.logprobs = likeliest is not None
    generation.top_logprobs = likeliest or 0
    generation.echo = fields.flag(body, "echo") or False
    best_of = fields.integer(body, "best_of", 0, 20)
    if best_of and best_of != generation.n:
        raise fields.unsupported("best_of", "'best_of' is not supported; ask for 'n' answers instead.")
    generation.extra = extra_of(raw, body, KNOWN)
    return generation


def _prompt(body: dict[str, Any]) -> str:
    given = body.get("prompt")
    if given is None:
        raise fields.missing("prompt")
    if isinstance(given, list):
        if not given:
            raise fields.invalid("prompt", "must not be empty.")
        if len(given) == 1 and isinstance(given[0], str):
            given = given[0]
        elif all(isinstance(entry, str) for entry in given):
            raise fields.unsupported("prompt", "Several prompts in one request are not supported.")
        elif all(type(entry) is int or isinstance(entry, list) for entry in given):
            raise fields.unsupported("prompt", "Prompts of token ids are not supported; send text.")
    if not isinstance(given, str):
        raise fields.wrong_type("prompt", "a string", given)
    if not given:
        raise fields.invalid("prompt", "must not be empty.")
    return given
