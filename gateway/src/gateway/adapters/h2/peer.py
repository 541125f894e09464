"""Who is called, and what its failures are called."""

from __future__ import annotations

from typing import NamedTuple

from servicekit.errors import Reason


class Peer(NamedTuple):
    """A kind of service as its callers' errors name it."""

    name: str
    """In a sentence, behind "The"."""
    away: Reason
    """It cannot be reached."""
    broken: Reason
    """It answered with what nobody can read."""
    cut: Reason
    """It went away in the middle of an answer."""


MODEL_SERVICE = Peer(
    "model service", Reason.ENGINE_UNAVAILABLE, Reason.ENGINE_FAILED, Reason.STREAM_INTERRUPTED
)
RETRIEVAL_SERVICE = Peer(
    "retrieval service", Reason.SERVICE_UNAVAILABLE, Reason.SERVICE_UNAVAILABLE, Reason.SERVICE_UNAVAILABLE
)
"""Whatever happens on the way, asking again may help: its mutations carry a request id."""
TRAINING_SERVICE = RETRIEVAL_SERVICE._replace(name="training service")
EVAL_SERVICE = RETRIEVAL_SERVICE._replace(name="eval service")
