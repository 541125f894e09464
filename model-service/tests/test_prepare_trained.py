"""What a training leaves becomes a model that answers as the training's own library would."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parts.tiny_llama import archive, logits, make_adapter, make_base

from model_service.models.cards import is_whole, read_card
from model_service.prepare.handover import Task
from model_service.prepare.local import prepare_local
from model_service.prepare.lora import BadArtifact
from model_service.prepare.progress import Progress
from model_service.prepare.trained import NoWeights, prepare_trained

IDS = [5, 9, 20, 33, 7, 48, 60, 3]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tiny")
    make_base(root / "tiny")
    prepare_local(root / "tiny", "tiny", root / "models", Progress())
    return root


def take(places: Path, tmp_path: Path, data: bytes, form: str = "lora", limit: int = 10**9) -> Path:
    (tmp_path / "artifact.tar").write_bytes(data)
    target = tmp_path / "made"
    task = Task(str(places / "models" / "tiny"), str(target), form, "ft:tiny:a::abc123", "v1", limit)
    prepare_trained(task, tmp_path / "artifact.tar")
    return target


def expected(model: Any) -> Any:
    import torch

    with torch.no_grad():
        return model(torch.tensor([IDS])).logits[0].numpy()


def correlation(ours: Any, theirs: Any) -> float:
    return float(np.corrcoef(ours.ravel(), theirs.ravel())[0, 1])


@pytest.mark.parametrize("more", [{}, {"use_rslora": True}, {"target_modules": ["q_proj", "v_proj"]}])
def test_a_merged_adapter_says_what_peft_says(places: Path, tmp_path: Path, more: dict[str, Any]) -> None:
    trained = make_adapter(places / "tiny", tmp_path / "adapter", **more)
    made = take(places, tmp_path, archive(tmp_path / "adapter", form="lora"))
    theirs, base = expected(trained), logits(places / "models" / "tiny", IDS)
    ours = logits(made, IDS)
    # int8 rows cost a little; the adapter's own change is far larger than that.
    assert correlation(ours, theirs) > 0.995
    assert np.abs(ours - theirs).max() < 0.15 * np.abs(base - theirs).max()


def test_all_weights_anew_say_what_transformers_says(places: Path, tmp_path: Path) -> None:
    trained = make_adapter(places / "tiny", tmp_path / "adapter").merge_and_unload()
    trained.save_pretrained(tmp_path / "full")
    made = take(places, tmp_path, archive(tmp_path / "full", "merged", form="full"), "full")
    assert correlation(logits(made, IDS), expected(trained)) > 0.995
    card = read_card(made)
    assert card is not None
    assert (card.card.name, card.card.version) == ("ft:tiny:a::abc123", "v1")
    assert is_whole(made, card)
    ours, base = made / "tokenizer.json", places / "models" / "tiny" / "tokenizer.json"
    assert ours.read_bytes() == base.read_bytes()


def test_files_may_lie_at_the_top(places: Path, tmp_path: Path) -> None:
    make_adapter(places / "tiny", tmp_path / "adapter")
    assert (take(places, tmp_path, archive(tmp_path / "adapter", "")) / "openvino_model.bin").exists()


def refused(places: Path, tmp_path: Path, data: bytes, match: str, form: str = "lora", **more: Any) -> None:
    with pytest.raises(BadArtifact, match=match):
        take(places, tmp_path, data, form, **more)
    assert not (tmp_path / "made").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_what_is_no_artifact_is_refused(places: Path, tmp_path: Path) -> None:
    refused(places, tmp_path, b"nonsense" * 1000, "not a whole tar")
    refused(places, tmp_path, b"", "not a whole tar|no manifest")
    (tmp_path / "empty").mkdir()
    refused(places, tmp_path, archive(tmp_path / "empty"), "no adapter_config.json")
    refused(places, tmp_path, archive(tmp_path / "empty"), "no config.json", "full")


def test_an_adapter_that_cannot_be_merged_is_refused(places: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    make_adapter(places / "tiny", adapter)
    told = json.loads((adapter / "adapter_config.json").read_text())

    def changed(**more: Any) -> bytes:
        (adapter / "adapter_config.json").write_text(json.dumps({**told, **more}))
        return archive(adapter)

    refused(places, tmp_path, changed(use_dora=True), "use_dora")
    refused(places, tmp_path, changed(bias="all"), "bias")
    refused(places, tmp_path, changed(peft_type="IA3"), "not a LoRA")
    refused(places, tmp_path, changed(r=8), "rank")
    refused(places, tmp_path, changed(r=10**9), "rank")
    refused(places, tmp_path, changed(lora_alpha="8"), "lora_alpha")
    refused(places, tmp_path, changed(lora_alpha=float("nan")), "lora_alpha")
    refused(places, tmp_path, changed()[:4096], "not a whole tar|no adapter_config")
    refused(places, tmp_path, archive(adapter, form="full"), "another form")
    refused(places, tmp_path, changed(), "larger than", limit=1000)
    weights = adapter / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    refused(places, tmp_path, archive(adapter), "adapter_model.safetensors that can be read")


def test_weights_of_another_model_are_refused(places: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    adapter = tmp_path / "adapter"
    make_adapter(places / "tiny", adapter)
    weights = load_file(adapter / "adapter_model.safetensors")
    sound = dict(weights)

    def changed(**more: Any) -> bytes:
        save_file({**sound, **more}, adapter / "adapter_model.safetensors")
        return archive(adapter)

    name = "base_model.model.model.layers.0.self_attn.q_proj"
    up = sound[f"{name}.lora_B.weight"]
    refused(places, tmp_path, changed(**{f"{name}.lora_B.weight": up[:32].clone()}), "another size")
    refused(places, tmp_path, changed(**{f"{name}.lora_B.weight": up * float("nan")}), "not numbers")
    more = {
        f"{name.replace('layers.0', 'layers.9')}.{side}.weight": sound[f"{name}.{side}.weight"].clone()
        for side in ("lora_A", "lora_B")
    }
    refused(places, tmp_path, changed(**more), "does not have")
    refused(places, tmp_path, changed(**{"base_model.model.lm_head.weight": up.clone()}), "more than pairs")


def test_a_whole_model_of_another_shape_is_refused(places: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    shutil.copytree(places / "tiny", full)
    config = json.loads((full / "config.json").read_text())
    (full / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    refused(places, tmp_path, archive(full), "not that of its base", "full")
    (full / "config.json").write_text(json.dumps({**config, "model_type": "gpt2"}))
    refused(places, tmp_path, archive(full), "not a plain Llama", "full")
    (full / "config.json").write_text(json.dumps(config))
    (full / "model.safetensors").write_bytes(b"\0" * 100)
    refused(places, tmp_path, archive(full), "cannot be read", "full")


@pytest.mark.parametrize("path", ["../evil", "/evil", "a/b/evil", "a/../evil"])
def test_an_archive_reaches_nowhere_else(places: Path, tmp_path: Path, path: str) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("manifest.json"), io.BytesIO())
        tar.addfile(tarfile.TarInfo(path), io.BytesIO())
    refused(places, tmp_path, packed.getvalue(), "something other than files in one folder")


def test_a_link_is_refused(places: Path, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        link = tarfile.TarInfo("adapter/adapter_model.safetensors")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    refused(places, tmp_path, packed.getvalue(), "something other than files")


def test_a_base_whose_weights_changed_takes_no_adapter(places: Path, tmp_path: Path) -> None:
    moved = tmp_path / "places"
    shutil.copytree(places, moved)
    make_adapter(places / "tiny", tmp_path / "adapter")
    card = json.loads((moved / "models" / "tiny" / "card.json").read_text())
    card["weights"] = str(moved / "tiny")
    (moved / "models" / "tiny" / "card.json").write_text(json.dumps(card))
    with (moved / "tiny" / "model.safetensors").open("ab") as file:
        file.write(b"more")
    with pytest.raises(NoWeights, match="send form full"):
        take(moved, tmp_path, archive(tmp_path / "adapter"))
