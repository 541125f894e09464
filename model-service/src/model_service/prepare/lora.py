"""A LoRA adapter as PEFT writes it, and a base's weights with it merged in.

LoRA (Hu et al., 2021): W' = W + s·B·A, A [r, in], B [out, r], s = alpha / r, or alpha / √r where the adapter
says so (rsLoRA, Kalajdzievski, 2023).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from model_service.prepare.compress import Weights
from model_service.prepare.progress import PrepareError

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
_LARGEST_RANK = 1024
_MUST_BE_OFF = (
    "use_dora",
    "lora_bias",
    "fan_in_fan_out",
    "modules_to_save",
    "rank_pattern",
    "alpha_pattern",
    "layer_replication",
    "trainable_token_indices",
    "target_parameters",
)
"""What changes a model in other ways than by sums of A and B of one rank."""


class BadArtifact(PrepareError):
    """The artifact is of no use. The text says why, and may be shown to whoever sent it."""


class LoraAdapter:
    """Pairs of A and B under the Hugging Face names of the weights that they change."""

    def __init__(self, folder: Path) -> None:
        """Raises BadArtifact."""
        config = _config(folder / CONFIG)
        self.rank = _number(config, "r")
        if self.rank != int(self.rank) or not 1 <= self.rank <= _LARGEST_RANK:
            raise BadArtifact(f"The adapter's rank must be between 1 and {_LARGEST_RANK}.")
        root = math.sqrt(self.rank) if config.get("use_rslora") else self.rank
        self.scale = _number(config, "lora_alpha") / root
        self._pairs = _pairs(folder / WEIGHTS, int(self.rank))

    @property
    def names(self) -> list[str]:
        """The weights that it changes."""
        return list(self._pairs)

    def change(self, name: str) -> Weights:
        """What is added to a weight, in float32."""
        down, up = self._pairs[name]
        return (np.float32(self.scale) * (up @ down)).astype(np.float32, copy=False)

    def fits(self, name: str) -> tuple[int, int]:
        """The shape of the weight that a pair is for."""
        down, up = self._pairs[name]
        return up.shape[0], down.shape[1]


class Merged(Mapping[str, Weights]):
    """A base's weights, changed as they are asked for."""

    def __init__(self, base: Mapping[str, Weights], adapter: LoraAdapter, *, tied: bool) -> None:
        """Raises BadArtifact for an adapter of another model. `tied`: input and output share a weight."""
        self._base = base
        self._adapter = adapter
        self._changed = frozenset(adapter.names)
        for name in adapter.names:
            if name not in base or (tied and name in ("lm_head.weight", "model.embed_tokens.weight")):
                raise BadArtifact("The adapter changes a part that its base does not have.")

    def __getitem__(self, name: str) -> Weights:
        weights = self._base[name]
        if name not in self._changed:
            return weights
        if self._adapter.fits(name) != weights.shape:
            raise BadArtifact("The adapter was made for a model of another size.")
        return weights + self._adapter.change(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._base)

    def __len__(self) -> int:
        return len(self._base)


def _config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise BadArtifact(f"The artifact has no {CONFIG} that can be read.") from None
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise BadArtifact("The adapter is not a LoRA.")
    odd = [name for name in _MUST_BE_OFF if config.get(name)]
    if odd or config.get("bias", "none") != "none":
        raise BadArtifact(f"An adapter with {odd[0] if odd else 'bias'} cannot be merged.")
    return config


def _number(config: dict[str, Any], name: str) -> float:
    value = config.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadArtifact(f"{CONFIG} has no number {name}.")
    return value


def _pairs(path: Path, rank: int) -> dict[str, tuple[Weights, Weights]]:
    from safetensors import SafetensorError, safe_open

    found: dict[str, dict[str, Weights]] = {}
    try:
        with safe_open(str(path), framework="pt") as file:
            for key in file.keys():  # noqa: SIM118  it is no mapping
                module, _, side = key.removeprefix(_PREFIX).removesuffix(".weight").rpartition(".")
                if not key.startswith(_PREFIX) or side not in ("lora_A", "lora_B"):
                    raise BadArtifact("The adapter holds more than pairs of A and B.")
                weights: Weights = file.get_tensor(key).float().numpy()
                if weights.ndim != 2 or weights.shape[0 if side == "lora_A" else 1] != rank:
                    raise BadArtifact("The adapter's weights are not of the rank that it names.")
                if not np.isfinite(weights).all():
                    raise BadArtifact("The adapter has weights that are not numbers.")
                found.setdefault(f"{module}.weight", {})[side] = weights
    except (OSError, SafetensorError):
        raise BadArtifact(f"The artifact has no {WEIGHTS} that can be read.") from None
    if not found or any(len(pair) != 2 for pair in found.values()):
        raise BadArtifact("The adapter lacks A or B of a pair.")
    return {name: (pair["lora_A"], pair["lora_B"]) for name, pair in found.items()}
