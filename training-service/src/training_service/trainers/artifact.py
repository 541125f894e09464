"""A trained model as one file: a tar archive that is the same for the same contents.

manifest.json           what it is, where it comes from, and the SHA-256 of every other file
adapter/…               adapter_config.json, adapter_model.safetensors: form "lora"
merged/…                config.json, model.safetensors, tokenizer: form "full", or a merged adapter
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training_service.trainers.ports import Base, Run, Trained

_LIBRARIES = ("torch", "transformers", "peft", "trl", "accelerate", "tokenizers")
_LEFT = {"README.md", "training_args.bin"}


def lay_out(run: Run, trained: Trained, facts: Mapping[str, Any], *, merged: bool) -> Path:
    """The archive's folder with its manifest. `facts` is what else the manifest says."""
    folder = run.workdir / "artifact"
    folder.mkdir()
    form = run.plan.method.form
    inner = folder / ("adapter" if form == "lora" else "merged")
    trained.folder.rename(inner)
    for name in _LEFT:
        (inner / name).unlink(missing_ok=True)
    if form == "lora":
        _name_base(inner / "adapter_config.json", run.base)
    if merged and form == "lora":
        merge(run.base, inner, folder / "merged")
    plan = run.plan
    manifest = {
        "format": 1,
        "form": form,
        "base": {"name": run.base.name, "version": run.base.version},
        "method": plan.method.value,
        "hyperparameters": {
            "epochs": plan.epochs,
            "batch_size": plan.batch_size,
            "learning_rate": plan.learning_rate,
            "beta": plan.beta if plan.method.value == "dpo" else None,
            "lora_rank": plan.lora_rank if form == "lora" else None,
            "lora_alpha": plan.lora_alpha if form == "lora" else None,
            "steps": plan.steps,
            "patience": plan.patience,
        },
        "seed": plan.seed,
        "metrics": trained.metrics,
        "libraries": _versions(),
        **facts,
        "files": {
            str(file.relative_to(folder)): {"sha256": _sha256(file), "bytes": file.stat().st_size}
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        },
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2, sort_keys=True), encoding="utf-8")
    return folder


def archive(folder: Path, path: Path) -> None:
    """Without times and owners."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as packed:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                packed.add(file, arcname=str(file.relative_to(folder)), filter=_bare)


def merge(base: Base, adapter: Path, target: Path) -> None:
    """The base with the adapter's change in its weights, and its tokenizer."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32)
    PeftModel.from_pretrained(model, adapter).merge_and_unload().save_pretrained(target)
    AutoTokenizer.from_pretrained(base.folder).save_pretrained(target)


def version_of(folder: Path) -> str:
    """Content hash of the weights, 16 hex digits."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.safetensors")):
        digest.update(f"{file.relative_to(folder)}\0{_sha256(file)}\n".encode())
    return digest.hexdigest()[:16]


def _name_base(config: Path, base: Base) -> None:
    """PEFT writes the folder in which the base happened to lie; no path of this machine leaves it."""
    told = json.loads(config.read_text(encoding="utf-8"))
    told["base_model_name_or_path"] = base.name
    config.write_text(json.dumps(told, indent=2, sort_keys=True), encoding="utf-8")


def _bare(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o644
    return entry


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        found[name] = importlib.metadata.version(name)
    return found
