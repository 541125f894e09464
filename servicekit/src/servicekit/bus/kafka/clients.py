"""Making clients, and leaving none behind that could not be made."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from kafka.errors import KafkaError, MessageSizeTooLargeError
from kafka.net.compat import KafkaNetClient

from servicekit.errors import Reason, SixfoldError
from servicekit.logs import get_logger

T = TypeVar("T")
_log = get_logger("servicekit.bus")


def make(kind: Callable[..., T], **settings: Any) -> T:
    """A client of this kind. When the broker does not answer, its threads and sockets end with the error."""
    made: list[Any] = []
    logger = logging.getLogger("kafka")
    if logger.getEffectiveLevel() > logging.DEBUG:
        # Dozens of lines a second while a broker is away, with its addresses; ours say it once.
        logger.setLevel(logging.CRITICAL)

    def network(**config: Any) -> Any:
        made.append(KafkaNetClient(**config))
        return made[-1]

    try:
        return kind(kafka_client=network, **settings)
    except BaseException:
        for client in made:
            with suppress(Exception):
                client.close()
        raise


@contextmanager
def translated() -> Iterator[None]:
    """What the broker does not do is SERVICE_UNAVAILABLE. The log says what."""
    try:
        yield
    except MessageSizeTooLargeError as error:
        raise SixfoldError(Reason.REQUEST_TOO_LARGE, "The event is larger than the broker takes.") from error
    except (KafkaError, OSError, RuntimeError) as error:  # RuntimeError: its network thread has ended
        _log.warning("broker unavailable", error=type(error).__name__)
        raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "The event log cannot be reached.") from error
