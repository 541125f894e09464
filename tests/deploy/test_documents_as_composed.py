"""The parts that documents need, as docker-compose.yml starts them: its own scripts and commands, here."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import openai
import pytest
from parts.composed import ComposedHouse, by_its_entrypoint, make_databases
from parts.postgres import Postgres
from parts.process import free_port
from parts.s3 import S3Server

from servicekit.bus import Bus, Event, open_bus
from servicekit.errors import SixfoldError


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
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    here = {"0.0.0.0": "127.0.0.1", "8000": str(port), "/var/lib/sixfold/chroma": str(tmp_path / "chroma")}
    here["http://127.0.0.1:8000"] = url
    server = by_its_entrypoint(compose["services"]["chroma"], here, {}, tmp_path / "chroma.log")
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
    s3_server.files.call_s3("create_bucket", Bucket="sixfold")
    (tmp_path / "models").symlink_to(prepared_models)
    shutil.copy(prepared_models.parent / "models.yaml", tmp_path / "models.yaml")
    house = ComposedHouse(
        root, composed(tmp_path), tmp_path, given_postgres, composed_secret,
        {
            "kafka:9092": kafka_as_composed,
            "http://minio:9000": s3_server.endpoint,
            "http://chroma:8000": chroma_as_composed,
        },
    )  # fmt: skip
    with house:
        for name in ("model-service", "retrieval-service", "gateway"):
            house.start(name)
        client = openai.OpenAI(base_url=f"{house.url}/v1", api_key=house.token(), timeout=60)
        store = client.vector_stores.create(name="s")
        file = client.files.create(file=("tea.txt", b"Lapsang tea is dried over pine."), purpose="assistants")
        added = client.vector_stores.files.create_and_poll(file.id, vector_store_id=store.id)
        assert (added.status, added.last_error) == ("completed", None)
        hits = client.vector_stores.search(store.id, query="How is tea dried?").data
        assert [hit.filename for hit in hits] == ["tea.txt"]
        client.files.delete(file.id)
        assert client.vector_stores.search(store.id, query="How is tea dried?").data == []
        assert not list(tmp_path.rglob("*.db")), "records and events are not in the containers"
