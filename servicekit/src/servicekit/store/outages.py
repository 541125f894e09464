"""Which database errors are outages, worth another try, and which are mistakes in the caller's statements."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, InterfaceError

_SQLITE = frozenset({3, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 23, 26})
"""Permission, busy, locked, memory, read-only, interrupt, input/output, corrupt, full, cannot open,
protocol, authorisation, not a database. The others, a missing table say, are the caller's."""

_POSTGRES = frozenset({"25P03", "25P04", "40001", "40P01", "55P03", "57014"})
"""Transaction ended for standing idle or taking long, serialisation failure, deadlock, lock not
available, statement stopped."""

_POSTGRES_CLASSES = ("08", "28", "3D", "53", "57P", "58")
"""Connections, credentials, no such database, resources, shutdowns, the system around it."""


def is_outage(error: DBAPIError) -> bool:
    """Whether the same statement may succeed when the database is well."""
    if error.connection_invalidated:
        return True
    original = error.orig
    code = getattr(original, "sqlite_errorcode", None)
    if code is not None:
        return (code & 0xFF) in _SQLITE  # the low byte: the rest says more of the same
    state = getattr(original, "sqlstate", None)
    if state:
        return state in _POSTGRES or state.startswith(_POSTGRES_CLASSES)
    if isinstance(error, InterfaceError):
        # A closed connection, or a parameter that does not fit its column, which asyncpg calls a ValueError.
        return not isinstance(getattr(original, "__cause__", None), ValueError)
    return False
