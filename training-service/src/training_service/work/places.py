"""What a job's process finds in its environment: set by `bootstrap`, for every launcher alike."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_NAME = "SIXFOLD_TRAINING_PLACES"


@dataclass(frozen=True, slots=True)
class Places:
    """Where a training finds bases, and where it is tracked."""

    bases: Mapping[str, str]
    """Base model → its URL."""
    cache: str
    """Folder of dequantised bases; empty for the job's own, where a job has no disk but that."""
    tracking: str
    """MLflow's tracking URL; empty tracks nowhere."""
    artifacts: str
    """Where MLflow keeps artifacts, when its own server does not say."""
    checkpoint_steps: int
    merged: bool

    def environment(self) -> dict[str, str]:
        """For a job's process. The second keeps threads from spinning where cores are shared."""
        told = json.dumps({name: getattr(self, name) for name in self.__slots__})
        return {
            _NAME: told,
            "OMP_WAIT_POLICY": "passive",
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "DO_NOT_TRACK": "1",
        }

    @classmethod
    def found(cls) -> Places:
        """In this process."""
        return cls(**json.loads(os.environ[_NAME]))

    @property
    def cache_folder(self) -> Path:
        """As a path."""
        return Path(self.cache) if self.cache else Path(tempfile.gettempdir()) / "bases"
