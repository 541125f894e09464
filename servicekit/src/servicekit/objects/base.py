"""What objects are, and what a place for them must be able to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from servicekit.errors import Reason, SixfoldError


@dataclass(frozen=True, slots=True)
class Stored:
    """What was stored. `sha256` (hex) and `bytes` are of the content, encrypted or not."""

    key: str
    sha256: str
    bytes: int


class Full(Exception):
    """The place has no room left."""


class Sink(Protocol):
    """An object that is being written. Methods block; they run in threads."""

    def write(self, data: bytes) -> None:
        """Adds to it."""

    def finish(self) -> None:
        """Everything is there and durable."""

    def drop(self) -> None:
        """Forgets it, finished or not. Leaves nothing behind."""


class Source(Protocol):
    """An object that is being read. Methods block; they run in threads."""

    def read(self, size: int) -> bytes:
        """The next bytes; none at the end."""

    def close(self) -> None:
        """Lets go of it."""


class Place(Protocol):
    """Where objects lie, by relative name. Methods block; they run in threads.

    Raises FileNotFoundError for what is not there, `Full`, and any other exception when it cannot be reached.
    """

    def create(self, name: str) -> Sink:
        """A new object."""

    def publish(self, temporary: str, name: str) -> None:
        """Gives a finished object its name, at once and whole. What was there is replaced."""

    def open(self, name: str) -> Source:
        """An object's bytes."""

    def names(self, folder: str) -> Iterator[str]:
        """What lies below `folder`, which need not exist."""

    def remove(self, folder: str) -> None:
        """Everything below `folder`, which need not exist."""

    def stale(self, seconds: float) -> Iterator[str]:
        """Temporary objects that were begun longer ago than this."""

    def discard(self, name: str) -> None:
        """Removes one object, which need not exist."""

    def check(self) -> None:
        """Returns when the place can be used."""

    def close(self) -> None:
        """Lets go of connections."""


def not_found() -> SixfoldError:
    """Nothing lies under this key."""
    return SixfoldError(Reason.NOT_FOUND, "The stored object does not exist.")


def data_loss() -> SixfoldError:
    """What lies there is not what was stored."""
    return SixfoldError(Reason.DATA_LOSS, "The stored object is damaged: its checksum does not match.")


def wrong_key() -> SixfoldError:
    """Encrypted, and not with the key that is set."""
    return SixfoldError(
        Reason.SERVICE_UNAVAILABLE,
        "The stored object is encrypted with a key that this service does not have.",
    )


def unavailable() -> SixfoldError:
    """The store does not answer."""
    return SixfoldError(Reason.SERVICE_UNAVAILABLE, "The object store cannot be reached.")


def full() -> SixfoldError:
    """No room."""
    return SixfoldError(Reason.SERVICE_UNAVAILABLE, "The object store has no room left.")


def too_large(limit: int) -> SixfoldError:
    """More than the caller allows."""
    return SixfoldError(
        Reason.REQUEST_TOO_LARGE,
        f"The content is larger than {limit} bytes.",
        metadata={"limit": str(limit)},
    )
