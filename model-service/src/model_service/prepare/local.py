"""`prepare --from`: a model that lies on this machine, as OpenVINO IR, GGUF or a Hugging Face folder."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import openvino as ov

from model_service.engines.types import Capability, Card
from model_service.models.cards import CARD_FILE, PreparedCard, write_card
from model_service.prepare import text
from model_service.prepare.folder import fresh_folder, link_or_copy
from model_service.prepare.hf_folder import HuggingFaceLlama
from model_service.prepare.llama import build_llama
from model_service.prepare.progress import PrepareError, Progress
from model_service.prepare.tokenizer import write_graphs

_WEIGHTS = {".bin", ".safetensors", ".gguf", ".xml"}
_TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
    "generation_config.json",
    "config.json",
)


def prepare_local(source: Path, name: str, models: Path, progress: Progress) -> None:
    """Make `models/<name>` from a GGUF file or a folder. Raises PrepareError."""
    if not source.exists():
        raise PrepareError(f"There is nothing at {source}.")
    progress.say(f"{name}: reading {source}")
    files = [source] if source.is_file() else sorted(file for file in source.rglob("*") if file.is_file())
    digest, kept = weights_digest(files), ""
    size = sum(file.stat().st_size for file in files)
    with fresh_folder(models / name, needs=2 * size) as work:
        if source.is_file():
            text.convert_gguf(source, work, progress, name)
            facts, kept = _text_facts(work, "int8"), str(source.absolute())
        elif (source / "openvino_model.xml").exists():
            _bring(files, source, work)
            facts = _text_facts(work, "")
        elif (source / "modules.json").exists():
            _bring(files, source, work)
            facts = _embedding_facts(work)
        else:
            _convert(source, work, progress, name)
            facts, kept = _text_facts(work, "int8"), str(source.absolute())
        sizes = {
            str(file.relative_to(work)): file.stat().st_size
            for file in sorted(work.rglob("*"))
            if file.is_file() and file.name != CARD_FILE
        }
        card = Card(
            name=name,
            version=hashlib.sha256(f"{digest} {text.RECIPE}".encode()).hexdigest()[:16],
            source=source.name,
            created_at=int(time.time()),
            **facts,
        )
        (work / CARD_FILE).unlink(missing_ok=True)
        write_card(work, PreparedCard(card, text.RECIPE, sizes, kept, digest if kept else ""))
    scheme = "sentence-transformers" if Capability.EMBEDDINGS in card.capabilities else "openvino"
    progress.say(f"{name} is ready. Name it in models.yaml: engine: {scheme}://{(models / name).absolute()}")


def _convert(source: Path, work: Path, progress: Progress, name: str) -> None:
    """A Hugging Face folder of the Llama architecture."""
    llama = HuggingFaceLlama.open(source)
    for file in _TOKENIZER:
        if (source / file).is_file():
            link_or_copy(source / file, work / file)
    progress.say(f"{name}: writing the graph, weights as int8")
    ov.save_model(build_llama(llama.shape, llama), work / "openvino_model.xml", compress_to_fp16=False)
    progress.say(f"{name}: converting the tokenizer")
    write_graphs(work)


def _bring(files: list[Path], source: Path, work: Path) -> None:
    for file in files:
        link_or_copy(file, work / file.relative_to(source))


def weights_digest(files: list[Path]) -> str:
    """SHA-256 over what decides a model's answers."""
    total = hashlib.sha256()
    for file in files:
        if file.suffix in _WEIGHTS or file.name == "tokenizer.json":
            with file.open("rb") as opened:
                total.update(hashlib.file_digest(opened, "sha256").digest())
    return total.hexdigest()


def _text_facts(work: Path, precision: str) -> dict[str, Any]:
    try:
        config = json.loads((work / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise PrepareError("The folder has no config.json that can be read.") from None
    return {
        "capabilities": text.CAPABILITIES,
        "context_tokens": int(config.get("max_position_embeddings", 0)),
        "precision": precision,
    }


def _embedding_facts(work: Path) -> dict[str, Any]:
    try:
        config = json.loads((work / "config.json").read_text(encoding="utf-8"))
        limits_file = work / "sentence_bert_config.json"
        limits = json.loads(limits_file.read_text(encoding="utf-8")) if limits_file.exists() else {}
    except (OSError, ValueError):
        raise PrepareError("The folder has no config.json that can be read.") from None
    return {
        "capabilities": frozenset({Capability.EMBEDDINGS}),
        "context_tokens": int(limits.get("max_seq_length") or config.get("max_position_embeddings", 0)),
        "embedding_dimensions": int(config.get("hidden_size", 0)),
    }
