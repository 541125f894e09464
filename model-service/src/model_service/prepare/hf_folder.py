"""Read a Llama model out of a Hugging Face folder: config.json and safetensors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from model_service.prepare.compress import Weights
from model_service.prepare.llama import LlamaShape
from model_service.prepare.progress import PrepareError

_ADVICE = "Export it to OpenVINO first (optimum-cli export openvino) and give that folder."


class HuggingFaceLlama(Mapping[str, Weights]):
    """The weights of a folder in float32, read one at a time as they are asked for."""

    def __init__(self, config: dict[str, Any], files: list[Path]) -> None:
        from safetensors import safe_open

        self._where: dict[str, Any] = {}
        for file in files:
            opened = safe_open(str(file), framework="pt")
            names: list[str] = opened.offset_keys()  # type: ignore[no-untyped-call]
            self._where.update(dict.fromkeys(names, opened))
        self.shape = shape_of(config)

    @classmethod
    def open(cls, folder: Path, *, tokenizer: bool = True) -> HuggingFaceLlama:
        """Raises PrepareError when the folder is of another kind, or incomplete.

        `tokenizer` says whether it must have one.
        """
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise PrepareError(f"{folder} has no config.json that can be read.") from None
        rope = config.get("rope_scaling") or config.get("rope_parameters") or {}
        plain = rope.get("rope_type", rope.get("type", "default")) == "default"
        biased = config.get("attention_bias") or config.get("mlp_bias")
        if config.get("model_type") != "llama" or not plain or biased:
            raise PrepareError(f"{folder} is not a plain Llama. {_ADVICE}")
        files = sorted(folder.glob("*.safetensors"))
        if not files or (tokenizer and not (folder / "tokenizer.json").exists()):
            raise PrepareError(f"{folder} lacks .safetensors files or tokenizer.json.")
        try:
            return cls(config, files)
        except KeyError as error:
            raise PrepareError(f"config.json in {folder} lacks {error}.") from None

    def __getitem__(self, name: str) -> Weights:
        weights: Weights = self._where[name].get_tensor(name).float().numpy()
        return weights

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def __len__(self) -> int:
        return len(self._where)


def shape_of(config: Mapping[str, Any]) -> LlamaShape:
    """The sizes in a config.json. Raises KeyError for one that is missing, ValueError and TypeError."""
    heads = int(config["num_attention_heads"])
    hidden = int(config["hidden_size"])
    rope = config.get("rope_parameters") or {}
    return LlamaShape(
        layers=int(config["num_hidden_layers"]),
        hidden=hidden,
        intermediate=int(config["intermediate_size"]),
        heads=heads,
        kv_heads=int(config.get("num_key_value_heads", heads)),
        head_dim=int(config.get("head_dim") or hidden // heads),
        vocabulary=int(config["vocab_size"]),
        context=int(config["max_position_embeddings"]),
        rms_epsilon=float(config["rms_norm_eps"]),
        rope_theta=float(config.get("rope_theta") or rope.get("rope_theta", 10000.0)),
        tied=bool(config.get("tie_word_embeddings", False)),
    )
