"""The Authorization header of a request, exactly one or none."""

from __future__ import annotations

from collections.abc import Iterable

from servicekit.errors import Reason, SixfoldError


def authorization_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """The header's value, or None. Raises INVALID_TOKEN when there are two.

    A proxy in front may judge the first and forward both; nobody may then act on the second.
    """
    found: bytes | None = None
    for name, value in headers:
        if name == b"authorization":
            if found is not None:
                raise SixfoldError(Reason.INVALID_TOKEN, "Send exactly one Authorization header.")
            found = value
    return found
