"""The page that Prometheus reads, for one process and for several."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from servicekit.metrics import render


def test_the_page_has_the_shared_instruments() -> None:
    body, kind = render()
    assert kind.startswith("text/plain")
    assert b"# TYPE sixfold_rpc_server_duration_seconds histogram" in body
    assert b"sixfold_rpc_server_in_flight" in body


def test_any_worker_answers_for_all(tmp_path: Path) -> None:
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}

    def worker(code: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", f"from servicekit import metrics\n{code}"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env=env,
        )
        return done.stdout

    count = "metrics.RPC_DURATION.labels('/a/B', 'OK').observe(0.1)"
    worker(count)
    worker(count)
    page = worker(f"{count}\nprint(metrics.render()[0].decode())")
    assert 'sixfold_rpc_server_duration_seconds_count{code="OK",method="/a/B"} 3.0' in page
