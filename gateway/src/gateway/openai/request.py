"""What a caller asks for, checked and named as the contract names it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from gateway.retrieval.filters import Filter

Part = str | bytes | tuple[str, str]
"""A part of a turn: text, the JSON of a part the contract does not name, or (image address, detail)."""


@dataclass(slots=True)
class ToolCall:
    """A call that an assistant turn made."""

    id: str
    name: str
    arguments: str


@dataclass(slots=True)
class Message:
    """One turn. `extra` is a JSON object, byte for byte, or empty."""

    role: str
    content: list[Part]
    name: str = ""
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str = ""
    extra: bytes = b""


@dataclass(slots=True)
class Sampling:
    """How tokens are chosen; None leaves it to the engine."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None
    logit_bias: dict[int, float] | None = None


@dataclass(slots=True)
class Format:
    """The shape of the answer. `value` is JSON bytes, a pattern, or a list of answers."""

    kind: Literal["json_object", "json_schema", "regex", "grammar", "choice"]
    value: bytes | str | list[str] = b""


@dataclass(slots=True)
class Tool:
    """A function that the model may call."""

    name: str
    description: str
    parameters: bytes
    strict: bool


@dataclass(slots=True)
class FileSearch:
    """Stores that the answer must stand on, and how they are searched."""

    store_ids: list[str]
    max_results: int = 10
    filter: Filter | None = None
    threshold: float = 0.0
    """Hits whose score is lower are left out."""
    weight: float | None = None
    """The vectors' share, from 0 to 1; None takes what each store was tuned to."""


@dataclass(slots=True)
class Generation:
    """A request for tokens, from either endpoint. Exactly one of `messages` and `prompt` is set."""

    model: str
    messages: list[Message] | None = None
    prompt: str | None = None
    sampling: Sampling = field(default_factory=Sampling)
    max_tokens: int = 0
    """At most this many a choice; 0 leaves it to the context."""
    stop: list[str] = field(default_factory=list)
    n: int = 1
    logprobs: bool = False
    top_logprobs: int = 0
    format: Format | None = None
    tools: list[Tool] | None = None
    tool_mode: str = ""
    """"none", "auto", "required", or empty when not given."""
    tool_name: str = ""
    """The one function to call."""
    stream: bool = False
    include_usage: bool = False
    echo: bool = False
    search: FileSearch | None = None
    extra: bytes = b""
    """A JSON object of the fields that the contract does not name, byte for byte."""
    body: dict[str, Any] = field(default_factory=dict)
    """The decoded request, for the cache key."""

    @property
    def deterministic(self) -> bool:
        """Whether asking again should give the same answer."""
        return self.sampling.temperature == 0 or self.sampling.seed is not None


@dataclass(slots=True)
class EmbeddingInput:
    """A request for vectors. Exactly one of `texts` and `token_lists` is set."""

    model: str
    texts: list[str] | None
    token_lists: list[list[int]] | None
    base64: bool
    dimensions: int
    extra: bytes
    body: dict[str, Any]
