"""Real parts as fixtures. A server starts when the first test asks for it and stops with the run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from parts.chroma import ChromaServer, start_chroma
from parts.kafka import GivenKafka, OwnKafka, find_kafka
from parts.platform import Platform
from parts.postgres import Postgres, find_postgres
from parts.redis import GivenRedis, OwnRedis, find_redis, own_redis
from parts.report import closing_line
from parts.s3 import S3Server, start_s3

# Tests start processes while a gRPC server runs in this one, whose fork handlers can end the child.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")


@pytest.fixture(scope="session")
def redis_server() -> Iterator[OwnRedis | GivenRedis]:
    """A server that every test finds running and empty; tests may stop, start, pause and resume it."""
    server = find_redis()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def redis_url(redis_server: OwnRedis | GivenRedis) -> str:
    return redis_server.url


@pytest.fixture(scope="module")
def own_redis_server() -> Iterator[OwnRedis]:
    """A server for one module alone: it is not emptied between tests."""
    server = own_redis()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A server that every test finds running; `new_database()` gives a URL."""
    server = find_postgres()
    yield server
    server.remove()


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> Iterator[str]:
    """A new, empty database."""
    url = postgres_server.new_database()
    yield url
    postgres_server.resume()
    postgres_server.start()
    postgres_server.drop_database(url)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """A server that every test finds running; `new_bucket()` gives the URL of an empty object store."""
    server = start_s3()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def kafka_server() -> Iterator[OwnKafka | GivenKafka]:
    """A broker that every test finds running; tests may stop, kill, start, pause and resume it."""
    server = find_kafka()
    yield server
    server.remove()


@pytest.fixture
def kafka_url(kafka_server: OwnKafka | GivenKafka) -> str:
    """Tests of one run share the broker: they name topics and groups of their own."""
    kafka_server.clean()
    return kafka_server.url


@pytest.fixture(scope="session")
def chroma_server() -> Iterator[ChromaServer]:
    """A server that every test finds running; tests may stop, start, pause and resume it."""
    server = start_chroma()
    yield server
    server.remove()


@pytest.fixture
def chroma_url(chroma_server: ChromaServer) -> str:
    chroma_server.resume()
    chroma_server.start()
    return chroma_server.url


@pytest.fixture(scope="session")
def prepared_models() -> Path:
    """The folder with the built-in models, converted once and kept between runs."""
    from parts.models import prepared_models as prepare  # only here: it brings in the converter

    return prepare()


@pytest.fixture(scope="session")
def platform(prepared_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Everything, started as a person starts it. Tests may kill its services, but not change its home."""
    running = Platform(tmp_path_factory.mktemp("sixfold") / "home", prepared_models)
    running.start()
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def _clean_redis(request: pytest.FixtureRequest) -> None:
    if "redis_server" in request.fixturenames:
        request.getfixturevalue("redis_server").clean()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """After everything else, just before the closing line."""
    yield
    if line := closing_line():
        terminalreporter.write_line(line)
