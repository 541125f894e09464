"""The parts that documents need, as docker-compose.yml starts them: its own scripts and commands, here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest
from parts.postgres import Postgres, find_postgres
from parts.process import Process, free_port
from parts.report import skip_part


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
