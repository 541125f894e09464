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
FINETUNE_READ = "finetune:read"
FINETUNE_WRITE = "finetune:write"
EVALS_READ = "evals:read"
EVALS_WRITE = "evals:write"
BATCHES_READ = "batches:read"
BATCHES_WRITE = "batches:write"
FEEDBACK_READ = "feedback:read"
FEEDBACK_WRITE = "feedback:write"
RELEASES_READ = "releases:read"
RELEASES_WRITE = "releases:write"
RELEASES_APPROVE = "releases:approve"
REQUESTS_READ = "requests:read"
AUDIT_READ = "audit:read"

_VIEWER = frozenset(
    {
        MODELS_READ,
        STORES_READ,
        SEARCH_READ,
        FILES_READ,
        FINETUNE_READ,
        EVALS_READ,
        BATCHES_READ,
        FEEDBACK_READ,
        RELEASES_READ,
        REQUESTS_READ,
    }
)
_MEMBER = _VIEWER | {
    CHAT_WRITE,
    EMBEDDINGS_WRITE,
    STORES_WRITE,
    FILES_WRITE,
    FINETUNE_WRITE,
    EVALS_WRITE,
    BATCHES_WRITE,
    FEEDBACK_WRITE,
}
_ADMIN = _MEMBER | {KEYS_WRITE, MODELS_WRITE, RELEASES_WRITE, RELEASES_APPROVE, AUDIT_READ}

ROLES: Mapping[str, frozenset[str]] = {"viewer": _VIEWER, "member": _MEMBER, "admin": _ADMIN}
"""Role name to its scopes."""

SCOPES: frozenset[str] = _ADMIN
"""Every scope there is."""
