"""POST /v1/completions."""

from __future__ import annotations

from typing import Any

from gateway.api.hot.deps import HotDeps
from gateway.api.hot.generation import GenerationEndpoint, Run
from gateway.openai.answer import write_completion
from gateway.openai.chunks import CompletionChunks
from gateway.openai.completion import parse_completion
from gateway.openai.pieces import ServedBy


class CompletionShape:
    """The older endpoint; see Shape."""

    operation = "text_completion"
    capability = "completion"
    prefix = "cmpl-"
    cites_at_once = False

    def write(self, record: dict[str, Any], run: Run) -> bytes:
        return write_completion(record, run.identifier, run.created, run.echo)

    def chunks(self, by: ServedBy, run: Run) -> CompletionChunks:
        return CompletionChunks(run.identifier, run.created, by, run.request.include_usage, run.echo)


def completions_endpoint(deps: HotDeps) -> GenerationEndpoint:
    """The handler."""
    return GenerationEndpoint(deps, CompletionShape(), parse_completion)
