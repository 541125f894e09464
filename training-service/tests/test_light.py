"""An idle service is small: what trains and tracks is imported in jobs alone."""

from __future__ import annotations

import subprocess
import sys

HEAVY = (
    "torch",
    "transformers",
    "mlflow",
    "pandas",
    "datasets",
    "pyarrow",
    "presidio_analyzer",
    "peft",
    "trl",
)


def test_the_service_itself_imports_nothing_heavy() -> None:
    code = f"import sys, training_service.bootstrap; print([n for n in {HEAVY!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
