"""The parts that documents need, as docker-compose.yml starts them: its own scripts and commands, here."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest
from parts import kafka
from parts.packages import CannotGet
from parts.postgres import Postgres, find_postgres
from parts.process import Process, answers, free_port
from parts.report import skip_part

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


SECRET = "0123456789abcdef"
_SHIM = """#!/bin/sh
# Stands for the image's own script of this name, around the broker that the tests have.
exec {java} -Xmx256m -XX:TieredStopAtLevel=1 -cp '{jars}/*' {tool} "$@"
"""


@pytest.fixture(scope="module")
def kafka_as_composed(
    root: Path, compose: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
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
            "KAFKA_PASSWORD": SECRET,
            "KAFKA_CLUSTER_ID": service["environment"]["KAFKA_CLUSTER_ID"],
        },
        start_seconds=90,
    )
    server.start()
    assert (folder / "tmp/server.properties").stat().st_mode & 0o077 == 0
    yield f"127.0.0.1:{port}"
    server.stop()


async def test_kafka_takes_the_password_and_carries_events(kafka_as_composed: str) -> None:
    def bus(password: str) -> Bus:
        return open_bus(f"kafka://sixfold:{password}@{kafka_as_composed}?sasl=PLAIN", timeout=10)

    event = Event("1", "test", "document.added", "file-1", datetime.now(UTC), "acme", "", b"data")
    seen: asyncio.Queue[Event] = asyncio.Queue()
    right, wrong = bus(SECRET), bus("wrong")
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
