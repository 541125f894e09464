"""POST /v1/completions."""

from __future__ import annotations

from gateway.api.hot.deps import HotDeps
from gateway.api.hot.generation import GenerationEndpoint, Shape
from gateway.openai.answer import write_completion
from gateway.openai.chunks import CompletionChunks
from gateway.openai.completion import parse_completion


def completions_endpoint(deps: HotDeps) -> GenerationEndpoint:
    """The handler."""
    return GenerationEndpoint(
        deps,
        Shape("text_completion", "completion", "cmpl-", parse_completion, write_completion, CompletionChunks),
    )
