"""deploy/Dockerfile: linted, complete, and its install steps work without a container engine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

SERVICES = ("gateway", "model-service", "retrieval-service", "training-service", "eval-service", "cli")


@pytest.mark.parametrize("name", ["deploy/Dockerfile", "deploy/otel/Dockerfile", "deploy/minio/Dockerfile"])
def test_hadolint_finds_nothing(root: Path, tool: Callable[[str], str], name: str) -> None:
    done = subprocess.run([tool("hadolint"), name], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_shellcheck_finds_nothing(root: Path, tool: Callable[[str], str]) -> None:
    scripts = [str(path) for path in sorted((root / "deploy").rglob("*.sh"))]
    done = subprocess.run([tool("shellcheck"), *scripts], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_what_it_copies_exists_and_is_not_ignored(root: Path) -> None:
    allowed = [line[1:] for line in (root / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    sources: list[str] = []
    for line in (root / "deploy/Dockerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            sources += line.split()[1:-1]
    assert "constraints.txt" in sources
    for source in sources:
        for service in SERVICES if "${SERVICE}" in source else ("",):
            path = source.replace("${SERVICE}", service)
            assert (root / path).exists(), path
            assert path in allowed, f"{path} is kept out by .dockerignore"


def test_nothing_private_enters_a_build(root: Path) -> None:
    lines = [line for line in (root / ".dockerignore").read_text().splitlines() if line[:1] not in ("#", "")]
    assert lines[0] == "*", "everything is left out that is not named"
    for line in lines:
        assert not re.match(r"!(\.|.*(secret|\.env|\.git))", line), line


def test_the_last_stage_is_bare(root: Path) -> None:
    text = (root / "deploy/Dockerfile").read_text()
    final = text.rsplit("\nFROM ", 1)[1]
    assert not re.search(r"\b(apt-get|pip|uv|gcc|build-essential)\b", final)
    assert re.search(r"^USER 10001:0$", final, re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["', final, re.MULTILINE), "exec form, or signals end at a shell"
    assert "HEALTHCHECK" in final
    assert "authors" not in final


@pytest.fixture(scope="module")
def installed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The gateway's environment, made by the image's own script from the files that the image copies."""
    context = tmp_path_factory.mktemp("build")
    ignored = shutil.ignore_patterns("tests", "__pycache__", "*.egg-info", "build", "dist")
    for member in ("proto", "servicekit"):
        shutil.copytree(root / member, context / member, ignore=ignored)
    shutil.copytree(root / "gateway", context / "service", ignore=ignored)
    for name in ("constraints.txt", "deploy/install.sh"):
        target = context / name
        target.parent.mkdir(exist_ok=True)
        shutil.copy(root / name, target)
    uv = Path(sys.executable).with_name("uv")
    found = str(uv) if uv.exists() else shutil.which("uv")
    if not found:
        pytest.skip("uv is not installed here; the image installs it for itself")
    env = {
        **os.environ,
        "PATH": f"{Path(found).parent}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "UV_FIND_LINKS": os.environ.get("UV_FIND_LINKS") or os.environ.get("PIP_FIND_LINKS", ""),
    }
    done = subprocess.run(
        ["sh", "deploy/install.sh", str(context / "venv"), "service", "cpu", ""],
        cwd=context,
        env=env,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    return context / "venv"


@pytest.mark.slow
def test_its_install_steps_give_a_gateway_and_nothing_more(installed: Path) -> None:
    assert (installed / "bin" / "service").resolve().name == "sixfold-gateway"
    names = {path.name.split("-")[0] for path in installed.glob("lib/*/site-packages/*.dist-info")}
    assert {"sixfold_gateway", "sixfold_servicekit", "sixfold_proto"} <= names
    assert not names & {"sixfold_model_service", "sixfold_cli", "torch", "openvino", "transformers", "pytest"}
    script = "import gateway, servicekit.errors, sixfold.model.v1.model_service_pb2_grpc; print('ok')"
    done = subprocess.run([installed / "bin/python", "-I", "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "ok", done.stderr


@pytest.mark.slow
def test_the_installed_gateway_finds_its_entry_point(installed: Path) -> None:
    script = "import gateway.main; assert callable(gateway.main.main)"
    done = subprocess.run([installed / "bin/python", "-I", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def answering() -> Iterator[HTTPServer]:
    """A service that lives and is not ready."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/healthz" else 503)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    "variable",
    [
        "SIXFOLD_PORT",
        "SIXFOLD_MODEL_SERVICE_OPS_LISTEN",
        "SIXFOLD_RETRIEVAL_SERVICE_OPS_LISTEN",
        "SIXFOLD_TRAINING_SERVICE_OPS_LISTEN",
        "SIXFOLD_EVAL_SERVICE_OPS_LISTEN",
    ],
)
def test_healthcheck_tells_living_from_ready(root: Path, answering: HTTPServer, variable: str) -> None:
    port = str(answering.server_port)
    value = port if variable == "SIXFOLD_PORT" else f"0.0.0.0:{port}"

    def check(path: str, value: str = value) -> int:
        command = [sys.executable, "-I", str(root / "deploy/healthcheck.py"), path]
        return subprocess.run(command, env={variable: value}, capture_output=True, timeout=20).returncode

    assert check("/healthz") == 0
    assert check("/readyz") == 1
    answering.shutdown()
    answering.server_close()
    assert check("/healthz") == 1
