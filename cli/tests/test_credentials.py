"""Secrets and tokens: made once, private, renewed in time."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest

from sixfold_cli.credentials import (
    AUDIENCE,
    ISSUER,
    ensure_secrets,
    ensure_token,
    make_key,
    parse_duration,
    read_key,
    sign_token,
)
from sixfold_cli.errors import CliError
from sixfold_cli.home import Home


def decoded(token: str, key: bytes) -> dict[str, object]:
    claims: dict[str, object] = jwt.decode(token, key, algorithms=["HS256"], audience=AUDIENCE, issuer=ISSUER)
    return claims


def test_keys_are_random_and_the_owners_alone(home: Home) -> None:
    ensure_secrets(home)
    for path in (home.jwt_key, home.service_key):
        assert path.stat().st_mode & 0o777 == 0o600
        assert len(path.read_text().strip()) == 64
    assert home.secrets.stat().st_mode & 0o777 == 0o700
    assert home.root.stat().st_mode & 0o777 == 0o700
    assert home.jwt_key.read_text() != home.service_key.read_text()
    assert sorted(each.name for each in home.secrets.iterdir()) == ["jwt.key", "service.key"]


def test_keys_are_private_whatever_the_umask(home: Home) -> None:
    before = os.umask(0)
    try:
        ensure_secrets(home)
        ensure_token(home)
    finally:
        os.umask(before)
    assert home.jwt_key.stat().st_mode & 0o777 == 0o600
    assert home.token.stat().st_mode & 0o777 == 0o600


def test_keys_are_never_overwritten(home: Home) -> None:
    ensure_secrets(home)
    before = home.jwt_key.read_text()
    assert ensure_secrets(home) == []
    assert home.jwt_key.read_text() == before


def test_many_at_once_agree_on_one_key(home: Home) -> None:
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda _: (make_key(home.jwt_key), home.jwt_key.read_text()), range(64)))
    assert sum(first for first, _ in made) == 1
    assert len({text for _, text in made}) == 1


def test_a_readable_key_is_closed_and_said(home: Home) -> None:
    ensure_secrets(home)
    home.jwt_key.chmod(0o644)
    assert "jwt.key" in ensure_secrets(home)[0]
    assert home.jwt_key.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "abc", "zz" * 32, "ab" * 16])
def test_a_damaged_key_is_refused_and_kept(home: Home, text: str) -> None:
    home.jwt_key.write_text(text)
    home.jwt_key.chmod(0o600)
    with pytest.raises(CliError, match="64 hex"):
        ensure_secrets(home)
    assert home.jwt_key.read_text() == text


def test_the_first_token_is_an_admins_for_ninety_days(home: Home) -> None:
    ensure_secrets(home)
    assert ensure_token(home)
    claims = decoded(home.token.read_text().strip(), read_key(home.jwt_key))
    assert (claims["tenant"], claims["role"]) == ("default", "admin")
    assert isinstance(claims["exp"], int)
    assert 89 * 86_400 < claims["exp"] - time.time() <= 90 * 86_400
    assert {"iss", "aud", "sub", "tenant", "role", "iat", "nbf", "exp", "jti"} == set(claims)


def test_a_good_token_is_kept(home: Home) -> None:
    ensure_secrets(home)
    ensure_token(home)
    before = home.token.read_text()
    assert not ensure_token(home)
    assert home.token.read_text() == before


@pytest.mark.parametrize("seconds", [60, -60])
def test_a_token_near_or_past_its_end_is_renewed(home: Home, seconds: int) -> None:
    ensure_secrets(home)
    key = read_key(home.jwt_key)
    home.token.write_text(sign_token(key, tenant="default", role="admin", seconds=seconds))
    assert ensure_token(home)
    decoded(home.token.read_text().strip(), key)


def test_a_token_of_another_key_is_renewed(home: Home) -> None:
    ensure_secrets(home)
    home.token.write_text(sign_token(b"x" * 32, tenant="default", role="admin", seconds=10**7))
    assert ensure_token(home)
    decoded(home.token.read_text().strip(), read_key(home.jwt_key))


@pytest.mark.parametrize(("text", "seconds"), [("90d", 7_776_000), ("12h", 43_200), ("5m", 300), ("45", 45)])
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0d", "-1d", "1.5h", "9999999d", "367d", "d", "1w", "1d1h"])
def test_no_durations(text: str) -> None:
    with pytest.raises(CliError):
        parse_duration(text)


@pytest.mark.parametrize("tenant", ["", "A", "a b", "../x", "a" * 64, "-a"])
def test_no_tenants(tenant: str) -> None:
    with pytest.raises(CliError):
        sign_token(b"x" * 32, tenant=tenant, role="member", seconds=60)
