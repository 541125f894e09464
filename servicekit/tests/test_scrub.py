"""What never gets into a log line."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.scrub import REMOVED, scrub, scrub_text

TOKEN = jwt.encode({"sub": "someone"}, bytes(32), algorithm="HS256")


@pytest.mark.parametrize(
    "secret",
    [
        "ada.lovelace+x@example.co.uk",
        TOKEN,
        "sk-sixfold-0123456789ab-" + "a" * 43,
        "sk-proj-abcdefghijkl",
        "Bearer abc.def-ghi_jkl",
        "bearer  0123456789",
        "Basic dXNlcjpwYXNzd29yZA==",
        "hunter2secret@",
        "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----",
    ],
)
def test_secrets_in_text_are_masked(secret: str) -> None:
    text = f"postgres://user:{secret}db/x" if secret.endswith("@") else f"before ({secret}), after"
    shown = scrub_text(text)
    assert secret not in shown
    assert REMOVED in shown
    assert shown.endswith("after") or shown.endswith("@db/x")


@pytest.mark.parametrize(
    "pair", ["api_key=abcd1234", 'password: "abcd1234"', "token=abcd1234&x=1", "secret = abcd1234"]
)
def test_named_secrets_in_text_are_masked(pair: str) -> None:
    assert "abcd1234" not in scrub_text(f"refused {pair} by peer")


@pytest.mark.parametrize(
    "plain",
    [
        "service is ready",
        "listening on 127.0.0.1:8080",
        "prompt_tokens=17",
        "a risk-based desk-lamp",
        "10 @ 3.5",
    ],
)
def test_plain_text_stays(plain: str) -> None:
    assert scrub_text(plain) == plain


def test_content_and_secrets_by_name_are_removed_at_any_depth() -> None:
    event: dict[str, Any] = {
        "model": "m",
        "prompt_tokens": 17,
        "Authorization": "x",
        "user_password": "x",
        "X-API-Key": "x",
        "request": {"messages": [{"content": "x"}], "n": 1},
        "batch": [{"text": "x", "index": 0}],
    }
    shown = scrub(event)
    assert shown["model"] == "m"
    assert shown["prompt_tokens"] == 17
    assert shown["Authorization"] == shown["user_password"] == shown["X-API-Key"] == REMOVED
    assert shown["request"] == {"messages": REMOVED, "n": 1}
    assert shown["batch"] == [{"text": REMOVED, "index": 0}]


def test_objects_show_only_their_type() -> None:
    class Request:
        def __repr__(self) -> str:
            return "Request('what somebody asked')"

    assert scrub(Request()) == "<Request>"
    assert scrub(ValueError("what somebody asked")) == "ValueError"
    assert scrub(b"what somebody asked") == "<19 bytes>"
    assert scrub(Path("/srv/x")) == "/srv/x"
    assert scrub(datetime(2026, 1, 2, tzinfo=UTC)) == "2026-01-02 00:00:00+00:00"


def test_size_and_depth_are_bounded() -> None:
    deep: Any = "end"
    for _ in range(1000):
        deep = [deep]
    assert "end" not in str(scrub(deep))
    assert len(scrub(list(range(10_000)))) == 64
    assert len(scrub({str(i): i for i in range(10_000)})) == 64
    assert len(scrub_text("x" * 10_000_000)) == 2001


@pytest.mark.parametrize(
    "text", ["a@" * 1000, "eyJ" * 700, "a." * 1000, "://" * 700, "bearer " * 300, "token=" * 300]
)
def test_hostile_text_is_no_trap(text: str) -> None:
    # catastrophic backtracking would run into the test's time limit
    assert len(scrub_text(text)) <= 4 * len(text) + 10


@given(
    st.recursive(
        st.none() | st.text() | st.integers() | st.binary(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_anything_can_be_scrubbed(value: Any) -> None:
    scrub(value)
