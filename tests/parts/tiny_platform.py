"""A platform whose text model is a Llama of some thousand random weights: training it takes moments."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from parts.platform import Platform
from parts.tiny_base import make_base

BASE = "tiny"
_MODELS = """
models:
  - name: tiny
    engine: openvino://${SIXFOLD_HOME}/models/tiny
    aliases: [default]
    options: {max_running: 4, max_waiting: 64, cache_tokens: 4096}
"""


def tiny_platform(folder: Path, models: Path, **env: str) -> Platform:
    """Not yet started. `models` are the built-in ones, of which none is loaded; documents are left out."""
    base = make_base(folder / "base")
    platform = Platform(
        folder / "home",
        models,
        {"SIXFOLD_TRAINING_SERVICE_BASES": json.dumps({BASE: f"file://{base}"}), **env},
        without=("retrieval-service",),
    )
    platform.link_models()
    done = subprocess.run(
        [sys.executable, "-m", "model_service", "prepare", "--from", str(base), "--name", BASE],
        env={**os.environ, "SIXFOLD_HOME": str(platform.home)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    (platform.home / "models.yaml").write_text(_MODELS)
    return platform
