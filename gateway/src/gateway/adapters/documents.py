"""Files as the retrieval service has them: forgotten there before they are deleted here."""

from __future__ import annotations

import secrets

from gateway.retrieval.ports import Retrieval
from gateway.routing.ports import Asker


class RetrievalDocuments:
    """`gateway.files.ports.Documents` over the retrieval service."""

    def __init__(self, retrieval: Retrieval, *, deadline: float) -> None:
        self._retrieval = retrieval
        self._deadline = deadline

    async def remove(self, tenant: str, subject: str, file_id: str) -> None:
        # The change is named for the file: a deletion that is repeated is the same one.
        asker = Asker(tenant, subject, f"req_{secrets.token_hex(12)}")
        await self._retrieval.remove_document(asker, f"delete-{file_id}", file_id, deadline=self._deadline)
