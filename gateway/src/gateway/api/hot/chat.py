"""POST /v1/chat/completions."""

from __future__ import annotations

from typing import Any

from gateway.api.hot.deps import HotDeps
from gateway.api.hot.generation import GenerationEndpoint, Shape
from gateway.openai.answer import write_chat
from gateway.openai.chat import parse_chat
from gateway.openai.chunks import ChatChunks
from gateway.openai.pieces import ServedBy


def _write(record: dict[str, Any], identifier: str, created: int, _echo: str) -> bytes:
    return write_chat(record, identifier, created)


def _chunks(identifier: str, created: int, by: ServedBy, include_usage: bool, _echo: str) -> ChatChunks:
    return ChatChunks(identifier, created, by, include_usage)


def chat_endpoint(deps: HotDeps) -> GenerationEndpoint:
    """The handler."""
    return GenerationEndpoint(deps, Shape("chat", "chat", "chatcmpl-", parse_chat, _write, _chunks))
