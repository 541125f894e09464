"""A model that was trained here: its base with an adapter merged in, or all of its weights anew.

An artifact brings weights and nothing else. Tokenizer, chat template and configuration stay the base's: the
weights were trained with them, and files of a tenant's making are not read into the service.

Run as `python -m model_service.prepare.trained FOLDER`, where FOLDER has task.json and the archive: writes
one JSON line to stdout, {"fault": null}, or what was wrong. Ends when its stdin closes.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino as ov

from model_service.models.cards import CARD_FILE, PreparedCard, read_card, write_card
from model_service.prepare import text
from model_service.prepare.artifact import unpack
from model_service.prepare.compress import Weights
from model_service.prepare.folder import fresh_folder, link_or_copy
from model_service.prepare.gguf_file import GgufLlama
from model_service.prepare.handover import ARCHIVE, Task, read_task
from model_service.prepare.hf_folder import HuggingFaceLlama, shape_of
from model_service.prepare.llama import LlamaShape, build_llama
from model_service.prepare.local import weights_digest
from model_service.prepare.lora import BadArtifact, LoraAdapter, Merged
from model_service.prepare.progress import PrepareError

_FROM_WEIGHTS = {"openvino_model.xml", "openvino_model.bin", CARD_FILE}
_NICE = 10


class NoWeights(PrepareError):
    """An adapter cannot be merged: its base is there only as the engine reads it."""


def prepare_trained(task: Task, archive: Path) -> None:
    """Make the target folder, whole or not at all. Raises BadArtifact, or PrepareError for what is ours."""
    base, target = Path(task.base), Path(task.target)
    prepared = read_card(base)
    if prepared is None:
        raise PrepareError("The base is not prepared.")
    needs = 3 * archive.stat().st_size + sum(prepared.files.values())
    with (
        fresh_folder(target, needs=needs) as work,
        tempfile.TemporaryDirectory(prefix=".unpacked.", dir=target.parent) as unpacked,
    ):
        artifact = unpack(archive, Path(unpacked), form=task.form, limit=task.limit)
        shape, weights = _weights(task.form, artifact, base, prepared)
        for file in sorted(base.iterdir()):
            if file.is_file() and file.name not in _FROM_WEIGHTS:
                link_or_copy(file, work / file.name)
        try:
            model = build_llama(shape, _Finite(weights))
        except (KeyError, ValueError, RuntimeError):
            raise BadArtifact("The weights are not those of a model like its base.") from None
        ov.save_model(model, work / "openvino_model.xml", compress_to_fp16=False)
        sizes = {file.name: file.stat().st_size for file in sorted(work.iterdir())}
        card = replace(
            prepared.card,
            name=task.name,
            version=task.version,
            source=f"{prepared.card.name}@{prepared.card.version}",
            created_at=int(time.time()),
            description=f"Made from {prepared.card.name} by training.",
        )
        write_card(work, PreparedCard(card, text.RECIPE, sizes))


def _weights(
    form: str, artifact: Path, base: Path, prepared: PreparedCard
) -> tuple[LlamaShape, Mapping[str, Weights]]:
    if form == "lora":
        origin = _base_weights(prepared)
        adapter = LoraAdapter(artifact)
        return origin.shape, Merged(origin, adapter, tied=origin.shape.tied)
    try:
        given = HuggingFaceLlama.open(artifact, tokenizer=False)
        wanted = shape_of(json.loads((base / "config.json").read_text(encoding="utf-8")))
    except PrepareError:
        raise BadArtifact("The artifact is not a plain Llama with a config.json.") from None
    except Exception as error:  # safetensors raises its own for a damaged file
        raise BadArtifact("The artifact's weights cannot be read.") from error
    if given.shape != wanted:
        raise BadArtifact("The artifact's config.json is not that of its base.")
    return given.shape, given


def _base_weights(prepared: PreparedCard) -> GgufLlama | HuggingFaceLlama:
    """The weights that the base was converted from, checked to be still those."""
    if prepared.weights:
        source = Path(prepared.weights)
        files = [source] if source.is_file() else sorted(file for file in source.rglob("*") if file.is_file())
        if not files or weights_digest(files) != prepared.weights_sha256:
            raise NoWeights("The weights that the base was made from are gone: send form full, not lora.")
        return GgufLlama(source) if source.is_file() else HuggingFaceLlama.open(source)
    package = text.PACKAGE
    if prepared.card.source != f"{package.distribution} {package.version()}":
        raise NoWeights("The base's own weights are not known here: send form full, not lora.")
    file = sorted(package.folder().glob("*.gguf"))[0]
    package.checked(file)
    return GgufLlama(file)


class _Finite(Mapping[str, Weights]):
    """The same weights, refused where one is not a number."""

    def __init__(self, weights: Mapping[str, Weights]) -> None:
        self._weights = weights

    def __getitem__(self, name: str) -> Weights:
        weights = self._weights[name]
        if not np.isfinite(weights).all():
            raise BadArtifact("The weights are not all numbers.")
        return weights

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)


def main() -> int:
    """The child. Always exit code 0 when a line was written."""
    os.nice(_NICE)  # answers go first
    threading.Thread(target=_end_with_parent, daemon=True).start()
    folder = Path(sys.argv[1])
    fault: dict[str, str] | None = None
    try:
        prepare_trained(read_task(folder), folder / ARCHIVE)
    except BadArtifact as error:
        fault = {"kind": "artifact", "text": str(error)}
    except NoWeights as error:
        fault = {"kind": "base", "text": str(error)}
    except PrepareError as error:
        fault = {"kind": "place", "text": str(error)}
    print(json.dumps({"fault": fault}), flush=True)  # noqa: T201
    return 0


def _end_with_parent() -> None:
    while os.read(0, 4096):  # not sys.stdin: its lock would be in the way when the interpreter ends
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
