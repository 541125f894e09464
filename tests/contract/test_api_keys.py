"""Where API keys are kept, on SQLite and on a real PostgreSQL: the same promises, with races."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.adapters.keys_store import KeysStore
from gateway.identity.api_keys import ApiKey, digest_of, new_key
from gateway.identity.principal import KeyLimits
from gateway.identity.store import Attempt
from servicekit.errors import Reason, SixfoldError
from servicekit.store import Store

NOW = 1_800_000_000.25


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/gateway.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
async def pair(url: str) -> AsyncIterator[tuple[KeysStore, KeysStore]]:
    """Two workers' ways to the same records."""
    stores = [await Store.open(url, migrations="gateway:migrations") for _ in range(2)]
    yield KeysStore(stores[0]), KeysStore(stores[1])
    for store in stores:
        await store.close()


def key_of(tenant: str = "acme", **changes: object) -> ApiKey:
    key_id, secret = new_key()
    fields: dict[str, object] = {
        "id": key_id, "tenant": tenant, "name": "ключ 🔑", "role": "member",
        "scopes": frozenset({"models:read", "chat:write"}), "digest": digest_of(secret.encode()),
        "created_at": NOW, "created_by": "ada", "expires_at": NOW + 60,
    } | changes  # fmt: skip
    return ApiKey(**fields)  # type: ignore[arg-type]


def attempt_of(token: bytes, until: float = NOW + 60) -> Attempt:
    return Attempt(token, secrets.token_bytes(32), secrets.token_bytes(90), until)


async def test_what_goes_in_comes_out(pair: tuple[KeysStore, KeysStore]) -> None:
    store, other = pair
    wanted = key_of(limits=KeyLimits(1, 10_000_000_000, 3))
    created = await store.create(wanted, None, max_keys=10, now=NOW)
    assert created.repeat_of is None
    found = await other.get("acme", wanted.id)
    assert found == created.key
    assert found is not None
    assert found.revision > 0
    for name in ("id", "tenant", "name", "role", "scopes", "digest", "created_at", "expires_at", "limits"):
        assert getattr(found, name) == getattr(wanted, name)
    assert await other.find(wanted.id) == found
    endless = await store.create(key_of(expires_at=None), None, max_keys=10, now=NOW)
    assert endless.key.expires_at is None
    assert endless.key.limits is None


async def test_a_tenant_is_part_of_every_question(pair: tuple[KeysStore, KeysStore]) -> None:
    store, _ = pair
    key = (await store.create(key_of("acme"), None, max_keys=10, now=NOW)).key
    assert await store.get("umbrella", key.id) is None
    assert await store.revoke("umbrella", key.id, at=NOW) is None
    assert await store.list("umbrella", after=None, limit=10) == []
    assert await store.list("umbrella", after=key.id, limit=10) == []
    assert await store.get("acme", key.id) == key


async def test_changes_are_in_order_and_none_is_missed(pair: tuple[KeysStore, KeysStore]) -> None:
    """Two workers write at once while a third reads on from where it was."""
    seen: dict[str, ApiKey] = {}
    watermark = 0
    done = asyncio.Event()

    async def follow() -> None:
        nonlocal watermark
        while True:
            last = done.is_set()
            for key in await pair[0].changes(watermark, 3):
                assert key.revision > watermark
                watermark = key.revision
                seen[key.id] = key
            if last and not await pair[0].changes(watermark, 1):
                return

    async def write(store: KeysStore, tenant: str) -> list[str]:
        made = []
        for index in range(12):
            key = (await store.create(key_of(tenant), None, max_keys=100, now=NOW)).key
            made.append(key.id)
            if index % 3 == 0:
                await store.revoke(tenant, key.id, at=NOW + 1)
        return made

    reader = asyncio.create_task(follow())
    made = await asyncio.gather(write(pair[0], "acme"), write(pair[1], "acme"), write(pair[1], "umbrella"))
    done.set()
    await reader
    ids = [key_id for group in made for key_id in group]
    assert set(seen) == set(ids)
    for key_id, key in seen.items():
        assert await pair[1].find(key_id) == key  # the last state of each, revocations too
    assert sum(key.revoked_at is not None for key in seen.values()) == 12


async def test_a_key_is_revoked_once(pair: tuple[KeysStore, KeysStore]) -> None:
    store, other = pair
    key = (await store.create(key_of(), None, max_keys=10, now=NOW)).key
    first, second = await asyncio.gather(
        store.revoke("acme", key.id, at=NOW + 1), other.revoke("acme", key.id, at=NOW + 2)
    )
    assert first is not None
    assert first == second
    assert first.revoked_at in (NOW + 1, NOW + 2)
    assert first.revision > key.revision


async def test_an_attempt_repeated_at_once_makes_one_key(pair: tuple[KeysStore, KeysStore]) -> None:
    token = secrets.token_bytes(32)
    created = await asyncio.gather(
        *(pair[n % 2].create(key_of(), attempt_of(token), max_keys=10, now=NOW) for n in range(10))
    )
    assert len({each.key.id for each in created}) == 1
    firsts = [each for each in created if each.repeat_of is None]
    assert len(firsts) == 1
    assert len({each.repeat_of.sealed for each in created if each.repeat_of}) == 1
    assert len(await pair[0].list("acme", after=None, limit=50)) == 1
    later = await pair[1].create(key_of(), attempt_of(token, NOW + 200), max_keys=10, now=NOW + 60)
    assert later.repeat_of is None  # the first attempt is forgotten by then


async def test_a_refused_creation_leaves_nothing(pair: tuple[KeysStore, KeysStore]) -> None:
    token = secrets.token_bytes(32)
    made = await asyncio.gather(
        *(pair[n % 2].create(key_of(), None, max_keys=3, now=NOW) for n in range(8)), return_exceptions=True
    )
    refused = [each for each in made if isinstance(each, SixfoldError)]
    assert len(refused) == 5
    assert {each.reason for each in refused} == {Reason.INVALID_REQUEST}
    with pytest.raises(SixfoldError):
        await pair[0].create(key_of(), attempt_of(token), max_keys=3, now=NOW)
    assert (await pair[0].create(key_of(), attempt_of(token), max_keys=4, now=NOW)).repeat_of is None


async def test_pages_hold_still_while_keys_are_made(pair: tuple[KeysStore, KeysStore]) -> None:
    store, _ = pair
    ids = [(await store.create(key_of(), None, max_keys=100, now=NOW)).key.id for _ in range(5)]
    first = await store.list("acme", after=None, limit=2)
    await store.create(key_of(), None, max_keys=100, now=NOW)
    await store.revoke("acme", ids[0], at=NOW)
    rest = await store.list("acme", after=first[-1].id, limit=10)
    assert [key.id for key in [*first, *rest]] == ids[::-1]
