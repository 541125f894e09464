"""What a request for tokens or vectors came to, gathered while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Source(NamedTuple):
    """A passage that stood in the prompt."""

    store_id: str
    file_id: str
    passage_id: str
    score: float
    cited: bool = False
    """Whether the answer cites it."""
    filename: str = ""
    """The file's name when it was read."""


@dataclass(slots=True)
class Completion:
    """One request on its way. A route that begins one sets it on its exchange, and fills in what it learns.

    Without a tenant, which only a verified credential gives, nothing is told of it.
    """

    operation: str
    """"chat", "text_completion", "embeddings" or "responses"."""
    tenant: str = ""
    subject: str = ""
    traceparent: str = ""
    requested_model: str = ""
    model: str = ""
    model_version: str = ""
    engine: str = ""
    route: str = ""
    release_id: str = ""
    """The release that decided who answers to the name asked for; empty for none."""
    answer_id: str = ""
    """The id that the answer itself carries; empty for vectors."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    first_token_seconds: float = 0.0
    """0 when the answer was not streamed."""
    cache: str = "bypass"
    stream: bool = False
    finish_reasons: Sequence[str] = ()
    """One a choice, in OpenAI's words."""
    sources: Sequence[Source] = ()
    content: bytes = b""
    """Messages and answer as JSON; empty unless the tenant keeps content for learning."""


class Outcome(NamedTuple):
    """How it ended."""

    request_id: str
    status: int
    """HTTP status; 499 when the client left before any answer."""
    reason: str
    """UPPER_SNAKE; empty for a success."""
    seconds: float


class Journal(Protocol):
    """Where completions go."""

    def add(self, completion: Completion, outcome: Outcome) -> None:
        """Keeps it so that it survives this process. Quick enough for every request; never raises."""
        ...
