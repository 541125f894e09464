"""Peers live in environments of their own, made once under `.cache/bench`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "bench"


def environment(name: str) -> Path:
    """The interpreter of `.cache/bench/NAME`, with `requirements-NAME.txt` in it. Minutes the first time."""
    requirements = ROOT / "benchmarks" / f"requirements-{name}.txt"
    folder = CACHE / name
    python = folder / "bin" / "python"
    stamp = folder / "requirements.txt"
    if stamp.exists() and stamp.read_text() == requirements.read_text():
        return python
    print(f"installing {name} into {folder.relative_to(ROOT)} ...", file=sys.stderr, flush=True)
    uv = Path(sys.executable).with_name("uv")
    env = {
        **os.environ,
        "UV_FIND_LINKS": os.environ.get("UV_FIND_LINKS") or os.environ.get("PIP_FIND_LINKS", ""),
    }
    CACHE.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    installer = [str(uv), "pip", "install", "--quiet", "--python", str(python)]
    if not uv.exists():
        installer = [str(python), "-m", "pip", "install", "--quiet"]
    subprocess.run([*installer, "-r", str(requirements)], check=True, env=env, timeout=540)
    stamp.write_text(requirements.read_text())
    return python
