"""Events from the bus to the domain."""

from __future__ import annotations

from collections.abc import Callable

from retrieval_service.stores.records import Records
from servicekit.bus import Event
from sixfold.events.v1 import document_pb2


class DocumentEvents:
    """A handler: it may be given every event twice, and bears it."""

    def __init__(
        self, records: Records, *, accepted: Callable[[], None], removed: Callable[[], None]
    ) -> None:
        """`accepted` is called when a file may be indexed, `removed` when an index may forget something."""
        self._records = records
        self._accepted = accepted
        self._removed = removed

    async def __call__(self, event: Event) -> None:
        """Returns when the event has its effect. Those of other kinds are none of this service's business."""
        if event.type == "document.added":
            told = event.parse(document_pb2.DocumentAdded)
            await self._records.accept(event.tenant, event.id, told.store_id, told.attachment_id)
            self._accepted()
        elif event.type == "document.removed":
            event.parse(document_pb2.DocumentRemoved)
            self._removed()
