"""Shared doubles of the gateway's unit tests: a clock to hold, tokens to sign, a database on disk."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import jwt
import pytest

from gateway.adapters.keys_store import KeysStore
from gateway.identity.authenticator import Authenticator
from gateway.identity.keyring import StaticKeys, VerifyKey
from gateway.identity.keys_service import KeysService
from gateway.identity.seal import Seal
from gateway.identity.snapshot import KeySnapshot
from gateway.identity.tokens import TokenVerifier
from servicekit.store import Store

NOW = 1_800_000_000.0


class Clock:
    """Time that moves only when told to."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


class Signer:
    """Signs tokens as `sixfold token` does; fields given as None are left out."""

    def __init__(self, clock: Clock) -> None:
        self.key = secrets.token_bytes(32)
        self._clock = clock

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(self._clock())
        claims = {
            "iss": "sixfold", "aud": "sixfold-gateway", "sub": "ada", "tenant": "acme", "role": "admin",
            "iat": now, "nbf": now, "exp": now + 600, "jti": "1",
        } | changes  # fmt: skip
        return {name: value for name, value in claims.items() if value is not None}

    def __call__(
        self,
        *,
        key: Any = None,
        algorithm: str = "HS256",
        headers: dict[str, Any] | None = None,
        **changes: Any,
    ) -> str:
        return jwt.encode(self.claims(**changes), key or self.key, algorithm=algorithm, headers=headers)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sign(clock: Clock) -> Signer:
    return Signer(clock)


@pytest.fixture
def verifier(sign: Signer, clock: Clock) -> TokenVerifier:
    return TokenVerifier(
        StaticKeys(VerifyKey(None, "HS256", sign.key)),
        issuer="sixfold",
        audience="sixfold-gateway",
        max_lifetime=366 * 86400,
        clock=clock,
    )


@pytest.fixture(scope="session")
def open_store(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Any]:
    """Opens a new, migrated SQLite store. Migrates once and copies the file after that."""
    migrated = tmp_path_factory.mktemp("migrated") / "gateway.db"

    async def open_new(path: Path) -> Store:
        if not migrated.exists():
            await (await Store.open(f"sqlite:///{migrated}", migrations="gateway:migrations")).close()
        shutil.copy(migrated, path)
        return await Store.open(f"sqlite:///{path}", migrations="gateway:migrations")

    return open_new


@pytest.fixture
async def keys_store(open_store: Callable[[Path], Any], tmp_path: Path) -> AsyncIterator[KeysStore]:
    store = await open_store(tmp_path / "gateway.db")
    yield KeysStore(store)
    await store.close()


@pytest.fixture
async def snapshot(keys_store: KeysStore, clock: Clock) -> KeySnapshot:
    """Refreshed once; tests refresh it again by hand."""
    snapshot = KeySnapshot(keys_store, monotonic=clock)
    await snapshot.refresh()
    return snapshot


@pytest.fixture
def keys_service(keys_store: KeysStore, snapshot: KeySnapshot, clock: Clock) -> KeysService:
    return KeysService(keys_store, snapshot, Seal(secrets.token_bytes(32)), clock=clock)


@pytest.fixture
def authenticator(verifier: TokenVerifier, snapshot: KeySnapshot, clock: Clock) -> Authenticator:
    return Authenticator(verifier, snapshot, clock=clock)
