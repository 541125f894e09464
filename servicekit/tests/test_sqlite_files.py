"""Making a database's file never costs open connections their locks."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

from servicekit.store.engines import create_sqlite_file

_OTHER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("INSERT INTO t VALUES (2)")
connection.close()
"""


def test_a_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "records.db"
    create_sqlite_file(path)
    assert path.stat().st_mode & 0o777 == 0o600
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE t (n)")
    connection.execute("INSERT INTO t VALUES (1)")
    create_sqlite_file(path)
    # Had that dropped the locks, this process would find itself the last one and remove the log at its end.
    subprocess.run([sys.executable, "-c", _OTHER, str(path)], check=True, timeout=60)
    assert path.with_name("records.db-wal").exists()
    assert connection.execute("SELECT n FROM t ORDER BY n").fetchall() == [(1,), (2,)]
    connection.close()
