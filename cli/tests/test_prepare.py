"""When the models are prepared, and what is seen of it."""

from __future__ import annotations

import io
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from sixfold_cli import prepare as preparing
from sixfold_cli.console import Console
from sixfold_cli.errors import CliError, Exit
from sixfold_cli.home import Home


def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str) -> None:
    """Stands in for `python -m model_service prepare`: a program that finds `sys.argv` the same."""
    folder = tmp_path / "double" / "model_service"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "__main__.py").write_text(f"import os, signal, sys, time\n{body}\n")
    monkeypatch.setenv("PYTHONPATH", str(folder.parent))


def test_it_is_asked_while_something_is_missing_or_its_code_has_changed(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not preparing.are_prepared(home)
    for name in preparing.DEFAULT_MODELS:
        (home.models / name).mkdir(parents=True)
    (home.root / "models.yaml").touch()
    assert not preparing.are_prepared(home)
    script(monkeypatch, tmp_path, "")
    preparing.prepare(home, Console(io.StringIO()))
    assert preparing.are_prepared(home)
    (home.root / "models.yaml").unlink()
    assert not preparing.are_prepared(home)
    (home.root / "models.yaml").touch()
    monkeypatch.setattr(preparing, "_recipe", lambda: "another")
    assert not preparing.are_prepared(home)


def test_its_lines_are_shown(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = "print('prepare [  0.1 s] reading', sys.argv[1:], os.environ['SIXFOLD_HOME'], file=sys.stderr)"
    script(monkeypatch, tmp_path, body)
    output = io.StringIO()
    preparing.prepare(home, Console(output))
    assert f"prepare           | [  0.1 s] reading ['prepare'] {home.root}" in output.getvalue()


def test_its_failure_is_one_line_with_its_last_words(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(monkeypatch, tmp_path, "sys.exit('The disk is full. Free 500 MB.')")
    with pytest.raises(CliError) as caught:
        preparing.prepare(home, Console(io.StringIO()))
    assert "exit code 1" in caught.value.message
    assert "Free 500 MB." in caught.value.message


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(
    home: Home,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    processes_of: Callable[[Home], list[psutil.Process]],
) -> None:
    script(monkeypatch, tmp_path, "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)")

    def ask() -> None:
        while not processes_of(home):
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    threading.Thread(target=ask, daemon=True).start()
    with pytest.raises(CliError) as caught:
        preparing.prepare(home, Console(io.StringIO()))
    assert caught.value.code == Exit.INTERRUPTED
    assert processes_of(home) == []
    assert signal.getsignal(number) is not None
