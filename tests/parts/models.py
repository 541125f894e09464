"""The real models, prepared once on this machine and kept for the next run."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from parts.packages import locked

TEXT = "smollm2-135m-instruct"
EMBEDDING = "all-minilm-l6-v2"


@cache
def prepared_models() -> Path:
    """The folder that holds one folder a model, and a models.yaml beside it.

    `SIXFOLD_TEST_CACHE` says where; the default is `.cache` in the clone.
    """
    home = Path(os.environ.get("SIXFOLD_TEST_CACHE") or Path(__file__).parents[2] / ".cache").absolute()
    with locked("models"):
        done = subprocess.run(
            [sys.executable, "-m", "model_service", "prepare"],
            env={**os.environ, "SIXFOLD_HOME": str(home)},
            capture_output=True,
            text=True,
            timeout=600,
        )
    assert done.returncode == 0, done.stderr
    return home / "models"
