"""Names of new things. Nobody can guess one."""

from __future__ import annotations

import secrets


def store_id() -> str:
    """Of a store."""
    return f"vs_{secrets.token_hex(12)}"


def batch_id() -> str:
    """Of a batch."""
    return f"vsfb_{secrets.token_hex(12)}"


def attachment_id() -> str:
    """Of a file's place in a store."""
    return f"att_{secrets.token_hex(12)}"
