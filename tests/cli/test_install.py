"""The installer's faults, each from a real failing tool: one line with the cause and the way out."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import threading
import types
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
UV = Path(sys.executable).parent / "uv"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """scripts/install.py as a module over a clone with nothing but what decides about installing."""
    clone = tmp_path / "clone"
    members = load(ROOT / "scripts" / "install.py").MEMBERS
    for path in ("pyproject.toml", "constraints.txt", *(f"{member}/pyproject.toml" for member in members)):
        (clone / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, clone / path)
    (clone / ".cache").mkdir()
    shutil.copytree(ROOT / "scripts", clone / "scripts")
    return load(clone / "scripts" / "install.py")


def load(path: Path) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("sixfold_install", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Path]:
    """A package index whose one package is a torn wheel; the folder, with its address in `url`."""
    folder = tmp_path / "index"
    (folder / "torn").mkdir(parents=True)
    wheel = folder / "torn" / "torn-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("torn/__init__.py", os.urandom(50_000))
        archive.writestr("torn-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: torn\nVersion: 1.0\n")
        archive.writestr("torn-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("torn-1.0.dist-info/RECORD", "")
    whole = wheel.read_bytes()
    wheel.write_bytes(whole[:20_000] + bytes(1_000) + whole[21_000:])
    (folder / "torn" / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        (folder / "url").write_text(f"http://127.0.0.1:{server.server_address[1]}/")
        yield folder
        server.shutdown()


def last_words(command: list[str], **environment: str) -> str:
    """What a failing installer says."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("UV_", "PIP_"))}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=clean | environment)
    assert done.returncode != 0, done.stdout
    return done.stdout + done.stderr


def uv_install(target: Path, package: str, **environment: str) -> str:
    command = [str(UV), "pip", "install", "--no-cache", "--target", str(target), package]
    return last_words(command, UV_HTTP_RETRIES="0", **environment)


def test_an_index_out_of_reach(install: Any, tmp_path: Path) -> None:
    words = uv_install(tmp_path / "t", "torn", UV_DEFAULT_INDEX="http://127.0.0.1:9/simple")
    line = install.explain("installing packages", words)
    assert "index cannot be reached while installing packages" in line
    assert "\n" not in line
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--retries",
        "1",
        "--target",
        str(tmp_path / "p"),
        "torn",
    ]
    line = install.explain("getting uv", last_words(pip, PIP_INDEX_URL="http://127.0.0.1:9/simple"))
    assert "index cannot be reached while getting uv" in line


def test_a_name_that_does_not_resolve(install: Any, tmp_path: Path) -> None:
    words = uv_install(tmp_path / "t", "torn", UV_DEFAULT_INDEX="http://index.invalid/simple")
    assert "index cannot be reached" in install.explain("installing packages", words)


def test_a_torn_download(install: Any, tmp_path: Path, index: Path) -> None:
    words = uv_install(tmp_path / "t", "torn", UV_DEFAULT_INDEX=(index / "url").read_text())
    assert "a download broke" in install.explain("installing packages", words), words


def test_what_nobody_foresaw_keeps_the_tools_own_words(install: Any) -> None:
    line = install.explain("installing packages", "noise\nerror: The moon is in the way\nmore noise\n")
    assert "The moon is in the way" in line
    assert "install.log" in line


def test_too_little_room_is_said_before_the_download(install: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    free = types.SimpleNamespace(free=2_000_000_000)
    monkeypatch.setattr(install.shutil, "disk_usage", lambda _: free)
    with pytest.raises(install.InstallError, match=r"2\.0 GB free and the environment takes up to 8\.0 GB"):
        install.check_disk(8.0)


def test_a_python_without_venv_names_the_package(install: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        install.importlib.util, "find_spec", lambda name: None if name == "ensurepip" else find(name)
    )
    with pytest.raises(install.InstallError, match=r"apt install python3\.\d+-venv"):
        install.make_venv({})


def test_what_is_installed_decides_the_fingerprint(install: Any) -> None:
    before = install.fingerprint()
    assert install.fingerprint() == before
    path = install.ROOT / "gateway" / "pyproject.toml"
    path.write_text(path.read_text() + "\n# changed\n")
    assert install.fingerprint() != before


def test_pips_own_settings_reach_uv(install: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_")) or name == "SSL_CERT_FILE"]:
        monkeypatch.delenv(name)
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = http://in.file/simple\nextra-index-url =\n    http://a/simple\n    http://b/simple\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setattr(install, "PYTHON", Path(sys.executable))
    settings = install.pip_settings()
    assert settings["UV_DEFAULT_INDEX"] == "http://in.file/simple"
    assert settings["UV_INDEX"].split() == ["http://a/simple", "http://b/simple"]
    monkeypatch.setenv("PIP_INDEX_URL", "http://in.environment/simple")
    monkeypatch.setenv("PIP_FIND_LINKS", "/wheels /more")
    settings = install.pip_settings()
    assert settings["UV_DEFAULT_INDEX"] == "http://in.environment/simple"
    assert settings["UV_FIND_LINKS"] == "/wheels,/more"
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://uv/simple")
    assert "UV_DEFAULT_INDEX" not in install.pip_settings()


def fake_python(folder: Path, name: str, version: str) -> None:
    """A command that answers like a Python of that version, as far as it is asked."""
    folder.mkdir(exist_ok=True)
    major, minor = version.split(".")
    script = folder / name
    real = Path(sys.executable).resolve()
    script.write_text(
        f'#!/bin/sh\n[ "$1" = -c ] || exit 99\n'
        f'exec {real} -c "import sys; sys.version_info = ({major}, {minor}, 0); exec(sys.argv[1])" "$2"\n'
    )
    script.chmod(0o755)


def bootstrap(path: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(ROOT / "scripts" / "bootstrap.sh"), "--help"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": path, **environment},
    )


def test_an_old_python_is_named(tmp_path: Path) -> None:
    fake_python(tmp_path / "bin", "python3", "3.9")
    done = bootstrap(str(tmp_path / "bin"))
    assert done.returncode == 1
    assert "python3=3.9" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_newer_python_beside_an_old_one_is_taken(tmp_path: Path) -> None:
    fake_python(tmp_path / "bin", "python3", "3.9")
    (tmp_path / "bin" / "python3.12").symlink_to(Path(sys.executable).resolve())
    done = bootstrap(str(tmp_path / "bin"))
    assert done.returncode == 0, done.stderr
    assert "--dev" in done.stdout


@pytest.mark.parametrize("version", ["3.8", "3.15"])
def test_a_chosen_python_that_does_not_fit_is_refused(tmp_path: Path, version: str) -> None:
    fake_python(tmp_path / "bin", "mine", version)
    done = bootstrap("/usr/bin:/bin", PYTHON=str(tmp_path / "bin" / "mine"))
    assert done.returncode == 1
    assert version in done.stderr


def test_no_python_at_all(tmp_path: Path) -> None:
    done = bootstrap(str(tmp_path))
    assert done.returncode == 1
    assert "no Python on PATH" in done.stderr
