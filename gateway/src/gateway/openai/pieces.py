"""The pieces of an answer, as the writers of the wire format see them.

The shapes are structural: the messages of the generated contract already have them, so no piece is
copied on its way through.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

FINISH_REASONS = {1: "stop", 2: "length", 3: "tool_calls", 4: "content_filter"}
"""OpenAI's words for the contract's FinishReason numbers."""


class TopLogprob(Protocol):
    """A token that could have stood in a place."""

    @property
    def token(self) -> str: ...
    @property
    def logprob(self) -> float: ...
    @property
    def token_bytes(self) -> bytes: ...


class TokenLogprob(TopLogprob, Protocol):
    """A token of the answer, and the likeliest in its place."""

    @property
    def top_logprobs(self) -> Sequence[TopLogprob]: ...


class ToolCallPiece(Protocol):
    """A piece of a tool call; pieces with one index belong together."""

    @property
    def index(self) -> int: ...
    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def arguments(self) -> str: ...


class Delta(Protocol):
    """The next piece of an answer, as the contract describes it."""

    @property
    def choice_index(self) -> int: ...
    @property
    def text(self) -> str: ...
    @property
    def reasoning(self) -> str: ...
    @property
    def refusal(self) -> str: ...
    @property
    def tool_calls(self) -> Sequence[ToolCallPiece]: ...
    @property
    def logprobs(self) -> Sequence[TokenLogprob]: ...
    @property
    def finish_reason(self) -> int: ...
    @property
    def extra_json(self) -> bytes: ...


class Usage(NamedTuple):
    """Tokens that a request used, and what the engine measured, in seconds."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0


class ServedBy(NamedTuple):
    """Who gave an answer."""

    model: str
    version: str
    engine: str
