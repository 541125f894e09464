"""Roles and what each may do. A role never grows by a request: it comes from the verified token."""

from __future__ import annotations

from collections.abc import Mapping

MODELS_READ = "models:read"
CHAT_WRITE = "chat:write"
EMBEDDINGS_WRITE = "embeddings:write"
KEYS_WRITE = "keys:write"
MODELS_WRITE = "models:write"
STORES_READ = "stores:read"
STORES_WRITE = "stores:write"
SEARCH_READ = "search:read"
FILES_READ = "files:read"
FILES_WRITE = "files:write"

_VIEWER = frozenset({MODELS_READ, STORES_READ, SEARCH_READ, FILES_READ})
_MEMBER = _VIEWER | {CHAT_WRITE, EMBEDDINGS_WRITE, STORES_WRITE, FILES_WRITE}
_ADMIN = _MEMBER | {KEYS_WRITE, MODELS_WRITE}

ROLES: Mapping[str, frozenset[str]] = {"viewer": _VIEWER, "member": _MEMBER, "admin": _ADMIN}
"""Role name to its scopes."""

SCOPES: frozenset[str] = _ADMIN
"""Every scope there is."""
