"""The parts that documents need, as docker-compose.yml starts them: its own scripts and commands, here."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import jwt
import openai
import pytest
from parts import kafka
from parts.packages import CannotGet
from parts.postgres import Postgres, find_postgres
from parts.process import Process, answers, free_port
from parts.report import skip_part
from parts.s3 import S3Server

from servicekit.bus import Bus, Event, open_bus
from servicekit.errors import SixfoldError


@pytest.fixture(scope="module")
def given_postgres() -> Iterator[Postgres]:
    """A server of its own: roles belong to a whole server."""
    server = find_postgres()
    if os.environ.get("POSTGRES_URL"):
        skip_part("postgres", "roles are not made on the server of POSTGRES_URL")
    yield server
    server.remove()


def make_databases(root: Path, server: Postgres, password: str) -> None:
    """What the one-shot service "databases" runs."""
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
        "RETRIEVAL_PASSWORD": password,
    }
    script = root / "deploy/postgres/databases.sh"
    done = subprocess.run(["sh", script], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


async def test_retrieval_gets_a_database_that_others_keep_out_of(
    root: Path, given_postgres: Postgres
) -> None:
    make_databases(root, given_postgres, "first")
    at = urlsplit(given_postgres.admin_url)
    url = f"postgresql://retrieval:second@{at.hostname}:{at.port}/retrieval"
    given_postgres.sql("CREATE ROLE stranger LOGIN")
    make_databases(root, given_postgres, "it's second")  # again: a new password, and no complaint
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("CREATE TABLE mine (id int)")
        facts = await connection.fetchrow(
            "SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = 'retrieval'"
        )
    finally:
        await connection.close()
    assert facts is not None
    assert not any(facts)
    for role, database in (("stranger", "retrieval"), ("retrieval", "postgres")):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncpg.connect(f"postgresql://{role}@{at.hostname}:{at.port}/{database}")


_SHIM = """#!/bin/sh
# Stands for the image's own script of this name, around the broker that the tests have.
exec {java} -Xmx256m -XX:TieredStopAtLevel=1 -cp '{jars}/*' {tool} "$@"
"""


@pytest.fixture(scope="module")
def kafka_as_composed(
    root: Path, compose: dict[str, Any], composed_secret: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of a Kafka that the compose file's own start script and settings started."""
    try:
        java, jars = kafka._java(), kafka._jars()
    except CannotGet as error:
        skip_part("kafka", str(error))
    folder = tmp_path_factory.mktemp("kafka")
    port, controller = free_port(), free_port()
    service = compose["services"]["kafka"]
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
            "KAFKA_PASSWORD": composed_secret,
            "KAFKA_CLUSTER_ID": service["environment"]["KAFKA_CLUSTER_ID"],
        },
        start_seconds=90,
    )
    server.start()
    assert (folder / "tmp/server.properties").stat().st_mode & 0o077 == 0
    yield f"127.0.0.1:{port}"
    server.stop()


async def test_kafka_takes_the_password_and_carries_events(
    kafka_as_composed: str, composed_secret: str
) -> None:
    def bus(password: str) -> Bus:
        return open_bus(f"kafka://sixfold:{password}@{kafka_as_composed}?sasl=PLAIN", timeout=10)

    event = Event("1", "test", "document.added", "file-1", datetime.now(UTC), "acme", "", b"data")
    seen: asyncio.Queue[Event] = asyncio.Queue()
    right, wrong = bus(composed_secret), bus("wrong")
    try:
        await right.publish("sixfold.documents", [event], timeout=60)
        right.subscribe(["sixfold.documents"], "retrieval-service", seen.put)
        assert (await asyncio.wait_for(seen.get(), 60)).id == "1"
        with pytest.raises(SixfoldError):
            await wrong.publish("sixfold.documents", [event], timeout=3)
    finally:
        await right.close()
        await wrong.close()


@pytest.fixture
def chroma_as_composed(compose: dict[str, Any], tmp_path: Path) -> Iterator[str]:
    """The address of a Chroma that the compose file's own command started."""
    program, *arguments = compose["services"]["chroma"]["entrypoint"]
    assert program.startswith("/opt/sixfold/bin/"), "it comes with the image of retrieval-service"
    port = free_port()
    here = {"0.0.0.0": "127.0.0.1", "8000": str(port), "/var/lib/sixfold/chroma": str(tmp_path / "chroma")}
    url = f"http://127.0.0.1:{port}"
    check = next(w for w in compose["services"]["chroma"]["healthcheck"]["test"] if "heartbeat" in w)
    check = check.replace("http://127.0.0.1:8000", url)

    def healthy() -> bool:
        return subprocess.run([sys.executable, "-c", check], capture_output=True, timeout=20).returncode == 0

    server = Process(
        [Path(sys.executable).with_name(Path(program).name), *(here.get(word, word) for word in arguments)],
        tmp_path / "chroma.log",
        healthy,
    )
    server.start()
    yield url
    server.stop()


