"""What docker-compose.yml tells the gateway, done on this machine: two workers, a Redis with a password
started by the file's own command, a real PostgreSQL. Only hosts, ports and paths of the containers differ."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import jwt
import pytest
import redis
import yaml
from parts.postgres import Postgres
from parts.process import Process, free_port
from parts.redis import _program as redis_program
from parts.s3 import S3Server


@pytest.fixture(scope="module")
def redis_as_composed(
    compose: dict[str, Any], composed_secret: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """The port of a Redis that the compose file's own command started."""
    folder = tmp_path_factory.mktemp("redis")
    program, env = redis_program()
    port = free_port()
    shell, flags, script = compose["services"]["redis"]["command"]
    assert "dir /tmp" in script
    script = script.replace("$$", "$").replace("dir /tmp", f"dir {folder}\\nport {port}\\nbind 127.0.0.1")

    def answers() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"-NOAUTH")
        except OSError:
            return False

    path = f"{program.parent}:{os.environ['PATH']}"
    environment = {**env, "REDIS_PASSWORD": composed_secret, "PATH": path}
    server = Process([shell, flags, script], folder / "log", answers, environment)
    server.start()
    yield port
    server.stop()


@pytest.fixture(scope="module")
def gateway(
    composed: Callable[[Path], dict[str, Any]],
    root: Path,
    redis_as_composed: int,
    postgres_server: Postgres,
    s3_server: S3Server,
    serve: Callable[..., Process],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[int, Path]]:
    """The port of a gateway with the composed environment, and its folder."""
    folder = tmp_path_factory.mktemp("composed")
    (folder / "secrets").mkdir(mode=0o700)
    for name in ("jwt", "service", "objects"):
        key = folder / "secrets" / f"{name}.key"
        key.touch(mode=0o600)
        key.write_text(os.urandom(32).hex())
    port, rpc, ops = free_port(), free_port(), free_port()
    here = f"127.0.0.1:{redis_as_composed}"
    database = postgres_server.new_database()
    environment = {
        name: value
        for name, value in composed(folder)["gateway"]["environment"].items()
        if name.startswith(("SIXFOLD_", "PROMETHEUS_"))
    }
    environment |= {
        "SIXFOLD_HOME": str(folder),
        "SIXFOLD_HOST": "127.0.0.1",
        "SIXFOLD_PORT": str(port),
        "SIXFOLD_CACHE_URL": environment["SIXFOLD_CACHE_URL"].replace("redis:6379", here),
        "SIXFOLD_STORE_URL": database,
        # Neither Kafka nor the services behind it are there: what needs them waits, and the rest goes on.
        "SIXFOLD_BUS_URL": environment["SIXFOLD_BUS_URL"].replace("kafka:9092", f"127.0.0.1:{free_port()}"),
        "SIXFOLD_GATEWAY_RETRIEVAL_SERVICE": f"127.0.0.1:{free_port()}",
        "SIXFOLD_GATEWAY_TRAINING_SERVICE": f"127.0.0.1:{free_port()}",
        "SIXFOLD_GATEWAY_EVAL_SERVICE": f"127.0.0.1:{free_port()}",
        "SIXFOLD_OBJECTS_URL": environment["SIXFOLD_OBJECTS_URL"].replace(
            "http://minio:9000", s3_server.endpoint
        ),
        "SIXFOLD_OBJECTS_KEY_FILE": str(folder / "secrets/objects.key"),
        "SIXFOLD_GATEWAY_MODEL_SERVICE": f"127.0.0.1:{rpc}",
        "SIXFOLD_GATEWAY_JWT_KEY_FILE": str(folder / "secrets/jwt.key"),
        "SIXFOLD_SERVICE_KEY_FILE": str(folder / "secrets/service.key"),
        "SIXFOLD_GATEWAY_CONFIG": str(root / "deploy/config/gateway.yaml"),
        "SIXFOLD_TELEMETRY_URL": "off",
    }
    s3_server.files.call_s3("create_bucket", Bucket="sixfold")
    (folder / "models.yaml").write_text(yaml.safe_dump({"models": [serve.model(folder)]}))  # type: ignore[attr-defined]
    models = {
        "SIXFOLD_HOME": str(folder),
        "SIXFOLD_MODEL_SERVICE_LISTEN": f"127.0.0.1:{rpc}",
        "SIXFOLD_MODEL_SERVICE_OPS_LISTEN": f"127.0.0.1:{ops}",
    }
    service = serve("model_service", models, ops, folder)
    try:
        door = serve("gateway", environment, port, folder)
    except BaseException:
        service.stop()
        raise
    yield port, folder
    door.stop()
    service.stop()
    postgres_server.drop_database(database)


