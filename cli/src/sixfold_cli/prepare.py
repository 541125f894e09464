"""Prepares the default models when they are not there yet, by asking model-service to."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from sixfold_cli.console import Console
from sixfold_cli.errors import CliError, Exit
from sixfold_cli.home import Home
from sixfold_cli.logfile import Tail, for_people
from sixfold_cli.process import Child, describe_exit
from sixfold_cli.services import with_bytecode

DEFAULT_MODELS = ("smollm2-135m-instruct", "all-minilm-l6-v2")


def are_prepared(home: Home) -> bool:
    """Whether this `model_service prepare` has been through here. What is broken it repairs by itself."""
    if not (home.root / "models.yaml").is_file() or not all(
        (home.models / n).is_dir() for n in DEFAULT_MODELS
    ):
        return False
    try:
        return _mark(home).read_text() == _recipe()
    except OSError:
        return False


def _mark(home: Home) -> Path:
    return home.run / "prepared"


def _recipe() -> str:
    """A hash over the code that prepares, found without importing it."""
    digest = hashlib.sha256()
    spec = importlib.util.find_spec("model_service")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted((Path(folder) / "prepare").glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def prepare(home: Home, console: Console) -> None:
    """Runs the preparation, showing its lines. CliError when it fails or is interrupted."""
    console.step("preparing the models (only now, and when how it is done changes)")
    env = {**with_bytecode(os.environ), "SIXFOLD_HOME": str(home.root), "SIXFOLD_LOG_FORMAT": "text"}
    child = Child(
        "prepare", (sys.executable, "-m", "model_service", "prepare"), env, home.logs / "prepare.log"
    )
    asked: list[int] = []
    restore = _on_stop(asked.append)
    try:
        child.start()
        tail = Tail(child.log, from_end=True)
        while child.running and not asked:
            _show(tail, console)
            time.sleep(0.1)
        _show(tail, console)
    finally:
        child.terminate()
        if child.running:
            time.sleep(0.2)
        code = child.exit_code()
        child.kill()
        restore()
    if asked:
        raise CliError("stopped.", "Run again; it goes on.", reason="INTERRUPTED", code=Exit.INTERRUPTED)
    if code != 0:
        last = child.last_lines(1) or ["no output"]
        raise CliError(
            f"the models could not be prepared ({describe_exit(code or 0)}): {last[0]}",
            f"All it said: {child.log}",
            reason="PREPARE_FAILED",
        )
    _mark(home).write_text(_recipe())


def _show(tail: Tail, console: Console) -> None:
    for line in tail.lines():
        for part in for_people(line):
            if part.strip():
                console.service("prepare", part.strip().removeprefix("prepare "))


def _on_stop(act: Callable[[int], None]) -> Callable[[], None]:
    def handler(number: int, _frame: FrameType | None) -> None:
        act(number)

    before = {
        number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }

    def restore() -> None:
        for number, old in before.items():
            signal.signal(number, old)

    return restore
