"""POST /v1/chat/completions: the request."""

from __future__ import annotations

from typing import Any

from gateway.openai import fields, verbatim
from gateway.openai.common import COMMON, MAX_TOKENS, decode, extra_of, read_shared
from gateway.openai.file_search import read_options, read_store_ids
from gateway.openai.messages import read_messages
from gateway.openai.request import FileSearch, Format, Generation
from gateway.openai.tools import read_tool_choice, read_tools

KNOWN = COMMON | {
    "messages", "max_completion_tokens", "top_logprobs", "response_format", "tools", "tool_choice",
    "vector_store_ids", "file_search",
}  # fmt: skip


def parse_chat(raw: bytes) -> Generation:
    """A checked chat request. Raises SixfoldError with the path of the field at fault."""
    body = decode(raw)
    generation = Generation(model=fields.required_text(body, "model"), body=body)
    generation.messages = read_messages(body, raw)
    read_shared(generation, body)
    generation.max_tokens = _max_tokens(body)
    generation.logprobs = fields.flag(body, "logprobs") or False
    generation.top_logprobs = fields.integer(body, "top_logprobs", 0, 20) or 0
    if generation.top_logprobs and not generation.logprobs:
        raise fields.invalid("top_logprobs", "needs 'logprobs' to be true.")
    if body.get("response_format") is not None:
        generation.format = _response_format(body, raw)
    if body.get("tools") is not None:
        generation.tools = read_tools(body, raw)
    read_tool_choice(generation, body)
    fields.flag(body, "parallel_tool_calls")
    if "vector_store_ids" in body or "file_search" in body:
        generation.search = _file_search(body)
    generation.extra = extra_of(raw, body, KNOWN)
    return generation


def _file_search(body: dict[str, Any]) -> FileSearch | None:
    """The stores to answer from: an extension of ours, with the options of the file_search tool."""
    options = fields.obj(body, "file_search")
    if body.get("vector_store_ids") is None:
        if options is not None:
            raise fields.missing("vector_store_ids")
        return None
    search = FileSearch(read_store_ids(body))
    if options is not None:
        read_options(search, options, "file_search")
    return search


def _max_tokens(body: dict[str, Any]) -> int:
    newer = fields.integer(body, "max_completion_tokens", 1, MAX_TOKENS)
    older = fields.integer(body, "max_tokens", 1, MAX_TOKENS)
    return newer or older or 0


def _response_format(body: dict[str, Any], raw: bytes) -> Format | None:
    given = fields.obj(body, "response_format")
    if given is None:
        return None
    kind = fields.required_text(given, "type", "response_format.type")
    fields.one_of(kind, "response_format.type", ("text", "json_object", "json_schema"))
    if kind == "text":
        return None
    if kind == "json_object":
        return Format("json_object")
    wrapper = fields.obj(given, "json_schema", "response_format.json_schema")
    if wrapper is None:
        raise fields.missing("response_format.json_schema")
    fields.text(wrapper, "name", "response_format.json_schema.name", longest=64)
    if fields.obj(wrapper, "schema", "response_format.json_schema.schema") is None:
        raise fields.missing("response_format.json_schema.schema")
    text = raw.decode()
    for name in ("response_format", "json_schema", "schema"):
        text = verbatim.members(text)[name]
    return Format("json_schema", text.encode())
