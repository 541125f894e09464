"""A tiny Llama with random weights, an adapter for it, and archives as a training leaves them."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

WORDS = ["<s>", "</s>", "<unk>", *"abcdefghijklmnopqrstuvwxyz ", *(f"w{number}" for number in range(34))]


def make_base(folder: Path) -> Any:
    """Its Hugging Face folder; returns the model."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        initializer_range=0.2,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config).eval()
    model.save_pretrained(folder)
    tokenizer = Tokenizer(
        models.BPE({word: index for index, word in enumerate(WORDS)}, [], unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="</s>",
        model_max_length=128,
        chat_template="{% for m in messages %}{{ m['content'] }}{% endfor %}",
    ).save_pretrained(folder)
    return model


def make_adapter(base: Path, folder: Path, **more: Any) -> Any:
    """A LoRA over every linear layer, not a zero one; returns the model with it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaForCausalLM

    torch.manual_seed(11)
    given = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "task_type": "CAUSAL_LM", **more}
    model = get_peft_model(LlamaForCausalLM.from_pretrained(base), LoraConfig(**given)).eval()
    for name, weights in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, std=0.2)
    model.save_pretrained(folder)
    return model


def archive(folder: Path, inner: str = "adapter", **manifest: Any) -> bytes:
    """A tar of the folder's files below `inner`, with its manifest."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        text = json.dumps({"format": 1, **manifest}).encode()
        entry = tarfile.TarInfo("manifest.json")
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text))
        for file in sorted(folder.iterdir()):
            tar.add(file, arcname=f"{inner}/{file.name}" if inner else file.name)
    return packed.getvalue()


def digest(data: bytes) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def logits(folder: Path, ids: list[int]) -> Any:
    """What the prepared model says, [length, vocabulary]."""
    import numpy as np
    import openvino as ov

    core = ov.Core()
    request = core.compile_model(
        core.read_model(folder / "openvino_model.xml"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    ).create_infer_request()
    length = len(ids)
    found = request.infer(
        {
            "input_ids": np.array([ids], np.int64),
            "attention_mask": np.ones((1, length), np.int64),
            "position_ids": np.arange(length, dtype=np.int64)[None],
            "beam_idx": np.zeros(1, np.int32),
        }
    )
    return found["logits"][0]
