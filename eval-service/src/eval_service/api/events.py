"""Requests and feedback that arrive on the bus, for canaries. Each counts once."""

from __future__ import annotations

from collections.abc import Callable

from eval_service import metrics
from eval_service.adapters.records import ReleaseRecords
from eval_service.release.canary import ERRORS, FEEDBACK, failed, feedback_value
from servicekit.bus import Event
from sixfold.events.v1 import request_pb2

GROUP = "eval-service.canary"


class CanaryEvents:
    """A handler for the topics of requests and feedback. `noted` is called when there is something new."""

    def __init__(
        self, releases: ReleaseRecords, *, noted: Callable[[], None], best_score: float = 1.0
    ) -> None:
        self._releases = releases
        self._noted = noted
        self._best_score = best_score

    async def __call__(self, event: Event) -> None:
        """Keeps what belongs to a running canary; everything else is somebody else's."""
        if event.type == "request.completed":
            await self._request(event)
        elif event.type == "feedback.given":
            await self._feedback(event)

    async def _request(self, event: Event) -> None:
        told = event.parse(request_pb2.RequestCompleted)
        if told.cache == "hit" or not told.request_id:
            return  # an answer out of the cache is nobody's new one
        new = await self._releases.note_answer(
            GROUP, event, told.requested_model, told.model, told.request_id, failed(told.status)
        )
        if new:
            metrics.CANARY.labels(ERRORS).inc()
            self._noted()

    async def _feedback(self, event: Event) -> None:
        told = event.parse(request_pb2.FeedbackGiven)
        value = feedback_value(told.kind, told.value, most=self._best_score)
        if value is None or not told.request_id or not told.feedback_id:
            return
        new = await self._releases.note_feedback(GROUP, event, told.feedback_id, told.request_id, value)
        if new:
            metrics.CANARY.labels(FEEDBACK).inc()
            self._noted()
