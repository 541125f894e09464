"""Sixfold as a person's machine runs it: one gateway process and one model service, each started alone."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import yaml

from benchmarks.common.process import Process, free_port, wait_for

_UNLIMITED = {"requests_per_minute": 10_000_000, "tokens_per_minute": 10_000_000_000, "concurrency": 1000}


@dataclass
class House:
    """A running gateway and model service."""

    gateway: Process
    models: Process
    port: int
    token: str
    cold_start: float
    """Seconds from the first process's start to the gateway's first ready answer."""

    @classmethod
    def start(cls, folder: Path, models: Mapping[str, Any], env: Mapping[str, str] | None = None) -> House:
        """Starts both over a new home in `folder`. `models` becomes models.yaml."""
        home = folder / "home"
        key = _keys(home)
        (home / "models.yaml").write_text(yaml.safe_dump(dict(models)))
        config = {"limits": {"default": _UNLIMITED}, "cache": {"enabled": True}}
        (home / "gateway.yaml").write_text(yaml.safe_dump(config))
        port, rpc, ops = free_port(), free_port(), free_port()
        shared = {k: v for k, v in os.environ.items() if not k.startswith("SIXFOLD_")}
        shared |= {
            "SIXFOLD_HOME": str(home),
            "SIXFOLD_PORT": str(port),
            "SIXFOLD_MODEL_SERVICE_LISTEN": f"127.0.0.1:{rpc}",
            "SIXFOLD_MODEL_SERVICE_OPS_LISTEN": f"127.0.0.1:{ops}",
            "SIXFOLD_GATEWAY_MODEL_SERVICE": f"127.0.0.1:{rpc}",
            **(env or {}),
        }
        begin = time.monotonic()
        service = Process.start(
            "model-service", [sys.executable, "-m", "model_service"], folder=folder, env=shared
        )
        gateway = Process.start("gateway", [sys.executable, "-m", "gateway"], folder=folder, env=shared)
        house = cls(gateway, service, port, _token(key), 0.0)
        try:
            wait_for("127.0.0.1", ops, "/readyz", service, 90)
            wait_for("127.0.0.1", port, "/readyz", gateway, 60)
        except RuntimeError:
            house.stop()
            raise
        house.cold_start = time.monotonic() - begin
        return house

    def stop(self) -> None:
        """The gateway first, so that it drains into a living service."""
        self.gateway.stop()
        self.models.stop()


def _keys(home: Path) -> bytes:
    folder = home / "secrets"
    folder.mkdir(parents=True, mode=0o700)
    for name in ("jwt.key", "service.key"):
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32))
    return bytes.fromhex((folder / "jwt.key").read_text())


def _token(key: bytes) -> str:
    now = int(time.time())
    claims = {
        "iss": "sixfold",
        "aud": "sixfold-gateway",
        "sub": "bench",
        "tenant": "default",
        "role": "admin",
        "iat": now,
        "nbf": now,
        "exp": now + 7200,
        "jti": secrets.token_hex(8),
    }
    return jwt.encode(claims, key, algorithm="HS256")
