"""What routing needs of the outside: a client that speaks to model services."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from gateway.openai.pieces import Delta, ServedBy, Usage
from gateway.openai.request import EmbeddingInput, Generation
from servicekit.errors import SixfoldError


@dataclass(frozen=True, slots=True)
class Card:
    """What the gateway needs to know about a model."""

    name: str
    version: str
    aliases: tuple[str, ...]
    capabilities: frozenset[str]
    """"chat", "embeddings", "completion", ..."""
    context_tokens: int
    engine: str
    ready: bool
    created_at: int
    parameters: int = 0
    """Weights of the model; 0 when nobody said."""
    owner: str = ""
    """The tenant whose model it is, which alone sees it; empty for every tenant's."""
    base: str = ""
    """For a model that was trained here: what it was made from."""

    def seen_by(self, tenant: str) -> bool:
        """Whether the model is there for this tenant."""
        return not self.owner or self.owner == tenant


@dataclass(frozen=True, slots=True)
class Asker:
    """On whose behalf a call is made, from the verified principal alone."""

    tenant: str
    subject: str
    request_id: str


class Answer(Protocol):
    """One running generation.

    `read` waits for the next pieces and gives all that have arrived; an empty list means `wake` was
    called; None means the answer is complete and `usage` is set. It raises SixfoldError when the answer
    broke off. `stop` ends the call from anywhere: `read` then raises the error given, and the service
    sees a cancelled call.
    """

    usage: Usage | None
    served_by: ServedBy | None

    async def read(self) -> Sequence[Delta] | None: ...
    def wake(self) -> None: ...
    def stop(self, error: SixfoldError) -> None: ...


class Embedded(NamedTuple):
    """Vectors as little-endian float32, in the order of the inputs."""

    vectors: list[bytes]
    usage: Usage
    served_by: ServedBy


class Counted(NamedTuple):
    """Tokens a text, in the order of the texts."""

    counts: list[int]
    exact: bool
    """Whether the model's own tokenizer counted; otherwise none of the counts is too low."""


class PendingEmbedding(Protocol):
    """One running embedding call; `stop` as in Answer."""

    async def result(self) -> Embedded: ...
    def stop(self, error: SixfoldError) -> None: ...


class ModelClient(Protocol):
    """A connection to one model service."""

    def generate(self, request: Generation, model: str, asker: Asker, deadline: float) -> Answer: ...
    def embed(
        self, request: EmbeddingInput, model: str, asker: Asker, deadline: float
    ) -> PendingEmbedding: ...
    async def count_tokens(
        self, model: str, texts: Sequence[str], asker: Asker, deadline: float
    ) -> Counted: ...
    async def list_models(self, deadline: float) -> list[Card]: ...
    async def remove_model(self, model: str, asker: Asker, change: str, deadline: float) -> bool: ...
    async def close(self) -> None: ...
