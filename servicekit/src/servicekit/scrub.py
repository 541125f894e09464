"""Keeps secrets and personal data out of log lines."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from datetime import date, timedelta
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

REMOVED = "[removed]"

_CONTENT = (
    "messages message_content prompt prompts content contents completion input inputs output outputs "
    "text texts answer question document documents passage passages body request_body "
    "response_body arguments tool_calls"
)
_PRIVATE = (
    "authorization cookie set_cookie x_api_key api_key apikey key token access_token refresh_token id_token "
    "jwt bearer secret secrets client_secret password passwd pwd passphrase private_key credentials "
    "credential signature email e_mail phone ssn"
)
_KEYS = frozenset(f"{_CONTENT} {_PRIVATE}".split())
_KEY_ENDS = (
    "_secret",
    "_password",
    "_token",
    "_api_key",
    "_private_key",
    "_credentials",
    "_prompt",
    "_email",
)

_EMAIL = r"[\w.%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+"
_LOGIN = r"(?<=://)[^\s/@]{1,256}@"
_SECRETS = re.compile(
    rf"(?P<login>{_LOGIN})"
    rf"|(?P<email>{_EMAIL})"
    r"|(?P<jwt>\beyJ[\w-]{8,}\.[\w-]{4,}\.[\w-]*)"
    r"|(?P<bearer>\b(?:[Bb]earer|BEARER|[Bb]asic)\s+[\w.~+/=-]{8,})"
    r"|(?P<key>\b[sp]k-[\w-]{8,})"
    r"|(?P<pem>-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$))"
    r"|(?P<pair>(?i:\b(?:api_?key|token|secret|password|authorization)\b[\"']?\s*[=:]\s*[\"']?)[^\s\"',;&}]{4,})"
)
_MARKS = ("@", "eyj", "k-", "bearer", "basic", "private key", "token", "secret", "password", "authori", "api")
"""Nothing in `_SECRETS` matches a text without one of these, in lower case. Most lines have none."""
_MAX_DEPTH = 6
_MAX_ITEMS = 64


def scrub_text(text: str, limit: int = 2000) -> str:
    """The text with e-mail addresses, tokens, keys and passwords masked, cut at `limit` characters."""
    if len(text) > limit:
        # Cut first: a mask must never be paid for on megabytes. A secret cut in two still matches.
        text = text[:limit] + "…"
    lower = text.lower()
    for mark in _MARKS:
        if mark in lower:
            return _SECRETS.sub(_mask, text)
    return text


def _mask(found: re.Match[str]) -> str:
    kind = found.lastgroup
    if kind == "login":
        return REMOVED + "@"
    if kind == "pair":
        name = re.match(r"\w+", found.group())
        return f"{name.group() if name else ''}={REMOVED}"
    return REMOVED


@functools.lru_cache(maxsize=1024)
def is_secret_key(key: str) -> bool:
    """Whether a field of this name is never written, whatever it holds."""
    key = key.lower().replace("-", "_")
    return key in _KEYS or key.endswith(_KEY_ENDS)


def scrub(value: Any, limit: int = 2000, depth: int = 0) -> Any:
    """A JSON-ready copy of a value without secrets. Objects that are not plain data show only their type."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Enum):
        return scrub(value.value, limit, depth)
    if isinstance(value, str):
        return scrub_text(value, limit)
    if isinstance(value, (PurePath, UUID, date, timedelta)):
        return scrub_text(str(value), limit)
    if depth >= _MAX_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        pairs = list(value.items())[:_MAX_ITEMS]
        return {
            scrub_text(str(k), 200): REMOVED if is_secret_key(str(k)[-200:]) else scrub(v, limit, depth + 1)
            for k, v in pairs
        }
    if isinstance(value, (list, tuple, set, frozenset)):
        return [scrub(item, limit, depth + 1) for item in list(value)[:_MAX_ITEMS]]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value)} bytes>"
    if isinstance(value, BaseException):
        return type(value).__name__
    return f"<{type(value).__name__}>"
