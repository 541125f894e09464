"""A real Redis server, or the one that REDIS_URL names (its database must be empty, and is emptied)."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import redis as client

from parts.packages import CannotGet, library_path, unpacked
from parts.process import PartFailed, Process, free_port
from parts.report import ran, skip_part


class RedisServer(Protocol):
    """What tests use of a server. `pause` makes it hang with its connections open."""

    url: str

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def clean(self) -> None: ...


class OwnRedis:
    """A server on a free port that keeps nothing on disk. `stop` and `start` are as often as a test likes."""

    def __init__(self, program: Path, env: dict[str, str], *options: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sixfold-redis-"))
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        given = {
            "--port": str(self.port),
            "--bind": "127.0.0.1",
            "--dir": str(self.folder),
            "--save": "",
            "--appendonly": "no",
            "--maxmemory": "128mb",
            "--maxmemory-policy": "volatile-lru",
        }
        self._process = Process(
            [program, *(part for option in given.items() for part in option), *options],
            log=self.folder / "redis.log",
            env=env,
            ready=self._pongs,
        )

    def start(self) -> None:
        self._process.start()

    def stop(self) -> None:
        self._process.stop()

    def pause(self) -> None:
        self._process.pause()

    def resume(self) -> None:
        self._process.resume()

    def clean(self) -> None:
        """Up, answering and empty, whatever the test before did to it."""
        self.resume()
        self.start()
        with client.Redis.from_url(self.url) as connection:
            connection.flushall()

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _pongs(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False


class GivenRedis:
    """The server of REDIS_URL: used, not stopped."""

    def __init__(self, url: str) -> None:
        self.url = url
        with client.Redis.from_url(url, socket_timeout=5) as connection:
            if connection.dbsize():
                skip_part("redis", "the database that REDIS_URL names is not empty")

    def start(self) -> None:
        return None

    def stop(self) -> None:
        skip_part("redis", f"{urlsplit(self.url).hostname} is not ours to stop; unset REDIS_URL")

    pause = stop

    def resume(self) -> None:
        return None

    def clean(self) -> None:
        with client.Redis.from_url(self.url, socket_timeout=5) as connection:
            connection.flushdb()

    def remove(self) -> None:
        self.clean()


def find_redis() -> OwnRedis | GivenRedis:
    """The server of REDIS_URL, or a new one that runs. Skips when there is none to be had."""
    if url := os.environ.get("REDIS_URL"):
        try:
            server = GivenRedis(url)
        except client.RedisError as error:
            skip_part("redis", f"REDIS_URL is set but does not answer ({type(error).__name__})")
        ran("redis")
        return server
    return own_redis()


def own_redis(*options: str) -> OwnRedis:
    """A new server that runs, with these options added to its command line."""
    try:
        server = OwnRedis(*_program(), *options)
        server.start()
    except (CannotGet, PartFailed) as error:
        skip_part("redis", str(error).splitlines()[0])
    ran("redis")
    return server


def _program() -> tuple[Path, dict[str, str]]:
    """The program and the environment it needs."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"):
            return Path(found), {}
    root = unpacked("redis", ["redis-tools", "redis-server"], "usr/bin/redis-server")
    return root / "usr/bin/redis-server", library_path(root)
