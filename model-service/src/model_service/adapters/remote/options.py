"""The options of models.yaml that every engine on another machine takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model_service.engines.types import Capability, Card
from model_service.models.cards import read_card
from model_service.models.config import ConfigError


class RemoteOptions(BaseModel):
    """How much is asked of the other side at once, how long it may take, and what is known of the model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_running: int = Field(16, ge=1, le=4096, description="Requests at the server at once.")
    max_waiting: int = Field(64, ge=0, le=65536, description="Requests that wait here for their turn.")
    connect_timeout: float = Field(5.0, gt=0, le=60, description="Seconds until the server must be reached.")
    context_tokens: int = Field(0, ge=0, description="Prompt and answer together; 0 when not known.")
    capabilities: frozenset[Capability] | None = Field(
        None, description="What the model can be asked for, where the engine's own guess is wrong."
    )
    version: str = Field("", description="The model's version, where the server does not tell one.")
    licence: str = ""
    source: str = ""
    precision: str = ""
    parameters: int = Field(0, ge=0)
    description: str = ""
    modalities: tuple[str, ...] = ("text",)

    def card(
        self,
        name: str,
        engine: str,
        *,
        version: str,
        capabilities: frozenset[Capability],
        known: Card | None = None,
    ) -> Card:
        """The model's card: what the options say, else what its tokenizer's folder says, else nothing."""
        base = known or Card(name, version)
        return Card(
            name=name,
            version=self.version or version,
            capabilities=capabilities if self.capabilities is None else self.capabilities,
            modalities=self.modalities,
            context_tokens=self.context_tokens or base.context_tokens,
            licence=self.licence or base.licence,
            source=self.source or base.source,
            engine=engine,
            created_at=base.created_at,
            parameters=self.parameters or base.parameters,
            precision=self.precision or base.precision,
            description=self.description or base.description,
        )


OptionsT = TypeVar("OptionsT", bound=RemoteOptions)


def read_options(kind: type[OptionsT], name: str, raw: dict[str, Any]) -> OptionsT:
    """The checked options of one model. Raises ConfigError with one line that names the option."""
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"model {name!r}: options.{where}: {first['msg']}.") from None


def known_of(folder: Path | None) -> Card | None:
    """What a prepared model's folder says of itself, if anything."""
    prepared = read_card(folder) if folder is not None else None
    return prepared.card if prepared else None
