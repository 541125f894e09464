"""From an Authorization header to a principal, and what is remembered."""

from __future__ import annotations

import pytest

from gateway.api.authorization import authorization_of
from gateway.identity.authenticator import Authenticator
from servicekit.errors import Reason, SixfoldError


async def refused(authenticator: Authenticator, header: bytes | None) -> Reason:
    with pytest.raises(SixfoldError) as caught:
        await authenticator.authenticate(header)
    return caught.value.reason


@pytest.mark.parametrize(
    "header", [None, b"", b"Bearer", b"Bearer ", b"Basic YTpi", b"abc", b"Bearer\tabc", b"  "]
)
async def test_no_credential(authenticator, header) -> None:
    assert await refused(authenticator, header) is Reason.MISSING_CREDENTIALS


async def test_a_verified_token_is_remembered_until_it_expires(authenticator, sign, clock) -> None:
    header = b"Bearer " + sign(exp=int(clock()) + 30).encode()
    assert authenticator.cached(header) is None
    principal = await authenticator.authenticate(header)
    assert authenticator.cached(header) is principal
    assert await authenticator.authenticate(header) is principal
    clock.pass_by(30)
    assert authenticator.cached(header) is None
    assert await refused(authenticator, header) is Reason.TOKEN_EXPIRED


async def test_a_token_is_verified_anew_every_minute(authenticator, sign, clock) -> None:
    header = b"Bearer " + sign().encode()
    principal = await authenticator.authenticate(header)
    clock.pass_by(60)
    assert authenticator.cached(header) is None
    assert await authenticator.authenticate(header) == principal


async def test_the_scheme_is_bearer_in_any_case(authenticator, sign) -> None:
    token = sign().encode()
    await authenticator.authenticate(b"bearer   " + token + b" ")
    assert authenticator.cached(b"BEARER " + token)
    assert authenticator.cached(b"Basic: " + token) is None
    assert authenticator.cached(b"xxxxxxx" + token) is None


async def test_a_near_miss_is_no_hit(authenticator, sign) -> None:
    token = sign().encode()
    await authenticator.authenticate(b"Bearer " + token)
    for other in (token + b"A", token[:-1], b" " + token):
        assert authenticator.cached(b"Bearer " + other) is None


async def test_two_credentials_in_one_header_are_refused(authenticator, sign) -> None:
    token = sign().encode()
    for header in (
        b"Bearer " + token + b", Bearer " + token,
        b"Bearer " + token + b" x",
        b"Bearer " + b"a." * 9000,
    ):
        assert await refused(authenticator, header) is Reason.INVALID_TOKEN


async def test_what_is_remembered_is_bounded(verifier, snapshot, sign, clock) -> None:
    authenticator = Authenticator(verifier, snapshot, remember_tokens=3, clock=clock)
    headers = [b"Bearer " + sign(jti=str(i)).encode() for i in range(5)]
    for header in headers:
        await authenticator.authenticate(header)
    assert [authenticator.cached(header) is not None for header in headers] == [
        False,
        False,
        True,
        True,
        True,
    ]


async def test_tokens_do_not_need_the_key_store(authenticator, sign, clock) -> None:
    clock.pass_by(10_000)  # the snapshot of API keys is long stale
    assert await authenticator.authenticate(b"Bearer " + sign().encode())


def test_one_authorization_header_or_none() -> None:
    one = (b"authorization", b"Bearer a")
    assert authorization_of([(b"host", b"x"), one]) == b"Bearer a"
    assert authorization_of([(b"host", b"x")]) is None
    for second in (one, (b"authorization", b"Bearer b"), (b"authorization", b"")):
        with pytest.raises(SixfoldError) as caught:
            authorization_of([one, second])
        assert caught.value.reason is Reason.INVALID_TOKEN