def test_chroma_starts_by_its_command_and_tells_how_it_is(chroma_as_composed: str) -> None:
    import chromadb

    at = urlsplit(chroma_as_composed)
    client = chromadb.HttpClient(host=str(at.hostname), port=at.port or 0)
    collection = client.create_collection("passages", embedding_function=None)
    collection.add(ids=["a"], embeddings=[[1.0, 0.0]])
    assert collection.query(query_embeddings=[[1.0, 0.0]], n_results=1)["ids"] == [["a"]]
    assert httpx.get(f"{chroma_as_composed}/api/v2/version", timeout=10).status_code == 200


@pytest.mark.slow
@pytest.mark.real_model
@pytest.mark.timeout(300)
def test_a_document_walks_through_all_of_them(
    composed: Callable[[Path], dict[str, Any]],
    composed_secret: str,
    root: Path,
    prepared_models: Path,
    kafka_as_composed: str,
    chroma_as_composed: str,
    given_postgres: Postgres,
    s3_server: S3Server,
    tmp_path: Path,
) -> None:
    """The services with the composed settings, on a real Kafka, PostgreSQL and Chroma, and an S3 server."""
    make_databases(root, given_postgres, composed_secret)
    postgres = urlsplit(given_postgres.admin_url)
    (tmp_path / "secrets").mkdir(mode=0o700)
    for name in ("jwt", "service", "objects"):
        key = tmp_path / "secrets" / f"{name}.key"
        key.touch(mode=0o600)
        key.write_text(os.urandom(32).hex())
    (tmp_path / "models").symlink_to(prepared_models)
    shutil.copy(prepared_models.parent / "models.yaml", tmp_path / "models.yaml")
    s3_server.files.call_s3("create_bucket", Bucket="sixfold")
    ports = {name: free_port() for name in ("door", "models", "models_ops", "retrieval", "retrieval_ops")}
    here = {
        "kafka:9092": kafka_as_composed,
        "http://minio:9000": s3_server.endpoint,
        "http://chroma:8000": chroma_as_composed,
        "postgres:5432/retrieval": f"{postgres.hostname}:{postgres.port}/retrieval",
        f"sixfold:{composed_secret}@postgres:5432/sixfold": given_postgres.new_database().partition("//")[2],
        "model-service:50051": f"127.0.0.1:{ports['models']}",
        "retrieval-service:50052": f"127.0.0.1:{ports['retrieval']}",
        "0.0.0.0:50051": f"127.0.0.1:{ports['models']}",
        "0.0.0.0:50061": f"127.0.0.1:{ports['models_ops']}",
        "0.0.0.0:50052": f"127.0.0.1:{ports['retrieval']}",
        "0.0.0.0:50062": f"127.0.0.1:{ports['retrieval_ops']}",
        "/run/secrets/service_key": str(tmp_path / "secrets/service.key"),
        "/run/secrets/jwt_key": str(tmp_path / "secrets/jwt.key"),
        "/run/secrets/objects_key": str(tmp_path / "secrets/objects.key"),
        "/etc/sixfold/gateway.yaml": str(root / "deploy/config/gateway.yaml"),
    }
    own = {
        "SIXFOLD_HOME": str(tmp_path),
        "SIXFOLD_HOST": "127.0.0.1",
        "SIXFOLD_PORT": str(ports["door"]),
        "SIXFOLD_CACHE_URL": "memory://",
        "SIXFOLD_GATEWAY_WORKERS": "1",
        "SIXFOLD_TELEMETRY_URL": "off",
    }
    services = composed(tmp_path)

    def start(name: str, port: int) -> Process:
        given = services[name]["environment"]
        env = {key: value for key, value in given.items() if key.startswith("SIXFOLD_")}
        for there, value in here.items():
            env = {key: text.replace(there, value) for key, text in env.items()}
        ready = lambda: _ready(f"http://127.0.0.1:{port}/readyz")  # noqa: E731
        module = name.replace("-", "_")
        log = tmp_path / f"{name}.log"
        process = Process([sys.executable, "-m", module], log, ready, env | own, start_seconds=120)
        process.start()
        stack.callback(process.stop)
        return process

    with ExitStack() as stack:
        start("model-service", ports["models_ops"])
        start("retrieval-service", ports["retrieval_ops"])
        start("gateway", ports["door"])
        claims = {"iss": "sixfold", "aud": "sixfold-gateway", "sub": "t", "tenant": "acme", "role": "admin"}
        now, signing = int(time.time()), bytes.fromhex((tmp_path / "secrets/jwt.key").read_text())
        token = jwt.encode(
            claims | {"iat": now, "nbf": now, "exp": now + 600, "jti": "1"}, signing, algorithm="HS256"
        )
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{ports['door']}/v1", api_key=token, timeout=60)
        store = client.vector_stores.create(name="s")
        file = client.files.create(file=("tea.txt", b"Lapsang tea is dried over pine."), purpose="assistants")
        added = client.vector_stores.files.create_and_poll(file.id, vector_store_id=store.id)
        assert (added.status, added.last_error) == ("completed", None)
        hits = client.vector_stores.search(store.id, query="How is tea dried?").data
        assert [hit.filename for hit in hits] == ["tea.txt"]
        client.files.delete(file.id)
        assert client.vector_stores.search(store.id, query="How is tea dried?").data == []
        assert not list(tmp_path.rglob("*.db")), "records and events are not in the containers"


def _ready(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False
