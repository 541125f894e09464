"""Import sentence-transformers without what embedding never uses: half of the seconds that it takes.

It loads scikit-learn for measures that only evaluations call, and, where they happen to be installed,
packages for pictures, sound and training.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

_MEASURES = "sklearn.metrics"
_HIDDEN = ("torchvision", "torchaudio", "PIL", "pandas", "datasets")


def sentence_transformer() -> Any:
    """The SentenceTransformer class, by the short way, or by the long one where that does not work."""
    stand_ins = [*_stand_in_for_measures(), *_hide()]
    try:
        from sentence_transformers import SentenceTransformer
    except Exception:
        for name in [*stand_ins, *(name for name in sys.modules if name.startswith("sentence_transformers"))]:
            sys.modules.pop(name, None)
        from sentence_transformers import SentenceTransformer
    return SentenceTransformer


def _hide() -> list[str]:
    """Let packages look as if they were not installed; returns their names."""
    hidden = [name for name in _HIDDEN if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    return hidden


def _stand_in_for_measures() -> list[str]:
    """Put empty modules in scikit-learn's place; returns their names."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or "sklearn" in sys.modules:
        return []
    package = ModuleType("sklearn")
    package.__spec__, package.__path__ = spec, list(spec.submodule_search_locations or [])
    measures = ModuleType(_MEASURES)
    measures.__spec__ = importlib.util.spec_from_loader(_MEASURES, loader=None)
    measures.__getattr__ = _missing  # type: ignore[method-assign]
    sys.modules["sklearn"], sys.modules[_MEASURES] = package, measures
    return ["sklearn", _MEASURES]


def _missing(name: str) -> Callable[..., Any]:
    if name.startswith("__"):
        raise AttributeError(name)

    def unavailable(*_: object, **__: object) -> Any:
        raise RuntimeError(f"{_MEASURES}.{name} is not loaded in this process")

    return unavailable