@pytest.fixture(scope="module")
def serve(root: Path) -> Iterator[Callable[..., Process]]:
    """Starts a service and waits until it is ready; its models come from a mock upstream."""
    upstream_port = free_port()
    upstream = Process(
        [sys.executable, "-m", "benchmarks.gateway.upstream", str(upstream_port)],
        root / ".cache" / "composed-upstream.log",
        lambda: _ready(upstream_port, "/count"),
        {"PYTHONPATH": str(root)},
    )
    (root / ".cache").mkdir(exist_ok=True)
    upstream.start()

    def start(module: str, environment: dict[str, str], port: int, folder: Path) -> Process:
        process = Process(
            [sys.executable, "-m", module],
            folder / f"{module}.log",
            lambda: _ready(port, "/readyz"),
            environment,
            start_seconds=100,
        )
        process.start()
        return process

    def model(folder: Path) -> dict[str, Any]:
        key = folder / "upstream.key"
        key.touch(mode=0o600)
        key.write_text("sk-upstream")
        options = {"model": "bench", "api_key_file": str(key)}
        engine = f"openai+http://127.0.0.1:{upstream_port}/v1"
        return {"name": "smollm2-135m-instruct", "engine": engine, "options": options}

    start.model = model  # type: ignore[attr-defined]
    yield start
    upstream.stop()


def _ready(port: int, path: str) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def _headers(folder: Path) -> dict[str, str]:
    now = int(time.time())
    claims = {"iss": "sixfold", "aud": "sixfold-gateway", "sub": "t", "tenant": "acme", "role": "admin"}
    key = bytes.fromhex((folder / "secrets/jwt.key").read_text())
    token = jwt.encode(claims | {"iat": now, "nbf": now, "exp": now + 60, "jti": "1"}, key, algorithm="HS256")
    return {"authorization": f"Bearer {token}"}


def _ask(port: int, folder: Path, question: str) -> httpx.Response:
    return httpx.post(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        headers=_headers(folder),
        json={"model": "default", "messages": [{"role": "user", "content": question}], "temperature": 0},
        timeout=20,
    )


@pytest.mark.slow
def test_it_answers_through_the_mounted_routes(gateway: tuple[int, Path]) -> None:
    response = _ask(*gateway, "What is a house?")
    assert response.status_code == 200, response.text
    assert response.json()["choices"][0]["message"]["content"]
    assert response.headers["x-sixfold-route"].startswith("default -> local/smollm2-135m-instruct")


@pytest.mark.slow
def test_its_workers_share_redis(
    gateway: tuple[int, Path], redis_as_composed: int, composed_secret: str
) -> None:
    answers = [_ask(*gateway, "What is shared?") for _ in range(12)]
    assert [a.status_code for a in answers] == [200] * 12
    assert [a.headers["x-sixfold-cache"] for a in answers] == ["miss", *["hit"] * 11]
    with redis.Redis(port=redis_as_composed, password=composed_secret) as server:
        kept = {key.decode() for key in server.scan_iter()}
        assert len(kept) >= 2, f"answers and limits are both there: {kept}"
        endless = {key for key in kept if cast(int, server.ttl(key)) == -1}
        assert not endless, "what has no end stays until Redis is full"
        policy = server.config_get("maxmemory*")
    assert policy["maxmemory-policy"] == "volatile-lru"
    assert int(policy["maxmemory"]) == 256 * 2**20


@pytest.mark.slow
def test_one_scrape_tells_of_every_worker(gateway: tuple[int, Path]) -> None:
    port, folder = gateway
    before = _count(port)
    for number in range(8):
        assert _ask(port, folder, f"Count {number}").status_code == 200
    assert _count(port) - before == 8


@pytest.mark.slow
def test_contents_lie_encrypted_in_s3(gateway: tuple[int, Path], s3_server: S3Server) -> None:
    port, folder = gateway
    files, content = f"http://127.0.0.1:{port}/v1/files", b"nobody reads this in the bucket " * 40
    before = set(s3_server.files.find("sixfold/objects"))
    made = httpx.post(
        files,
        headers=_headers(folder),
        data={"purpose": "assistants"},
        files={"file": ("note.txt", content)},
        timeout=20,
    )
    assert made.status_code == 200, made.text
    back = httpx.get(f"{files}/{made.json()['id']}/content", headers=_headers(folder), timeout=20)
    assert back.content == content
    kept = set(s3_server.files.find("sixfold/objects")) - before
    assert len(kept) == 1
    assert b"nobody reads this" not in s3_server.files.cat_file(kept.pop())


@pytest.mark.slow
def test_its_records_are_in_postgresql(gateway: tuple[int, Path]) -> None:
    assert not list(gateway[1].glob("*.db")), "a container keeps no records of its own"


def _count(port: int) -> float:
    total = 0.0
    for line in httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text.splitlines():
        if line.startswith("sixfold_gateway_http_requests_total{") and 'path="/v1/chat/completions"' in line:
            total += float(line.rsplit(" ", 1)[1])
    return total
