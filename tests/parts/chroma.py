"""A real Chroma server, the one of the wheel."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import httpx

from parts.process import PartFailed, Process, free_port
from parts.report import ran, skip_part


class ChromaServer:
    """On a free port. What it was told survives `stop` and `start`."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sixfold-chroma-"))
        self.port = free_port()
        self.url = f"chroma+http://127.0.0.1:{self.port}"
        program = Path(sys.executable).with_name("chroma")
        self._process = Process(
            [program, "run", "--host", "127.0.0.1", "--port", str(self.port), "--path", self.folder / "data"],
            log=self.folder / "chroma.log",
            env={"ANONYMIZED_TELEMETRY": "False"},
            ready=self._beats,
        )

    def start(self) -> None:
        self._process.start()

    def stop(self) -> None:
        self._process.stop()

    def kill(self) -> None:
        self._process.kill()

    def pause(self) -> None:
        """It hangs, with its connections open."""
        self._process.pause()

    def resume(self) -> None:
        self._process.resume()

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _beats(self) -> bool:
        try:
            beat = httpx.get(f"http://127.0.0.1:{self.port}/api/v2/heartbeat", timeout=1, trust_env=False)
        except httpx.HTTPError:
            return False
        return beat.is_success


def start_chroma() -> ChromaServer:
    """A new server that runs, or a skip that says why there is none."""
    server = ChromaServer()
    try:
        server.start()
    except (OSError, PartFailed) as error:
        server.remove()
        skip_part("chroma", str(error).splitlines()[0])
    ran("chroma")
    return server
