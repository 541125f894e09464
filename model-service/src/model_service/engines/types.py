"""What goes into an engine and what comes out: plain values, free of proto and of any vendor."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Message: TypeAlias = dict[str, Any]
"""One turn in OpenAI's shape, JSON-native; keys that nobody here knows are kept."""


class Capability(StrEnum):
    """Something a model can be asked for."""

    CHAT = "chat"
    COMPLETION = "completion"
    EMBEDDINGS = "embeddings"
    LOGPROBS = "logprobs"
    SEED = "seed"
    STRUCTURED_OUTPUT = "structured_output"
    TOOLS = "tools"


class Finish(StrEnum):
    """Why an answer ended."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen. None leaves it to the engine's default for the model."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None
    logit_bias: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Format:
    """The shape an answer must have.

    `value` is the schema as a mapping for json_schema, the text of a regex or an EBNF grammar, the
    list of strings of a choice, and None for json_object.
    """

    kind: Literal["json_object", "json_schema", "regex", "grammar", "choice"]
    value: Any = None


@dataclass(frozen=True, slots=True)
class Speculation:
    """How an engine may guess ahead for one request."""

    mode: Literal["off", "prompt_lookup", "draft_model"]
    max_draft_tokens: int | None = None
    draft_model: str | None = None


@dataclass(frozen=True, slots=True)
class Generation:
    """A question for a text engine. Exactly one of `messages` and `prompt` is set."""

    request_id: str
    model: str
    messages: list[Message] | None = None
    prompt: str | None = None
    sampling: Sampling = Sampling()
    max_tokens: int | None = None
    """Tokens a choice at most; None means as many as the context holds."""
    stop: tuple[str, ...] = ()
    n: int = 1
    logprobs: bool = False
    top_logprobs: int = 0
    format: Format | None = None
    tools: list[dict[str, Any]] = field(default_factory=list)
    """Functions in OpenAI's shape: {"type": "function", "function": {...}}."""
    tool_choice: Any | None = None
    """In OpenAI's shape: "none", "auto", "required" or {"type": "function", "function": {"name": ...}}."""
    speculation: Speculation | None = None
    adapter: str | None = None
    stream: bool = True
    """Whether pieces are passed on as they come; if not, larger ones are welcome."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Request fields that the contract does not name."""
    deadline: float = 60.0
    """Seconds left."""


@dataclass(frozen=True, slots=True)
class TopLogprob:
    """A token that could have stood in a place."""

    token: str
    logprob: float
    token_bytes: bytes = b""


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """The likelihood of one token of the answer; natural logarithm."""

    token: str
    logprob: float
    token_bytes: bytes = b""
    top: tuple[TopLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolCallPiece:
    """A piece of a tool call; pieces with one index belong together, the first names the function."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(slots=True)
class Delta:
    """The next piece of one choice. Text is whole UTF-8 always; `finish` is set on the last piece."""

    choice: int = 0
    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool_calls: list[ToolCallPiece] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    token_count: int = 0
    finish: Finish | None = None
    extra: dict[str, Any] | None = None


@dataclass(slots=True)
class Usage:
    """What a request used: counts in tokens, times in seconds from its arrival at the engine."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    queue_seconds: float = 0.0
    ttft_seconds: float = 0.0
    extra: dict[str, Any] | None = None


Event: TypeAlias = Delta | Usage


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors in the order of the texts: float32, shape [texts, dimensions]."""

    vectors: npt.NDArray[np.float32]
    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class Counted:
    """Tokens a text, in the order of the texts."""

    counts: list[int]
    exact: bool
    """Whether the model's own tokenizer counted; otherwise the counts are estimates, never too low."""


@dataclass(frozen=True, slots=True)
class Load:
    """How busy an engine is."""

    running: int
    waiting: int
    capacity: int
    """Requests that may run at once."""
    kv_usage: float = 0.0
    """Share of the key-value cache in use, 0 to 1; 0 where the engine does not tell."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose a model is and what it was made from. All empty for a model that came from outside."""

    owner: str = ""
    """The tenant that alone sees it; empty for every tenant's."""
    base: str = ""
    job_id: str = ""
    data_sha256: str = ""
    artifact_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """What is known about a model: enough to choose it, to bound a prompt and to cite it."""

    name: str
    version: str
    """Content hash or registry version; changes whenever answers may."""
    capabilities: frozenset[Capability] = frozenset()
    modalities: tuple[str, ...] = ("text",)
    context_tokens: int = 0
    """Prompt and answer together; 0 when the engine does not say."""
    embedding_dimensions: int = 0
    licence: str = ""
    source: str = ""
    aliases: tuple[str, ...] = ()
    engine: str = ""
    created_at: int = 0
    parameters: int = 0
    precision: str = ""
    description: str = ""
    origin: Origin = Origin()

    @property
    def label(self) -> str:
        """What metrics call it. A trained model's name says whose it is, so its base stands for it."""
        return f"ft:{self.origin.base}" if self.origin.owner else self.name
