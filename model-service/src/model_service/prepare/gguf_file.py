"""Read a Llama model out of a GGUF file: sizes, weights in float32 under Hugging Face names, tokenizer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, dequantize

from model_service.prepare.compress import Weights
from model_service.prepare.llama import LlamaShape

_LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_TOP_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}


class UnsupportedModel(ValueError):
    """The file is sound, but not of a kind that can be prepared. The text says why."""


class GgufLlama(Mapping[str, Weights]):
    """The weights of a GGUF file, dequantised one at a time as they are asked for."""

    def __init__(self, path: Path) -> None:
        """Open the file. Raises ValueError when it is no GGUF file, or not a Llama."""
        self._reader = GGUFReader(path)
        architecture = self.field("general.architecture")
        if architecture != "llama":
            raise UnsupportedModel(f"its architecture is {architecture!r}; only 'llama' is read from GGUF")
        heads = int(self.field("llama.attention.head_count"))
        hidden = int(self.field("llama.embedding_length"))
        self._tensors = {_hugging_face_name(tensor.name): tensor for tensor in self._reader.tensors}
        self.shape = LlamaShape(
            layers=int(self.field("llama.block_count")),
            hidden=hidden,
            intermediate=int(self.field("llama.feed_forward_length")),
            heads=heads,
            kv_heads=int(self.field("llama.attention.head_count_kv", heads)),
            head_dim=int(self.field("llama.rope.dimension_count", hidden // heads)),
            vocabulary=int(self._tensors["model.embed_tokens.weight"].shape[1]),
            context=int(self.field("llama.context_length")),
            rms_epsilon=float(self.field("llama.attention.layer_norm_rms_epsilon")),
            rope_theta=float(self.field("llama.rope.freq_base", 10000.0)),
            tied="lm_head.weight" not in self._tensors,
        )

    def field(self, name: str, default: Any = None) -> Any:
        """A metadata value by its GGUF key."""
        found = self._reader.fields.get(name)
        if found is None:
            if default is None:
                raise UnsupportedModel(f"it has no {name!r}")
            return default
        return found.contents()

    def __getitem__(self, name: str) -> Weights:
        tensor = self._tensors[name]
        weights: Weights = dequantize(tensor.data, tensor.tensor_type).astype(np.float32, copy=False)
        if name.endswith("q_proj.weight"):
            return _unpermute(weights, self.shape.heads)
        if name.endswith("k_proj.weight"):
            return _unpermute(weights, self.shape.kv_heads)
        return weights

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def _hugging_face_name(name: str) -> str:
    """ "blk.3.attn_q.weight" -> "model.layers.3.self_attn.q_proj.weight"."""
    parts = name.split(".")
    if parts[0] == "blk" and len(parts) == 4 and parts[2] in _LAYER_NAMES and parts[3] == "weight":
        return f"model.layers.{parts[1]}.{_LAYER_NAMES[parts[2]]}.weight"
    if len(parts) == 2 and parts[0] in _TOP_NAMES and parts[1] == "weight":
        return f"{_TOP_NAMES[parts[0]]}.weight"
    raise UnsupportedModel(f"it has a tensor {name!r} that a Llama does not have")


def _unpermute(weights: Weights, heads: int) -> Weights:
    """Undo GGUF's interleaving of query and key rows, so that halves rotate together."""
    half = weights.shape[0] // heads // 2
    split = weights.reshape(heads, half, 2, weights.shape[1])
    return np.ascontiguousarray(split.swapaxes(1, 2).reshape(weights.shape))
