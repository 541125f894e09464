"""A real gateway process without a model service: who gets in is decided before any model is asked."""

from __future__ import annotations

import base64
import json
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from parts.process import Process, free_port

FIRST_LINE_BYTES = 65536


@dataclass
class RunningGateway:
    """A gateway of its own home, and the means to forge credentials for it."""

    home: Path
    env: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: Process | None = None
    _client: httpx.Client = field(
        default_factory=lambda: httpx.Client(verify=False, timeout=20, trust_env=False)
    )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def key(self) -> bytes:
        return bytes.fromhex((self.home / "secrets" / "jwt.key").read_text())

    @property
    def log(self) -> str:
        return (self.home / "gateway.log").read_text(errors="replace")

    def start(self) -> RunningGateway:
        folder = self.home / "secrets"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in ("jwt.key", "service.key"):
            path = folder / name
            if not path.exists():
                path.touch(mode=0o600)
                path.write_text(secrets.token_hex(32))
        env = {
            "SIXFOLD_HOME": str(self.home),
            "SIXFOLD_PORT": str(self.port),
            "SIXFOLD_GATEWAY_MODEL_SERVICE": "127.0.0.1:1",  # nobody
            "SIXFOLD_GATEWAY_KEY_REFRESH_SECONDS": "0.2",
        }
        args = [sys.executable, "-m", "gateway"]
        self.process = Process(args, self.home / "gateway.log", self._alive, env={**env, **self.env})
        self.process.start()
        return self

    def stop(self) -> None:
        self._client.close()
        if self.process is not None:
            self.process.stop()

    def get(self, path: str = "/v1/models", token: str | None = None, **options: Any) -> httpx.Response:
        return self.call("GET", path, token, **options)

    def call(self, method: str, path: str, token: str | None = None, **options: Any) -> httpx.Response:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        headers.update(options.pop("headers", {}))
        return self._client.request(method, self.url + path, headers=headers, **options)

    def raw(self, request: bytes) -> bytes:
        """What comes back for exactly these bytes, until the gateway closes or is silent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(request)
            connection.settimeout(2)
            answer = b""
            try:
                while piece := connection.recv(FIRST_LINE_BYTES):
                    answer += piece
            except (TimeoutError, ConnectionError):
                pass
            return answer

    def _alive(self) -> bool:
        try:
            return self._client.get(f"{self.url}/healthz").status_code == 200
        except httpx.HTTPError:
            return False


def claims(**changes: Any) -> dict[str, Any]:
    """What `sixfold token` puts in a token; fields given as None are left out."""
    now = int(time.time())
    made = {
        "iss": "sixfold", "aud": "sixfold-gateway", "sub": "mallory", "tenant": "acme", "role": "admin",
        "iat": now, "nbf": now, "exp": now + 600, "jti": secrets.token_hex(8),
    } | changes  # fmt: skip
    return {name: value for name, value in made.items() if value is not None}


def sign(key: Any, *, algorithm: str = "HS256", headers: dict[str, Any] | None = None, **changes: Any) -> str:
    """A rightly signed token with these claims."""
    return jwt.encode(claims(**changes), key, algorithm=algorithm, headers=headers)


def assemble(header: dict[str, Any], payload: dict[str, Any], signer: Callable[[bytes], bytes]) -> str:
    """A token with any header at all. `signer` takes what is to be signed."""

    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    unsigned = f"{part(json.dumps(header).encode())}.{part(json.dumps(payload).encode())}"
    return f"{unsigned}.{part(signer(unsigned.encode()))}"


@pytest.fixture(scope="module")
def start_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RunningGateway]]:
    """Starts gateways that end with the module. Keyword arguments become environment variables."""
    started: list[RunningGateway] = []

    def start(**env: str) -> RunningGateway:
        home = tmp_path_factory.mktemp("gateway", numbered=True) / "home"
        gateway = RunningGateway(home, env)
        started.append(gateway)
        return gateway.start()

    yield start
    for gateway in started:
        gateway.stop()


@pytest.fixture(scope="module")
def gateway(start_gateway: Callable[..., RunningGateway]) -> RunningGateway:
    """As `sixfold up` starts it: tokens signed with the local secret."""
    return start_gateway()


@pytest.fixture(scope="session")
def forge() -> Any:
    """`claims`, `sign` and `assemble`, for tests."""

    class Forge:
        pass

    Forge.claims, Forge.sign, Forge.assemble = map(staticmethod, (claims, sign, assemble))  # type: ignore[attr-defined]
    return Forge
