"""The README's own snippets, run as they are printed, in their order."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from parts.platform import SIXFOLD, Platform

README = (Path(__file__).parents[2] / "README.md").read_text()
PYTHON = re.findall(r"<!-- snippet: (\w+) -->\n```python\n(.*?)```", README, re.S)
SHELL = [
    line.split("#")[0].strip()
    for block in re.findall(r"```bash\n(.*?)```", README, re.S)
    for line in block.splitlines()
    if line.strip()
]

LOOP = [
    line.split("#")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", README, re.S)
    for line in block.splitlines()
    if line.strip()
]

EXPECTED = {
    "models": ["smollm2-135m-instruct", "all-minilm-l6-v2"],
    "chat": ["Paris"],
    "schema": ["city"],
    "embeddings": ["384"],
    "errors": ["404 model_not_found", "401 invalid_api_key"],
    "sampling": ["stop"],
    "files": ["completed 2"],
    "search": ["completed None", "offices.md ['Offices', 'Lyon']", "bikes.txt"],
    "sources": ["seven", "offices.md ['Offices', 'Lyon']"],
    "grounded": ["lentil soup", "[canteen.md, Canteen > Menu]"],
    "forget": ["0 passages left"],
    "feedback": ["fb_"],
    "tune": ["succeeded ft:smollm2-135m-instruct:"],
    "lineage": ["smollm2-135m-instruct", "correction"],
}


@pytest.fixture(scope="module")
def namespace(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one reader types into one session, in a folder that holds `.sixfold` as a clone does."""
    clone = tmp_path_factory.mktemp("clone")
    (clone / ".sixfold").symlink_to(platform.home)
    before = Path.cwd()
    os.chdir(clone)
    names: dict[str, Any] = {}
    code = dict(PYTHON)["client"].replace("127.0.0.1:8080", f"127.0.0.1:{platform.port}")
    exec(compile(code, "README.md:client", "exec"), names)
    os.chdir(before)
    return names


def test_every_python_block_is_a_snippet() -> None:
    assert README.count("```python") == len(PYTHON) >= 8


@pytest.mark.real_model
@pytest.mark.timeout(600)  # one of them trains
@pytest.mark.parametrize(("name", "code"), [s for s in PYTHON if s[0] != "client"], ids=lambda v: v[:20])
def test_snippet(name: str, code: str, namespace: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code, f"README.md:{name}", "exec"), namespace)
    out = capsys.readouterr().out
    assert out.strip(), "the snippet printed nothing"
    for word in EXPECTED.get(name, []):
        assert word in out


@pytest.mark.real_model
@pytest.mark.parametrize("line", SHELL)
def test_command(line: str, platform: Platform) -> None:
    words = ["sixfold", *line.split(maxsplit=1)[1:]]
    assert line.startswith("sixfold "), "a command in the README that is not ours"
    done = subprocess.run(
        ["bash", "-c", " ".join(words)],
        env={
            **os.environ,
            "PATH": f"{SIXFOLD.parent}:{os.environ['PATH']}",
            "SIXFOLD_HOME": str(platform.home),
            "SIXFOLD_PORT": str(platform.port),
        },
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("line", LOOP)
def test_a_command_of_the_loop_is_known(line: str) -> None:
    """With every option that the README gives it. tests/cli/test_loop.py runs them."""
    words = line.split()
    named = list(itertools.takewhile(lambda word: not word.startswith("-"), words[1:]))
    done = subprocess.run([SIXFOLD, *named, "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    missing = [word for word in words if word.startswith("--") and word not in done.stdout]
    assert not missing, done.stdout


def test_the_commands_named_exist() -> None:
    targets = set(re.findall(r"\bmake (\w+)(?=[`\s]*(?:#|`|$))", README, re.M))
    makefile = (Path(__file__).parents[2] / "Makefile").read_text()
    missing = [t for t in targets if not re.search(rf"^{t}:", makefile, re.M)]
    assert not missing
    assert sys.version_info >= (3, 11)
