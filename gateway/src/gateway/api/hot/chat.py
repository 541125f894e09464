"""POST /v1/chat/completions."""

from __future__ import annotations

from typing import Any

from gateway.api.hot.deps import HotDeps
from gateway.api.hot.generation import GenerationEndpoint, Run
from gateway.openai.answer import write_chat
from gateway.openai.chat import parse_chat
from gateway.openai.chunks import ChatChunks
from gateway.openai.pieces import ServedBy


class ChatShape:
    """Chat completions; see Shape."""

    operation = capability = "chat"
    prefix = "chatcmpl-"
    cites_at_once = False

    def write(self, record: dict[str, Any], run: Run) -> bytes:
        return write_chat(record, run.identifier, run.created)

    def chunks(self, by: ServedBy, run: Run) -> ChatChunks:
        return ChatChunks(run.identifier, run.created, by, run.request.include_usage)


def chat_endpoint(deps: HotDeps) -> GenerationEndpoint:
    """The handler."""
    return GenerationEndpoint(deps, ChatShape(), parse_chat)
