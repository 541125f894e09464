"""What the service tells the process that converts: one small file beside the archive."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

TASK, ARCHIVE = "task.json", "artifact.tar"


@dataclass(frozen=True, slots=True)
class Task:
    """What to make of an archive."""

    base: str
    """The base's prepared folder."""
    target: str
    form: str
    """lora or full."""
    name: str
    version: str
    limit: int
    """Bytes that the archive may hold."""


def write_task(folder: Path, task: Task) -> None:
    """For the child to read."""
    (folder / TASK).write_text(json.dumps(asdict(task)), encoding="utf-8")


def read_task(folder: Path) -> Task:
    """What `write_task` wrote."""
    return Task(**json.loads((folder / TASK).read_text(encoding="utf-8")))
