"""The two houses that are compared, behind one face."""

from __future__ import annotations

import secrets
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.common.environments import environment
from benchmarks.common.house import House
from benchmarks.common.process import Process, free_port, wait_for


@dataclass
class Side:
    """Something that answers, and the processes whose use is counted."""

    name: str
    port: int
    token: str
    columns: dict[str, list[Process]]
    """Column of the table to the processes that it sums."""
    cold_start: float

    def stop(self) -> None:
        """Ends every process, the front one first."""
        for process in dict.fromkeys(
            process.popen.pid for group in self.columns.values() for process in group
        ):
            next(p for group in self.columns.values() for p in group if p.popen.pid == process).stop()

    def cpu_seconds(self) -> dict[str, float]:
        """By column."""
        return {name: sum(p.cpu_seconds() for p in group) for name, group in self.columns.items()}

    def rss_mib(self) -> dict[str, float]:
        """By column."""
        return {name: sum(p.rss_mib() for p in group) for name, group in self.columns.items()}


def start_upstream(folder: Path) -> tuple[Process, int]:
    """The mock that both sides ask."""
    port = free_port()
    process = Process.start(
        "upstream", [sys.executable, "-m", "benchmarks.gateway.upstream", str(port)], folder=folder
    )
    wait_for("127.0.0.1", port, "/count", process, 20)
    return process, port


def start_sixfold(folder: Path, upstream: int) -> Side:
    """One gateway worker; the model service asks the mock through its OpenAI-compatible engine."""
    key = folder / "upstream.key"
    key.touch(mode=0o600)
    key.write_text("sk-upstream")
    model = {
        "name": "bench",
        "engine": f"openai+http://127.0.0.1:{upstream}/v1",
        "options": {"model": "bench", "api_key_file": str(key)},
    }
    house = House.start(folder, {"models": [model]})
    columns = {"sixfold gateway": [house.gateway], "sixfold": [house.gateway, house.models]}
    return Side("sixfold", house.port, house.token, columns, house.cold_start)


def start_litellm(folder: Path, upstream: int) -> Side:
    """LiteLLM's proxy as it comes: one worker, a master key, no database, no Redis."""
    python = environment("litellm")
    port, token = free_port(), f"sk-{secrets.token_hex(16)}"
    params = {
        "model": "openai/bench",
        "api_base": f"http://127.0.0.1:{upstream}/v1",
        "api_key": "sk-upstream",
    }
    config = {
        "model_list": [{"model_name": "bench", "litellm_params": params}],
        "general_settings": {"master_key": token},
    }
    file = folder / "litellm.yaml"
    file.write_text(yaml.safe_dump(config))
    command: list[str | Path] = [python.with_name("litellm"), "--config", file, "--host", "127.0.0.1"]
    command += ["--port", str(port), "--num_workers", "1", "--telemetry", "False"]
    # Its list of prices otherwise comes over the network, which would count as start time.
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    process = Process.start("litellm", command, folder=folder, env=env)
    try:
        seconds = wait_for("127.0.0.1", port, "/health/readiness", process, 180)
    except RuntimeError:
        process.stop()
        raise
    return Side("litellm", port, token, {"litellm": [process]}, seconds)
