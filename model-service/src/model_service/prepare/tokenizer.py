"""A model's tokenizer as files: Hugging Face's tokenizer.json and the pair of OpenVINO graphs.

The service tokenises with tokenizer.json. The graphs are what OpenVINO GenAI reads the vocabulary
from when it constrains an answer.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openvino as ov
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from model_service.prepare.gguf_file import GgufLlama, UnsupportedModel

_CONTROL = 3  # GGUF's token type for special tokens

# GGUF names the way a vocabulary was trained; Hugging Face writes it out. "smollm" splits digits apart.
_PRE_TOKENIZERS = {
    "smollm": lambda: [
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
    ],
    "gpt-2": lambda: [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)],
}


def write_tokenizer(model: GgufLlama, folder: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json, chat_template.jinja and the OpenVINO graphs."""
    kind, pre = model.field("tokenizer.ggml.model"), model.field("tokenizer.ggml.pre", "gpt-2")
    if kind != "gpt2" or pre not in _PRE_TOKENIZERS:
        raise UnsupportedModel(f"its tokenizer is {kind!r}/{pre!r}; only {sorted(_PRE_TOKENIZERS)} are known")
    tokens: list[str] = model.field("tokenizer.ggml.tokens")
    kinds: list[int] = model.field("tokenizer.ggml.token_type")
    merges = [tuple(merge.split(" ", 1)) for merge in model.field("tokenizer.ggml.merges")]
    tokenizer = Tokenizer(models.BPE({token: index for index, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(_PRE_TOKENIZERS[pre]())
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [
            AddedToken(token, normalized=False, special=True)
            for token, kind in zip(tokens, kinds, strict=True)
            if kind == _CONTROL
        ]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {
        name: tokens[int(model.field(f"tokenizer.ggml.{key}_token_id"))]
        for name, key in (("bos_token", "bos"), ("eos_token", "eos"), ("unk_token", "unknown"))
    }
    special["pad_token"] = special["eos_token"]
    template = model.field("tokenizer.chat_template", "")
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": model.shape.context,
        "clean_up_tokenization_spaces": False,
        **special,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")


def write_graphs(folder: Path) -> None:
    """Turn the folder's tokenizer.json into openvino_tokenizer.xml and openvino_detokenizer.xml."""
    from openvino_tokenizers import convert_tokenizer
    from transformers import PreTrainedTokenizerFast

    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    special = {
        key: value for key, value in config.items() if key.endswith("_token") and isinstance(value, str)
    }
    fast = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        model_max_length=config["model_max_length"],
        clean_up_tokenization_spaces=False,
        **special,
    )
    template = folder / "chat_template.jinja"
    if template.exists():
        fast.chat_template = template.read_text(encoding="utf-8")
    encode, decode = convert_tokenizer(fast, with_detokenizer=True)
    ov.save_model(encode, folder / "openvino_tokenizer.xml")
    ov.save_model(decode, folder / "openvino_detokenizer.xml")
