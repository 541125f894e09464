"""A real PostgreSQL server, or the one that POSTGRES_URL names (its role may create databases)."""

from __future__ import annotations

import asyncio
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from parts.packages import CannotGet, library_path, unpacked
from parts.process import PartFailed, Process, free_port
from parts.report import ran, skip_part

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",  # the data lasts as long as the tests
    "shared_buffers": "16MB",
    "max_connections": "60",
    "log_min_messages": "warning",
}


class Postgres:
    """A server; `process` is None for one that is not ours to stop."""

    def __init__(self, admin_url: str, process: Process | None = None, folder: Path | None = None) -> None:
        self.admin_url = admin_url
        self._process = process
        self._folder = folder
        self._databases: list[str] = []

    def new_database(self, template: str = "template1") -> str:
        """URL of a new database: empty, or a copy of the database that the URL `template` names."""
        name = f"sixfold_test_{secrets.token_hex(6)}"
        self.sql(f'CREATE DATABASE "{name}" TEMPLATE "{template.rpartition("/")[2]}"')
        self._databases.append(name)
        return urlunsplit(urlsplit(self.admin_url)._replace(path=f"/{name}"))

    def drop_database(self, url: str) -> None:
        name = url.rpartition("/")[2]
        self._databases.remove(name)
        self.sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def sql(self, statement: str) -> None:
        """Runs one statement as the administrator; tests may have a running loop of their own."""

        async def run() -> None:
            connection = await asyncpg.connect(self.admin_url, timeout=10)
            try:
                await connection.execute(statement, timeout=30)
            finally:
                await connection.close(timeout=5)

        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, run()).result()

    def start(self) -> None:
        if self._process is not None:
            self._process.start()

    def stop(self) -> None:
        if self._process is None:
            skip_part("postgres", "the server of POSTGRES_URL is not ours to stop; unset it")
        self._process.stop()

    def pause(self) -> None:
        """The server's parent process stands still: nobody new gets in."""
        if self._process is None:
            skip_part("postgres", "the server of POSTGRES_URL is not ours to stop; unset it")
        self._process.pause()

    def resume(self) -> None:
        if self._process is not None:
            self._process.resume()

    def remove(self) -> None:
        self.resume()
        if self._process is None:
            for name in list(self._databases):
                self.drop_database(name)
        else:
            self._process.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def find_postgres() -> Postgres:
    """The server of POSTGRES_URL, or a new one that runs. Skips when there is none to be had."""
    if url := os.environ.get("POSTGRES_URL"):
        server = Postgres(url)
        try:
            server.sql("SELECT 1")
        except (OSError, TimeoutError, asyncpg.PostgresError) as error:
            skip_part("postgres", f"POSTGRES_URL is set but does not answer ({type(error).__name__})")
        ran("postgres")
        return server
    try:
        server = _own_postgres()
    except (CannotGet, PartFailed) as error:
        skip_part("postgres", str(error).splitlines()[0])
    ran("postgres")
    return server


def _own_postgres() -> Postgres:
    programs, env = _programs()
    user = _unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="sixfold-postgres-"))
    folder.chmod(0o755)
    if user is not None:
        os.chown(folder, user, user)
        if not _reachable(programs):
            programs, env = _within_reach(programs, folder)
    data = folder / "data"
    _initdb(programs, data, env, user)
    port = free_port()
    settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
    url = f"postgresql://sixfold@127.0.0.1:{port}/postgres"
    server = Postgres(
        url,
        Process(
            [programs / "postgres", "-D", data, "-p", str(port), *settings],
            log=folder / "postgres.log",
            env=env,
            user=user,
            stop_signal=signal.SIGINT,  # ends sessions at once, and stops cleanly
            ready=lambda: _answers(url),
        ),
        folder,
    )
    server.start()
    return server


def _answers(url: str) -> bool:
    try:
        Postgres(url).sql("SELECT 1")
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return False
    return True


def _initdb(programs: Path, data: Path, env: dict[str, str], user: int | None) -> None:
    done = subprocess.run(
        [
            programs / "initdb",
            "-D",
            data,
            *["-U", "sixfold", "-A", "trust", "--no-sync", "--locale=C", "--encoding=UTF8"],
        ],
        env={**os.environ, **env},
        user=user,
        group=user,
        extra_groups=[] if user is not None else None,
        cwd=data.parent,
        capture_output=True,
        text=True,
        timeout=90,
    )
    if done.returncode != 0:
        raise PartFailed(f"initdb failed: {done.stderr.strip().splitlines()[-1:]}")


def _programs() -> tuple[Path, dict[str, str]]:
    """The folder of PostgreSQL's programs, and the environment they need."""
    places = [
        Path(found).resolve().parent for name in ("postgres", "initdb") if (found := shutil.which(name))
    ]
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    places += [Path("/usr/local/pgsql/bin"), *Path("/opt/homebrew/opt").glob("postgresql*/bin")]
    for place in places:
        if (place / "postgres").exists() and (place / "initdb").exists():
            return place, {}
    packages = [name for name in ("postgresql-17", "postgresql-16", "postgresql-15") if _offered(name)]
    if not packages:
        raise CannotGet("postgres is not installed, and no package offers it")
    root = unpacked("postgres", packages[:1], "usr/lib/postgresql/*/bin/postgres")
    return next(root.glob("usr/lib/postgresql/*/bin")), library_path(root)


def _offered(package: str) -> bool:
    if shutil.which("apt-cache") is None:
        return False
    shown = subprocess.run(["apt-cache", "show", package], capture_output=True, timeout=30)
    return shown.returncode == 0


def _unprivileged() -> int | None:
    """PostgreSQL refuses to run as root: somebody who may do nothing. None when we are nobody special."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("nobody").pw_uid
    except KeyError:
        return 65534


def _reachable(folder: Path) -> bool:
    """Whether everybody may enter this folder."""
    return all(parent.stat().st_mode & 0o001 for parent in [folder, *folder.parents])


def _within_reach(programs: Path, folder: Path) -> tuple[Path, dict[str, str]]:
    """A copy of unpacked packages where everybody may enter."""
    root = next(parent for parent in programs.parents if parent.name == "postgres")
    copy = folder / "root"
    shutil.copytree(root, copy, symlinks=True)
    return copy / programs.relative_to(root), library_path(copy)
