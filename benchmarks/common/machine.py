"""What the figures were taken on: without it they say little."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16")


def describe(packages: tuple[str, ...] = ()) -> dict[str, Any]:
    """Processor, its features, cores, memory, load before the run, versions."""
    model, flags = _processor()
    return {
        "processor": model,
        "features": [name for name in FEATURES if name in flags],
        "amx": "amx_tile" in flags,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_before": round(os.getloadavg()[0], 2),
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in packages},
    }


def _processor() -> tuple[str, set[str]]:
    model, flags = platform.machine(), set[str]()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            model = value.strip()
        elif key.strip() == "flags":
            flags = set(value.split())
    return model, flags


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "?"
