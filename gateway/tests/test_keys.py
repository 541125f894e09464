"""API keys: made, checked, kept current, revoked; within one tenant and never beyond the creator's rights."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway.adapters.keys_store import KeysStore
from gateway.identity.api_keys import digest_of, key_id_of, new_key
from gateway.identity.keys_service import DAY, KeyRequest, KeyRules, KeysService
from gateway.identity.principal import KeyLimits, Principal
from gateway.identity.roles import ROLES
from gateway.identity.seal import Seal
from gateway.identity.snapshot import KeySnapshot, SnapshotLimits
from servicekit.errors import Reason, SixfoldError


def caller(tenant: str = "acme", role: str = "admin", **changes: Any) -> Principal:
    return replace(Principal(tenant, "ada", role, ROLES[role], "jwt", None, None), **changes)


def bearer(secret: str) -> bytes:
    return b"Bearer " + secret.encode()


async def reason(call: Any) -> Reason:
    with pytest.raises(SixfoldError) as caught:
        await call
    return caught.value.reason


def test_the_form_of_a_key() -> None:
    key_id, secret = new_key()
    assert key_id_of(secret.encode()) == key_id
    assert len({new_key()[1] for _ in range(100)}) == 100
    for bad in (
        secret[:-1],
        secret + "x",
        secret.upper(),
        f" {secret}",
        secret + "\n",
        "sk-sixfold--",
        "sk-other",
    ):
        assert key_id_of(bad.encode()) is None


async def test_a_new_key_works_at_once(keys_service, authenticator, clock) -> None:
    wanted = KeyRequest("ci", frozenset({"models:read"}), expires_in=60, limits=KeyLimits(5))
    issued = await keys_service.create(caller(), wanted, None)
    principal = await authenticator.authenticate(bearer(issued.secret))
    assert principal == authenticator.cached(bearer(issued.secret))
    assert (principal.tenant, principal.role, principal.credential) == ("acme", "viewer", "key")
    assert principal.scopes == {"models:read"}
    assert principal.limits == KeyLimits(5)
    assert principal.expires_at == clock() + 60


async def test_only_a_digest_is_kept(keys_service, keys_store) -> None:
    issued = await keys_service.create(caller(), KeyRequest("k"), "once")
    stored = await keys_store.find(issued.key.id)
    assert stored is not None
    assert stored.digest == digest_of(issued.secret.encode())
    assert issued.secret not in repr(stored)
    assert stored.digest.hex() not in repr(stored)


async def test_a_wrong_secret_is_refused(keys_service, authenticator) -> None:
    issued = await keys_service.create(caller(), KeyRequest("k"), None)
    other = issued.secret[:-1] + ("A" if issued.secret[-1] != "A" else "B")
    for bad in (other, "sk-sixfold-", "sk-proj-abc", "nonsense"):
        assert authenticator.cached(bearer(bad)) is None
        assert await reason(authenticator.authenticate(bearer(bad))) is Reason.INVALID_API_KEY


async def test_an_expired_key_is_refused(keys_service, authenticator, clock) -> None:
    issued = await keys_service.create(caller(), KeyRequest("k", expires_in=60), None)
    clock.pass_by(60)
    assert authenticator.cached(bearer(issued.secret)) is None
    assert await reason(authenticator.authenticate(bearer(issued.secret))) is Reason.INVALID_API_KEY
    assert keys_service.status(issued.key) == "expired"


async def test_a_revoked_key_ends_here_at_once(keys_service, authenticator) -> None:
    issued = await keys_service.create(caller(), KeyRequest("k"), None)
    await authenticator.authenticate(bearer(issued.secret))
    revoked = await keys_service.revoke(caller(), issued.key.id)
    assert keys_service.status(revoked) == "revoked"
    assert authenticator.cached(bearer(issued.secret)) is None
    assert await reason(authenticator.authenticate(bearer(issued.secret))) is Reason.INVALID_API_KEY
    again = await keys_service.revoke(caller(), issued.key.id)
    assert again.revoked_at == revoked.revoked_at


async def test_a_revoked_key_ends_elsewhere_with_the_next_refresh(keys_service, keys_store, clock) -> None:
    elsewhere = KeySnapshot(keys_store, monotonic=clock)
    issued = await keys_service.create(caller(), KeyRequest("k"), None)
    await elsewhere.refresh()
    assert elsewhere.get(issued.key.id)
    await keys_service.revoke(caller(), issued.key.id)
    await elsewhere.refresh()
    assert elsewhere.get(issued.key.id) is None
    assert await elsewhere.look_up(issued.key.id) is None


async def test_a_key_of_another_worker_is_looked_up_once(keys_service, keys_store, clock) -> None:
    store = Counting(keys_store)
    elsewhere = KeySnapshot(store, SnapshotLimits(lookups_per_second=3), monotonic=clock)
    await elsewhere.refresh()
    issued = await keys_service.create(caller(), KeyRequest("k"), None)
    assert elsewhere.get(issued.key.id) is None
    assert await elsewhere.look_up(issued.key.id)
    assert elsewhere.get(issued.key.id)
    for _ in range(5):
        assert await elsewhere.look_up("0" * 12) is None
    assert store.found == 2
    for index in range(50):
        assert await elsewhere.look_up(f"{index:012x}") is None
    assert store.found == 3  # the budget of this second is spent
    clock.pass_by(1)
    await elsewhere.look_up("f" * 12)
    assert store.found == 4


async def test_a_stale_snapshot_is_503_not_401(
    keys_service, keys_store, authenticator, snapshot, clock
) -> None:
    issued = await keys_service.create(caller(), KeyRequest("k"), None)
    clock.pass_by(299)
    assert authenticator.cached(bearer(issued.secret))
    clock.pass_by(2)
    assert authenticator.cached(bearer(issued.secret)) is None
    assert await reason(authenticator.authenticate(bearer(issued.secret))) is Reason.SERVICE_UNAVAILABLE
    await snapshot.refresh()
    assert authenticator.cached(bearer(issued.secret))


async def test_a_failed_lookup_is_503_not_401(keys_store, clock) -> None:
    store = Counting(keys_store)
    snapshot = KeySnapshot(store, monotonic=clock)
    await snapshot.refresh()
    store.broken = True
    for _ in range(2):
        assert await reason(snapshot.look_up("0" * 12)) is Reason.SERVICE_UNAVAILABLE
    store.broken = False
    assert await snapshot.look_up("0" * 12) is None


async def test_the_refresh_survives_an_outage(keys_service, keys_store) -> None:
    store = Counting(keys_store)
    snapshot = KeySnapshot(store, SnapshotLimits(refresh_seconds=0.01))
    await snapshot.start()
    store.broken = True
    before = store.asked
    while store.asked < before + 3:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    issued = await keys_service.create(caller(), KeyRequest("k"), None)
    store.broken = False
    while snapshot.get(issued.key.id) is None:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    await snapshot.close()


async def test_a_snapshot_keeps_at_most_so_many(keys_service, keys_store, clock) -> None:
    ids = [(await keys_service.create(caller(), KeyRequest("k"), None)).key.id for _ in range(4)]
    snapshot = KeySnapshot(keys_store, SnapshotLimits(max_keys=3), monotonic=clock)
    await snapshot.refresh()
    assert [snapshot.get(key_id) is not None for key_id in ids] == [False, True, True, True]
    assert await snapshot.look_up(ids[0])  # an evicted key is found again


async def test_nobody_gives_what_they_lack(keys_service) -> None:
    for role in ("member", "viewer"):
        assert (
            await reason(keys_service.create(caller(role=role), KeyRequest("k"), None))
            is Reason.PERMISSION_DENIED
        )
    narrow = caller(scopes=frozenset({"keys:write", "models:read"}))
    wide = KeyRequest("k", frozenset({"chat:write"}))
    assert await reason(keys_service.create(narrow, wide, None)) is Reason.PERMISSION_DENIED
    assert (await keys_service.create(narrow, KeyRequest("k"), None)).key.scopes == {"models:read"}
    for scopes in (frozenset({"everything"}), frozenset[str]()):
        assert (
            await reason(keys_service.create(caller(), KeyRequest("k", scopes), None))
            is Reason.INVALID_REQUEST
        )


async def test_a_key_does_not_outlive_the_key_that_made_it(keys_service, clock) -> None:
    by_key = caller(credential="key", expires_at=clock() + 100)
    assert (await keys_service.create(by_key, KeyRequest("k"), None)).key.expires_at == clock() + 100
    assert (await keys_service.create(caller(), KeyRequest("k"), None)).key.expires_at == clock() + 90 * DAY
    for lifetime in (0, -1, 400 * DAY, float("nan")):
        assert (
            await reason(keys_service.create(caller(), KeyRequest("k", None, lifetime), None))
            is Reason.INVALID_REQUEST
        )


async def test_tenants_do_not_see_each_other(keys_service) -> None:
    issued = await keys_service.create(caller("acme"), KeyRequest("k"), "once")
    other = caller("umbrella")
    assert await keys_service.list(other, after=None, limit=10) == ([], False)
    assert await keys_service.list(other, after=issued.key.id, limit=10) == ([], False)
    assert await reason(keys_service.get(other, issued.key.id)) is Reason.NOT_FOUND
    assert await reason(keys_service.revoke(other, issued.key.id)) is Reason.NOT_FOUND
    assert keys_service.status(await keys_service.get(caller("acme"), issued.key.id)) == "active"
    theirs = await keys_service.create(other, KeyRequest("k"), "once")  # the same Idempotency-Key
    assert not theirs.repeated
    assert theirs.key.tenant == "umbrella"


async def test_pages(keys_service) -> None:
    ids = [(await keys_service.create(caller(), KeyRequest(str(i)), None)).key.id for i in range(5)]
    seen: list[str] = []
    after, more = None, True
    while more:
        keys, more = await keys_service.list(caller(), after=after, limit=2)
        seen += [key.id for key in keys]
        after = seen[-1]
    assert seen == ids[::-1]
    assert await keys_service.list(caller(), after="0" * 12, limit=2) == ([], False)


async def test_a_repeat_gets_the_same_key(keys_service, authenticator, clock) -> None:
    first = await keys_service.create(caller(), KeyRequest("k"), "once")
    again = await keys_service.create(caller(), KeyRequest("k"), "once")
    assert (again.secret, again.key, again.repeated) == (first.secret, first.key, True)
    assert await reason(keys_service.create(caller(), KeyRequest("other"), "once")) is Reason.ALREADY_EXISTS
    assert (await keys_service.create(caller(subject="bob"), KeyRequest("k"), "once")).secret != first.secret
    await keys_service.revoke(caller(), first.key.id)
    revoked = await keys_service.create(caller(), KeyRequest("k"), "once")
    assert revoked.key.revoked_at is not None
    assert await reason(authenticator.authenticate(bearer(revoked.secret))) is Reason.INVALID_API_KEY
    clock.pass_by(DAY)
    assert not (await keys_service.create(caller(), KeyRequest("k"), "once")).repeated


async def test_repeats_at_once_make_one_key(keys_service) -> None:
    issued = await asyncio.gather(*(keys_service.create(caller(), KeyRequest("k"), "once") for _ in range(8)))
    assert len({each.secret for each in issued}) == 1
    assert sum(not each.repeated for each in issued) == 1
    keys, _ = await keys_service.list(caller(), after=None, limit=10)
    assert len(keys) == 1


async def test_a_tenant_has_so_many_keys(keys_store, snapshot, clock) -> None:
    service = KeysService(keys_store, snapshot, Seal(b"s" * 32), KeyRules(max_keys=2), clock=clock)
    first = await service.create(caller(), KeyRequest("k"), None)
    await service.create(caller(), KeyRequest("k", expires_in=10), None)
    assert await reason(service.create(caller(), KeyRequest("k"), None)) is Reason.INVALID_REQUEST
    await service.create(caller("umbrella"), KeyRequest("k"), None)
    await service.revoke(caller(), first.key.id)
    await service.create(caller(), KeyRequest("k"), None)
    clock.pass_by(10)
    await service.create(caller(), KeyRequest("k"), None)


def test_a_seal_opens_for_its_request_only() -> None:
    seal = Seal(b"s" * 32)
    closed = seal.close("secret", "acme", "ada", "once")
    assert seal.open(closed, "acme", "ada", "once") == "secret"
    assert b"secret" not in closed
    for place in (
        ("umbrella", "ada", "once"),
        ("acme", "bob", "once"),
        ("acme", "ada", "twice"),
        ("acmea", "da", "once"),
    ):
        assert seal.open(closed, *place) is None
    assert Seal(b"t" * 32).open(closed, "acme", "ada", "once") is None
    assert seal.open(closed[:-1], "acme", "ada", "once") is None
    assert seal.open(b"", "acme", "ada", "once") is None


class Counting:
    """A store that counts what it is asked, and can break."""

    def __init__(self, store: KeysStore) -> None:
        self._store = store
        self.asked = self.found = 0
        self.broken = False

    async def changes(self, after: int, limit: int) -> Any:
        self.asked += 1
        if self.broken:
            raise OSError("gone")
        return await self._store.changes(after, limit)

    async def find(self, key_id: str) -> Any:
        self.found += 1
        if self.broken:
            raise OSError("gone")
        return await self._store.find(key_id)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)
