"""A gateway process by itself, before services that a test starts, with tokens for any tenant."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import jwt

from parts.process import Process, answers, free_port

GENEROUS = (
    "limits: {default: {requests_per_minute: 1000000, tokens_per_minute: 1000000000, concurrency: 1000}}\n"
)


class GatewayProcess:
    """`home` and port outlive kill() and start()."""

    def __init__(self, home: Path, env: Mapping[str, str]) -> None:
        self.home = home
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.service_key = home / "secrets" / "service.key"
        self._jwt_key = secrets.token_bytes(32)
        self.service_key.parent.mkdir(parents=True, mode=0o700)
        for path, key in (
            (self.service_key, secrets.token_bytes(32)),
            (home / "secrets" / "jwt.key", self._jwt_key),
        ):
            path.touch(mode=0o600)
            path.write_text(key.hex())
        (home / "gateway.yaml").write_text(GENEROUS)
        self.process = Process(
            [sys.executable, "-m", "gateway"],
            log=home / "gateway.log",
            ready=lambda: answers(self.port),
            env={
                "SIXFOLD_HOME": str(home),
                "SIXFOLD_PORT": str(self.port),
                "SIXFOLD_GATEWAY_MODEL_SERVICE": "127.0.0.1:1",  # nobody
                **env,
            },
            start_seconds=60,
        )

    def token(self, tenant: str, role: str = "member", *, seconds: float = 3600) -> str:
        now = int(time.time())
        claims = {
            "iss": "sixfold", "aud": "sixfold-gateway", "sub": f"{tenant}-user", "tenant": tenant,
            "role": role, "iat": now, "nbf": now, "exp": now + int(seconds), "jti": secrets.token_hex(8),
        }  # fmt: skip
        return jwt.encode(claims, self._jwt_key, algorithm="HS256")
