"""POST /v1/responses: the request."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.openai import fields, verbatim
from gateway.openai.common import MAX_TOKENS, decode, extra_of, read_sampling, read_stop
from gateway.openai.request import Format, Generation, Message
from gateway.openai.responses.items import read_items, to_turns
from gateway.openai.responses.tools import read_tools

_ECHOED = (
    "instructions", "max_output_tokens", "max_tool_calls", "metadata", "parallel_tool_calls",
    "previous_response_id", "prompt_cache_key", "reasoning", "safety_identifier", "temperature", "text",
    "tool_choice", "tools", "top_logprobs", "top_p", "user",
)  # fmt: skip
"""Fields that a response repeats."""
_DEFAULTS: dict[str, Any] = {
    "metadata": {}, "parallel_tool_calls": True, "temperature": 1.0, "top_p": 1.0, "tool_choice": "auto",
    "tools": [], "top_logprobs": 0,
}  # fmt: skip
_SAMPLED = (
    "temperature", "top_p", "top_k", "min_p", "seed", "presence_penalty", "frequency_penalty",
    "repetition_penalty", "logit_bias", "stop",
)  # fmt: skip
_WITHOUT_EFFECT = (
    "background", "conversation", "include", "input", "model", "prompt", "prompt_cache_options",
    "prompt_cache_retention", "service_tier", "store", "stream", "stream_options", "truncation",
    "moderation", "context_management",
)  # fmt: skip
KNOWN = frozenset({*_ECHOED, *_SAMPLED, *_WITHOUT_EFFECT})
_RESULTS, _LOGPROBS = "file_search_call.results", "message.output_text.logprobs"
_INCLUDES = (
    _RESULTS, _LOGPROBS, "web_search_call.results", "web_search_call.action.sources",
    "message.input_image.image_url", "computer_call_output.output.image_url", "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
)  # fmt: skip
_CHATS_ONLY = {"messages": "input", "max_tokens": "max_output_tokens", "response_format": "text.format"}
_REFUSED = {
    "conversation": "Conversations are not kept here; use 'previous_response_id'.",
    "prompt": "Stored prompts are not supported; send 'instructions' and 'input'.",
    "moderation": "Moderation inside a response is not supported.",
    "context_management": "A context is not managed here; send what the model shall read.",
}


@dataclass(slots=True)
class ResponseRequest:
    """A checked request. Its turns are complete once `follow` was called."""

    generation: Generation
    items: list[dict[str, Any]]
    """The input of this turn, each item with an id."""
    instructions: str
    previous: str
    """The id of the response that this one follows; empty for none."""
    store: bool
    results: bool
    """Whether the hits of a search are shown."""
    echo: dict[str, Any] = field(default_factory=dict)

    def follow(self, earlier: Sequence[dict[str, Any]]) -> None:
        """Makes the turns: the instructions, what was said earlier, and what is said now.

        Instructions of earlier responses are not carried over, as the contract says.
        """
        own = [Message("system", [self.instructions])] if self.instructions else []
        self.generation.messages = own + to_turns([*earlier, *self.items])


def parse_response(raw: bytes) -> ResponseRequest:
    """Raises SixfoldError with the path of the field at fault."""
    body = decode(raw)
    _refuse(body)
    generation = Generation(model=fields.required_text(body, "model"), body=body)
    items = read_items(body)
    generation.sampling = read_sampling(body)
    generation.stop = read_stop(body)
    generation.max_tokens = fields.integer(body, "max_output_tokens", 16, MAX_TOKENS) or 0
    generation.stream = fields.flag(body, "stream") or False
    generation.include_usage = True
    if fields.obj(body, "stream_options") and not generation.stream:
        raise fields.invalid("stream_options", "only allowed when 'stream' is true.")
    include = _include(body)
    generation.top_logprobs = fields.integer(body, "top_logprobs", 0, 20) or 0
    generation.logprobs = _LOGPROBS in include or generation.top_logprobs > 0
    generation.format = _format(body, raw)
    read_tools(generation, body, raw)
    _check_others(body)
    generation.extra = _extra(raw, body)
    return ResponseRequest(
        generation,
        items,
        instructions=fields.text(body, "instructions") or "",
        previous=fields.text(body, "previous_response_id", longest=128) or "",
        store=fields.flag(body, "store") is not False,
        results=_RESULTS in include,
        echo=_echo(body),
    )


def _refuse(body: dict[str, Any]) -> None:
    for name, instead in _CHATS_ONLY.items():
        if body.get(name) is not None:
            raise fields.unsupported(name, f"'{name}' belongs to chat completions; here it is '{instead}'.")
    for name, message in _REFUSED.items():
        if body.get(name) is not None:
            raise fields.unsupported(name, message)
    if fields.flag(body, "background"):
        raise fields.unsupported("background", "Responses are not made in the background; use 'stream'.")
    truncation = fields.text(body, "truncation")
    if truncation is not None and fields.one_of(truncation, "truncation", ("auto", "disabled")) == "auto":
        raise fields.unsupported(
            "truncation", "Conversations are not shortened here; send those turns that shall be read."
        )


def _include(body: dict[str, Any]) -> list[str]:
    given = fields.array(body, "include", longest=32) or []
    for index, entry in enumerate(given):
        if not isinstance(entry, str):
            raise fields.wrong_type(f"include[{index}]", "a string", entry)
        fields.one_of(entry, f"include[{index}]", _INCLUDES)
    return given


def _format(body: dict[str, Any], raw: bytes) -> Format | None:
    text = fields.obj(body, "text")
    if text is None:
        return None
    fields.text(text, "verbosity", "text.verbosity", longest=32)
    given = fields.obj(text, "format", "text.format")
    if given is None:
        return None
    kind = fields.required_text(given, "type", "text.format.type")
    fields.one_of(kind, "text.format.type", ("text", "json_object", "json_schema"))
    if kind == "text":
        return None
    if kind == "json_object":
        return Format("json_object")
    fields.required_text(given, "name", "text.format.name", longest=64)
    if fields.obj(given, "schema", "text.format.schema") is None:
        raise fields.missing("text.format.schema")
    source = raw.decode()
    for name in ("text", "format", "schema"):
        source = verbatim.members(source)[name]
    return Format("json_schema", source.encode())


def _check_others(body: dict[str, Any]) -> None:
    """Fields that are repeated in the answer and change nothing of it."""
    fields.flag(body, "parallel_tool_calls")
    fields.integer(body, "max_tool_calls", 1, MAX_TOKENS)
    for name in ("user", "prompt_cache_key"):
        fields.text(body, name, longest=512)
    fields.text(body, "safety_identifier", longest=64)
    fields.text(body, "service_tier", longest=32)
    reasoning = fields.obj(body, "reasoning")
    if reasoning:
        fields.text(reasoning, "effort", "reasoning.effort", longest=32)
    metadata = fields.obj(body, "metadata") or {}
    if len(metadata) > 16:
        raise fields.invalid("metadata", "more than 16 entries.")
    for key in metadata:
        path = f"metadata.{key[:64]}"
        if len(key) > 64:
            raise fields.invalid(path, "a key has at most 64 characters.")
        if fields.text(metadata, key, path, longest=512) is None:
            raise fields.wrong_type(path, "a string", None)


def _extra(raw: bytes, body: dict[str, Any]) -> bytes:
    """Unknown fields byte for byte, and an effort of reasoning under the name that chats have for it."""
    extra = extra_of(raw, body, KNOWN)
    effort = (body.get("reasoning") or {}).get("effort")
    if effort is None:
        return extra
    named = f'{{"reasoning_effort":{json.dumps(effort)}'.encode()
    return named + (b"," + extra[1:] if extra else b"}")


def _echo(body: dict[str, Any]) -> dict[str, Any]:
    echo = {name: body.get(name, _DEFAULTS.get(name)) for name in _ECHOED}
    for name, value in _DEFAULTS.items():
        if echo[name] is None:
            echo[name] = value
    echo["text"] = {"format": {"type": "text"}, **{k: v for k, v in (body.get("text") or {}).items() if v}}
    echo["reasoning"] = {"effort": None, "summary": None, **(body.get("reasoning") or {})}
    return echo
