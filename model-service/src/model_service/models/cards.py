"""card.json: what is known about a prepared model, kept beside its weights."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from model_service.engines.types import Capability, Card

CARD_FILE = "card.json"


@dataclass(frozen=True, slots=True)
class PreparedCard:
    """A card and what it takes to tell whether its folder is whole and up to date."""

    card: Card
    recipe: str = ""
    """How the weights were converted, so that another way of doing it makes them anew."""
    files: dict[str, int] = field(default_factory=dict)
    """Size in bytes of every file of the model."""
    weights: str = ""
    """Where the weights lie that it was converted from; empty when they are in a package, or unknown."""
    weights_sha256: str = ""
    """Digest of what lay there then."""


def read_card(folder: Path) -> PreparedCard | None:
    """The folder's card, or None where there is none that can be read."""
    try:
        raw = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
        return PreparedCard(
            _to_card(raw),
            str(raw.get("recipe", "")),
            dict(raw.get("files", {})),
            str(raw.get("weights", "")),
            str(raw.get("weights_sha256", "")),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_card(folder: Path, prepared: PreparedCard) -> None:
    """Write card.json. Names, aliases and the engine are the catalog's to say, not the folder's."""
    card = prepared.card
    raw = {
        "name": card.name,
        "version": card.version,
        "capabilities": sorted(card.capabilities),
        "modalities": list(card.modalities),
        "context_tokens": card.context_tokens,
        "embedding_dimensions": card.embedding_dimensions,
        "licence": card.licence,
        "source": card.source,
        "created_at": card.created_at,
        "parameters": card.parameters,
        "precision": card.precision,
        "description": card.description,
        "recipe": prepared.recipe,
        "files": prepared.files,
        "weights": prepared.weights,
        "weights_sha256": prepared.weights_sha256,
    }
    (folder / CARD_FILE).write_text(json.dumps(raw, indent=2) + "\n", encoding="utf-8")


def is_whole(folder: Path, prepared: PreparedCard) -> bool:
    """Whether every file that the card names is there, at its full size."""
    try:
        return all((folder / name).stat().st_size == size for name, size in prepared.files.items())
    except OSError:
        return False


def for_serving(card: Card, *, name: str, engine: str) -> Card:
    """The folder's card under the name that the service gives the model."""
    return replace(card, name=name, engine=engine)


def _to_card(raw: dict[str, Any]) -> Card:
    return Card(
        name=str(raw["name"]),
        version=str(raw["version"]),
        capabilities=frozenset(Capability(name) for name in raw["capabilities"]),
        modalities=tuple(raw.get("modalities", ("text",))),
        context_tokens=int(raw.get("context_tokens", 0)),
        embedding_dimensions=int(raw.get("embedding_dimensions", 0)),
        licence=str(raw.get("licence", "")),
        source=str(raw.get("source", "")),
        created_at=int(raw.get("created_at", 0)),
        parameters=int(raw.get("parameters", 0)),
        precision=str(raw.get("precision", "")),
        description=str(raw.get("description", "")),
    )
