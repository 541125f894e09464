"""Completions as `request.completed` events, into the spool."""

from __future__ import annotations

import secrets
import time

from gateway import metrics
from gateway.adapters.spool.writer import Writer
from gateway.events.completion import Completion, Outcome
from servicekit.bus.base import MAX_EVENT_BYTES
from servicekit.logs import get_logger
from sixfold.events.v1 import event_pb2, request_pb2

_SOURCE = "gateway"
_TYPE = "request.completed"
_MAX_CONTENT = MAX_EVENT_BYTES - 64 * 1024
_log = get_logger("gateway.spool")


class SpoolJournal:
    """`gateway.events.completion.Journal` over a spool."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def add(self, completion: Completion, outcome: Outcome) -> None:
        """See the port."""
        try:
            payload = encode(completion, outcome)
        except Exception:
            metrics.SPOOL_REFUSED.inc()
            _log.exception("an event could not be written", request_id=outcome.request_id)
            return
        self._writer.append(payload)


def encode(completion: Completion, outcome: Outcome) -> bytes:
    """The serialised event, with a new id."""
    content = completion.content
    data = request_pb2.RequestCompleted(
        request_id=outcome.request_id,
        operation=completion.operation,
        requested_model=completion.requested_model,
        model=completion.model,
        model_version=completion.model_version,
        engine=completion.engine,
        route=completion.route,
        status=outcome.status,
        reason=outcome.reason,
        prompt_tokens=completion.prompt_tokens,
        completion_tokens=completion.completion_tokens,
        seconds=outcome.seconds,
        first_token_seconds=completion.first_token_seconds,
        cache=completion.cache,
        stream=completion.stream,
        finish_reasons=completion.finish_reasons,
        subject=completion.subject,
        content_json=content if len(content) <= _MAX_CONTENT else b"",
        release_id=completion.release_id,
        answer_id=completion.answer_id,
    )
    for source in completion.sources:
        data.sources.add(
            store_id=source.store_id,
            file_id=source.file_id,
            passage_id=source.passage_id,
            score=source.score,
            cited=source.cited,
            filename=source.filename,
        )
    event = event_pb2.Event(
        id=f"evt_{secrets.token_hex(16)}",
        source=_SOURCE,
        type=_TYPE,
        subject=outcome.request_id,
        tenant=completion.tenant,
        traceparent=completion.traceparent,
        data=data.SerializeToString(),
    )
    now = time.time_ns()
    event.time.seconds, event.time.nanos = now // 10**9, now % 10**9 // 1000 * 1000
    return event.SerializeToString()
