"""The services and parts of docker-compose.yml on this machine, with the settings that it resolves to.

Only hosts, ports and paths of the containers differ.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt

from parts import kafka
from parts.packages import CannotGet
from parts.postgres import Postgres
from parts.process import Process, answers, free_port
from parts.report import skip_part

DATABASES = ("retrieval", "training", "eval", "mlflow")
_LISTENING = {
    "model-service": ("50051", "50061"),
    "retrieval-service": ("50052", "50062"),
    "training-service": ("50053", "50063"),
    "eval-service": ("50054", "50064"),
}


def make_databases(root: Path, server: Postgres, password: str) -> None:
    """What the one-shot service "databases" runs, with one password for all."""
    psql = shutil.which("psql")
    if psql is None:
        skip_part("psql", "postgresql-client is not installed")
    at = urlsplit(server.admin_url)
    env = {
        "PATH": os.environ["PATH"],
        "PGHOST": str(at.hostname),
        "PGPORT": str(at.port),
        "PGUSER": str(at.username),
        "PGDATABASE": "postgres",
        "PGPASSWORD": "unused",
        **{f"{name.upper()}_PASSWORD": password for name in DATABASES},
    }
    script = root / "deploy/postgres/databases.sh"
    done = subprocess.run(["sh", script], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


_SHIM = """#!/bin/sh
# Stands for the image's own script of this name, around the broker that the tests have.
exec {java} -Xmx256m -XX:TieredStopAtLevel=1 -cp '{jars}/*' {tool} "$@"
"""


def kafka_by_its_script(
    root: Path, service: Mapping[str, Any], password: str, folder: Path
) -> tuple[Process, str]:
    """A Kafka that the compose file's own start script and settings start, and its address. Skips without."""
    try:
        java, jars = kafka._java(), kafka._jars()
    except CannotGet as error:
        skip_part("kafka", str(error))
    port, controller = free_port(), free_port()
    assert service["entrypoint"] == ["sh", "/etc/sixfold/kafka/start.sh"]
    assert "./deploy/kafka:/etc/sixfold/kafka:ro" in service["volumes"]
    shutil.copytree(root / "deploy/kafka", folder / "kafka")
    settings = folder / "kafka/server.properties"
    text = settings.read_text()
    for there, here in {
        "kafka:9092": f"127.0.0.1:{port}",
        "SASL_PLAINTEXT://:9092": f"SASL_PLAINTEXT://127.0.0.1:{port}",
        "127.0.0.1:9093": f"127.0.0.1:{controller}",
        "/var/lib/kafka/data": str(folder / "data"),
    }.items():
        assert there in text
        text = text.replace(there, here)
    settings.write_text(text)
    tools = {"kafka-storage.sh": "kafka.tools.StorageTool", "kafka-server-start.sh": "kafka.Kafka"}
    for name, tool in tools.items():
        (folder / name).write_text(_SHIM.format(java=java, jars=jars, tool=tool))
        (folder / name).chmod(0o755)
    (folder / "tmp").mkdir()
    server = Process(
        ["sh", folder / "kafka/start.sh"],
        folder / "kafka.log",
        lambda: answers(port),
        {
            "PATH": f"{folder}:{os.environ['PATH']}",
            "TMPDIR": str(folder / "tmp"),
            "KAFKA_PASSWORD": password,
            "KAFKA_CLUSTER_ID": service["environment"]["KAFKA_CLUSTER_ID"],
        },
        start_seconds=90,
    )
    return server, f"127.0.0.1:{port}"


def by_its_entrypoint(
    service: Mapping[str, Any], here: Mapping[str, str], environment: Mapping[str, str], log: Path
) -> Process:
    """A program of an image, started by the file's own entrypoint, ready when its own health check says so.

    `here` replaces words of both.
    """
    program, *arguments = service["entrypoint"]
    assert program.startswith("/opt/sixfold/bin/"), "it comes with a service's image"
    check = service["healthcheck"]["test"][-1]
    for there, value in here.items():
        check = check.replace(there, value)

    def healthy() -> bool:
        return subprocess.run([sys.executable, "-c", check], capture_output=True, timeout=20).returncode == 0

    path = Path(sys.executable).with_name(Path(program).name)
    words = [here.get(word, word) for word in arguments]
    return Process([path, *words], log, healthy, environment, start_seconds=90)


