"""The whole platform as a person starts it: `sixfold up -d` in an empty home, on a free port."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import openai

from parts.process import free_port

SIXFOLD = Path(sys.executable).with_name("sixfold")


@dataclass(frozen=True)
class Ingested:
    """A store, and the ids of its files by their names."""

    store: str
    files: Mapping[str, str]


@dataclass
class Platform:
    """One running Sixfold. `home` outlives stop() and start()."""

    home: Path
    models: Path
    env: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    without: Sequence[str] = ()
    """Optional services that a test has no use for."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        return (self.home / "token").read_text().strip()

    def run(self, *args: str, check: bool = True, timeout: float = 180) -> subprocess.CompletedProcess[str]:
        """Runs the command line against this platform."""
        env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("SIXFOLD_")},
            "SIXFOLD_DOCS": "off",  # the project's own pages: only the test that is about them reads them
            "SIXFOLD_WITHOUT": ",".join(self.without),
            **self.env,
            "SIXFOLD_HOME": str(self.home),
            "SIXFOLD_PORT": str(self.port),
        }
        done = subprocess.run(
            [SIXFOLD, *args],
            env=env,
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )
        if check and done.returncode:
            raise AssertionError(
                f"sixfold {' '.join(args)} → {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.logs()}"
            )
        return done

    def start(self) -> Platform:
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.link_models()
        self.run("up", "-d")
        return self

    def link_models(self) -> None:
        """The built-in models, each by itself: what is trained here stays in this home."""
        folder = self.home / "models"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for model in sorted(self.models.iterdir()):
            link = folder / model.name
            if model.is_dir() and not link.exists() and model.name != "trained":
                link.symlink_to(model)

    def stop(self) -> None:
        self.run("down", check=False)

    def status(self) -> dict[str, Any]:
        return dict(json.loads(self.run("--json", "status", check=False).stdout))

    def pid(self, service: str) -> int:
        """Of the running process of a service, as the supervisor knows it."""
        for row in self.status()["services"]:
            if row["name"] == service:
                return int(row["pid"])
        raise AssertionError(f"{service} is not running: {self.status()}")

    def ops(self, service: str) -> str:
        """Address of a service's own /healthz, /readyz and /metrics."""
        for row in self.status()["services"]:
            if row["name"] == service:
                return str(row["ops"])
        raise AssertionError(f"{service} is not running")

    def logs(self, lines: int = 15) -> str:
        parts = []
        for path in sorted((self.home / "logs").glob("*.log")):
            parts.append(f"--- {path.name}\n" + "\n".join(path.read_text().splitlines()[-lines:]))
        return "\n".join(parts)

    def client(self, **options: Any) -> openai.OpenAI:
        options.setdefault("api_key", self.token)
        options.setdefault("max_retries", 0)
        return openai.OpenAI(base_url=f"{self.url}/v1", **options)

    def async_client(self, **options: Any) -> openai.AsyncOpenAI:
        options.setdefault("api_key", self.token)
        options.setdefault("max_retries", 0)
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", **options)

    def mint(self, tenant: str, role: str = "member", expires: str = "1h") -> str:
        return self.run("token", "--tenant", tenant, "--role", role, "--expires", expires).stdout.strip()

    def ingest(self, store: str, files: Mapping[str, bytes], **attributes: str | float | bool) -> Ingested:
        """A new store with these files in it, each at its end; attributes are those of all of them."""
        client = self.client(max_retries=2, timeout=60)
        made = client.vector_stores.create(name=store)
        ids = {
            name: client.files.create(file=(name, content), purpose="assistants").id
            for name, content in files.items()
        }
        client.vector_stores.file_batches.create_and_poll(
            made.id, file_ids=list(ids.values()), attributes=attributes, poll_interval_ms=200
        )
        return Ingested(made.id, ids)

    def post(
        self, path: str, *, token: str | None = None, timeout: float = 60, **kwargs: Any
    ) -> httpx.Response:
        headers = {"authorization": f"Bearer {token or self.token}", **kwargs.pop("headers", {})}
        return httpx.post(self.url + path, headers=headers, timeout=timeout, **kwargs)

    def metrics(self) -> str:
        return httpx.get(f"{self.url}/metrics", timeout=10).text

    def wait_restarted(self, service: str, killed: int, seconds: float = 90) -> None:
        """Until the supervisor has another process for the service, and it is ready."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            rows = {row["name"]: row for row in self.status()["services"]}
            row = rows.get(service, {})
            if row.get("pid") not in (None, killed) and row.get("ready"):
                return self.wait_ready(max(1.0, end - time.monotonic()))
            time.sleep(0.2)
        raise AssertionError(f"{service} is not back after {seconds} s: {self.status()}\n{self.logs()}")

    def wait_ready(self, seconds: float = 60) -> None:
        """Until /readyz answers 200; raises with the last answer and the logs otherwise."""
        end = time.monotonic() + seconds
        last = "no answer"
        while time.monotonic() < end:
            try:
                response = httpx.get(f"{self.url}/readyz", timeout=5)
                last = f"{response.status_code} {response.text}"
                if response.status_code == 200:
                    return
            except httpx.HTTPError as error:
                last = repr(error)
            time.sleep(0.2)
        raise AssertionError(f"not ready after {seconds} s: {last}\n{self.logs()}")
