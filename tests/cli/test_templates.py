"""What `sixfold up` writes into a new home is what the services read."""

from __future__ import annotations

from pathlib import Path

from eval_service.gate.policy import read
from gateway.config.file import parse_config
from sixfold_cli.home import Home
from sixfold_cli.templates import ensure_config, ensure_policy


def test_a_new_home_gets_files_to_change_and_keeps_them(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert ensure_config(home)
    assert ensure_policy(home)
    learning = parse_config((home.root / "gateway.yaml").read_text()).learning
    assert learning.keeps("demo")
    assert not learning.keeps("local")
    policy, text = read(home.policies, "default")
    assert policy.approvals.people == 1
    assert text == (home.policies / "default.yaml").read_text()
    (home.policies / "default.yaml").write_text("mine")
    (home.root / "gateway.yaml").write_text("mine")
    assert not ensure_config(home)
    assert not ensure_policy(home)
    assert (home.policies / "default.yaml").read_text() == "mine"