class ComposedHouse:
    """The services' composed settings, turned to this machine. Leaving it stops what it started."""

    def __init__(
        self,
        root: Path,
        services: Mapping[str, Any],
        folder: Path,
        postgres: Postgres,
        password: str,
        here: Mapping[str, str],
    ) -> None:
        """`here` maps addresses of parts to where they are; the services' own are added."""
        self._services = services
        self._folder = folder
        self._stack = ExitStack()
        self._door = free_port()
        self.ports: dict[str, tuple[int, int]] = {name: (free_port(), free_port()) for name in _LISTENING}
        """gRPC and ops ports by service; a double may listen in a service's place."""
        self.url = f"http://127.0.0.1:{self._door}"
        (folder / "secrets").mkdir(mode=0o700)
        for name in ("jwt", "service", "objects"):
            key = folder / "secrets" / f"{name}.key"
            key.touch(mode=0o600)
            key.write_text(os.urandom(32).hex())
        at = urlsplit(postgres.admin_url)
        self.here = dict(here)
        self.here |= {f"postgres:5432/{name}": f"{at.hostname}:{at.port}/{name}" for name in DATABASES}
        own = postgres.new_database().partition("//")[2]
        self.here[f"sixfold:{password}@postgres:5432/sixfold"] = own
        for name, (rpc, ops) in _LISTENING.items():
            mine, its_ops = self.ports[name]
            self.here |= {
                f"{name}:{rpc}": f"127.0.0.1:{mine}",
                f"0.0.0.0:{rpc}": f"127.0.0.1:{mine}",
                f"0.0.0.0:{ops}": f"127.0.0.1:{its_ops}",
            }
        self.here |= {
            f"/run/secrets/{name}_key": str(folder / "secrets" / f"{name}.key")
            for name in ("service", "jwt", "objects")
        }
        self.here |= {
            "/etc/sixfold/gateway.yaml": str(root / "deploy/config/gateway.yaml"),
            "/etc/sixfold/policies": str(root / "deploy/config/policies"),
        }

    def __enter__(self) -> ComposedHouse:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stops what it started, the last one first. Twice is fine."""
        self._stack.close()

    def environment(self, name: str, prefixes: tuple[str, ...] = ("SIXFOLD_",)) -> dict[str, str]:
        """What the file gives to a service, with the addresses of this machine."""
        given = self._services[name]["environment"]
        env = {key: str(value) for key, value in given.items() if key.startswith(prefixes)}
        for there, value in self.here.items():
            env = {key: text.replace(there, value) for key, text in env.items()}
        return env

    def start(self, name: str, **changes: str) -> Process:
        """Starts a service and waits until it is ready."""
        port = self._door if name == "gateway" else self.ports[name][1]
        own = {
            "SIXFOLD_HOME": str(self._folder),
            "SIXFOLD_HOST": "127.0.0.1",
            "SIXFOLD_PORT": str(self._door),
            "SIXFOLD_CACHE_URL": "memory://",
            "SIXFOLD_GATEWAY_WORKERS": "1",
            "SIXFOLD_TELEMETRY_URL": "off",
        }
        process = Process(
            [sys.executable, "-m", name.replace("-", "_")],
            self._folder / f"{name}.log",
            ready_at(f"http://127.0.0.1:{port}/readyz"),
            self.environment(name) | own | changes,
            start_seconds=120,
            stop_seconds=60,
        )
        self.keep(process)
        return process

    def keep(self, process: Process) -> None:
        """Starts something else that ends with the house."""
        self._stack.callback(process.stop)
        process.start()

    def key(self, name: str) -> bytes:
        """One of its secrets."""
        return bytes.fromhex((self._folder / "secrets" / f"{name}.key").read_text())

    def token(self, tenant: str = "acme") -> str:
        """For ten minutes, as an administrator."""
        now = int(time.time())
        claims: dict[str, str | int] = {
            "iss": "sixfold",
            "aud": "sixfold-gateway",
            "sub": "t",
            "tenant": tenant,
            "role": "admin",
        }
        claims |= {"iat": now, "nbf": now, "exp": now + 600, "jti": os.urandom(4).hex()}
        return jwt.encode(claims, self.key("jwt"), algorithm="HS256")


def ready_at(url: str) -> Callable[[], bool]:
    """Whether somebody answers there with 200."""

    def ready() -> bool:
        try:
            return httpx.get(url, timeout=2, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    return ready
