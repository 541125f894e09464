"""Tokens between services, and the key they are made with. What is refused is in rpc/test_tokens.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from servicekit import identity as module
from servicekit.errors import Reason, SixfoldError
from servicekit.identity import Caller, ServiceIdentity, load_key

KEY = bytes(range(32))


class Clock:
    """Stands for the module's `time`."""

    def __init__(self) -> None:
        import time

        self.now = time.time()

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_a_token_says_who_for_whom_and_to_whom() -> None:
    token = ServiceIdentity("gateway", KEY).token("model-service", "acme", "user-1")
    assert ServiceIdentity("model-service", KEY).verify(token) == Caller("gateway", "acme", "user-1")


def test_a_token_is_given_out_again_for_half_its_life(clock: Clock) -> None:
    maker = ServiceIdentity("gateway", KEY, ttl=60)
    first = maker.token("model-service", "acme")
    clock.now += 29
    assert maker.token("model-service", "acme") == first
    assert maker.token("model-service", "globex") != first
    assert maker.token("eval-service", "acme") != first
    assert maker.token("model-service", "acme", "u") != first
    clock.now += 2
    assert maker.token("model-service", "acme") != first


def test_a_remembered_token_still_expires(clock: Clock) -> None:
    token = ServiceIdentity("gateway", KEY, ttl=10).token("model-service", "acme")
    checker = ServiceIdentity("model-service", KEY)
    checker.verify(token)
    clock.now += 11
    checked_anew: list[str] = []

    def check(given: str) -> Any:
        checked_anew.append(given)
        raise SixfoldError(Reason.TOKEN_EXPIRED, "")

    checker._check = check  # type: ignore[method-assign,assignment]
    with pytest.raises(SixfoldError):
        checker.verify(token)
    assert checked_anew == [token]


def test_what_is_remembered_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CACHED", 8)
    maker, checker = ServiceIdentity("gateway", KEY), ServiceIdentity("model-service", KEY)
    for number in range(50):
        checker.verify(maker.token("model-service", f"tenant-{number}"))
    assert len(maker._made) == len(checker._seen) == 8


@pytest.mark.parametrize(("audience", "tenant"), [("", "acme"), ("model-service", "")])
def test_a_call_for_nobody_or_to_nobody_has_no_token(audience: str, tenant: str) -> None:
    with pytest.raises(ValueError, match="audience and a tenant"):
        ServiceIdentity("gateway", KEY).token(audience, tenant)


def test_short_keys_and_long_lives_are_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        ServiceIdentity("gateway", b"short")
    with pytest.raises(ValueError, match="60 seconds"):
        ServiceIdentity("gateway", KEY, ttl=3600)


def test_a_key_file_is_hex_and_private(tmp_path: Path) -> None:
    file = tmp_path / "service.key"
    with pytest.raises(SystemExit, match="no such key file"):
        load_key(file)
    file.write_text(KEY.hex() + "\n")
    file.chmod(0o600)
    assert load_key(file) == KEY
    for mode in (0o640, 0o604, 0o660):
        file.chmod(mode)
        with pytest.raises(SystemExit, match="chmod 600"):
            load_key(file)
    file.chmod(0o600)
    for text, words in (("ab" * 31, "too short"), ("x" * 64, "hex"), ("", "too short")):
        file.write_text(text)
        with pytest.raises(SystemExit, match=words) as caught:
            load_key(file)
        assert text == "" or text not in str(caught.value)
    file.write_bytes(b"\xff" * 64)
    with pytest.raises(SystemExit, match="cannot read"):
        load_key(file)
    with pytest.raises(SystemExit, match="cannot read"):
        load_key(tmp_path)
