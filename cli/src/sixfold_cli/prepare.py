"""Prepares the default models when they are not there yet, by asking model-service to."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

from sixfold_cli.console import Console
from sixfold_cli.errors import CliError, Exit
from sixfold_cli.home import Home
from sixfold_cli.logfile import Tail, for_people
from sixfold_cli.process import Child, describe_exit
from sixfold_cli.services import with_bytecode

DEFAULT_MODELS = ("smollm2-135m-instruct", "all-minilm-l6-v2")


def are_prepared(home: Home) -> bool:
    """Whether `model_service prepare` has been through here. It repairs what is broken by itself."""
    return (home.root / "models.yaml").is_file() and (
        os.environ.get("SIXFOLD_MODEL_SERVICE_CONFIG") is not None
        or all((home.models / name).is_dir() for name in DEFAULT_MODELS)
    )


def prepare(home: Home, console: Console) -> None:
    """Runs the preparation, showing its lines. CliError when it fails or is interrupted."""
    console.step("preparing the models, once")
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
