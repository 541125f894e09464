"""What the domain asks of its records. A tenant comes first everywhere: nothing is read or written without.

Every method that writes does so in one transaction, the events of the change among it, and raises
SixfoldError(SERVICE_UNAVAILABLE) when the records cannot be reached. What does not exist, or is another
tenant's, is None, False or empty.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from retrieval_service.documents.attributes import Attributes
from retrieval_service.documents.errors import FileFault
from retrieval_service.stores.types import Attachment, Batch, FileState, NewFile, Page, Store, StoreView


@dataclass(frozen=True, slots=True)
class Attempt:
    """A call that may come again. `seal` makes its answer, which is kept with the effect for a day."""

    request_id: str
    fingerprint: bytes
    """SHA-256 of the method and the request."""
    seal: Callable[[Any], bytes]


class Repeated(Exception):
    """The call was made before, and this was its answer. Nothing was changed now."""

    def __init__(self, answer: bytes) -> None:
        super().__init__("answered before")
        self.answer = answer


class OriginalGone(Exception):
    """A file cannot stand on another's passages any more: that one has left."""


@dataclass(frozen=True, slots=True)
class Added:
    """What attaching made of the files, in the order given."""

    attachments: Sequence[Attachment]
    batch: Batch | None
    changed: Sequence[Attachment]
    """Answering ones whose attributes are others now."""


@dataclass(frozen=True, slots=True)
class Removed:
    """What is gone: by store, the attachments that answer no more."""

    attachments: Mapping[str, Sequence[str]] = field(default_factory=dict)
    heirs: Sequence[Attachment] = ()
    """Duplicates that answer from now on in the stead of what they duplicate."""

    @property
    def stores(self) -> int:
        """How many stores the file was in."""
        return len(self.attachments)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out of indexing a file."""

    passages: int
    pages: int
    usage_bytes: int
    language: str
    digest: str
    embedding_model: str
    embedding_version: str
    index_id: str
    """The attachment under whose name the passages lie in the index: its own, or its original's."""
    duplicate_of: str = ""
    near_duplicate_of: str = ""
    bands: Sequence[str] = ()
    signature: bytes = b""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Completed:
    """The row as it stands now, and the attachments of the same file that it replaced."""

    attachment: Attachment
    replaced: Sequence[str]
    heirs: Sequence[Attachment] = ()


class Records(Protocol):
    """Stores, attachments and batches of one tenant at a time."""

    async def create_store(
        self, tenant: str, store: Store, files: Sequence[NewFile], attempt: Attempt
    ) -> StoreView: ...

    async def store(self, tenant: str, store_id: str) -> StoreView | None: ...

    async def list_stores(self, tenant: str, page: Page, name: str) -> tuple[list[StoreView], bool]:
        """A page, and whether there are more beyond. INVALID_REQUEST for an unknown cursor."""
        ...

    async def update_store(
        self, tenant: str, store_id: str, changes: Mapping[str, Any], attempt: Attempt
    ) -> StoreView | None:
        """Sets the store's fields named in `changes`."""
        ...

    async def delete_store(self, tenant: str, store_id: str, attempt: Attempt) -> bool:
        """From now on it does not exist for anybody. Rows, index and events follow, by `Upkeep`."""
        ...

    async def touch(self, tenant: str, store_id: str, last_active_us: int) -> None:
        """Notes when a store was last searched."""
        ...

    async def add_files(
        self, tenant: str, store_id: str, files: Sequence[NewFile], *, batch: bool, attempt: Attempt
    ) -> Added | None:
        """Attaches files and announces those that are to be indexed. NOT_FOUND for a removed document."""
        ...

    async def attachment(self, tenant: str, store_id: str, file_id: str) -> Attachment | None:
        """The file as its owner sees it."""
        ...

    async def answering(self, tenant: str, store_id: str, file_id: str) -> Attachment | None:
        """The attachment that answers for the file, which may be an older one."""
        ...

    async def list_files(
        self, tenant: str, store_id: str, page: Page, *, batch_id: str = "", state: FileState | None = None
    ) -> tuple[list[Attachment], bool]: ...

    async def update_file(
        self, tenant: str, store_id: str, file_id: str, attributes: Attributes, attempt: Attempt
    ) -> tuple[Attachment, Sequence[Attachment]] | None:
        """The file, and all attachments that carry the new attributes."""
        ...

    async def remove_file(
        self, tenant: str, store_id: str, file_id: str, attempt: Attempt
    ) -> Removed | None: ...

    async def remove_document(self, tenant: str, file_id: str, attempt: Attempt) -> Removed:
        """Takes it out of every store, and keeps it out for good."""
        ...

    async def batch(self, tenant: str, store_id: str, batch_id: str) -> Batch | None: ...

    async def cancel_batch(
        self, tenant: str, store_id: str, batch_id: str, attempt: Attempt
    ) -> Batch | None: ...

    async def live(self, tenant: str, store_id: str) -> list[Attachment]:
        """Every attachment that answers."""
        ...

    # What indexing asks.

    async def accept(self, tenant: str, event_id: str, store_id: str, attachment_id: str) -> bool:
        """The announced file may now be indexed. False if this event was here before."""
        ...

    async def next_waiting(
        self, tenant: str, store_id: str, *, skip: Collection[str], max_bytes: int | None
    ) -> Attachment | None:
        """The smallest that waits and is not in `skip`."""
        ...

    async def begin(self, tenant: str, store_id: str, attachment_id: str) -> Attachment | None:
        """Counts one more try. None if there is nothing to do any more."""
        ...

    async def waits(self, tenant: str, store_id: str, attachment_id: str) -> bool:
        """Whether it is still to be indexed."""
        ...

    async def postpone(
        self, tenant: str, store_id: str, attachment_id: str, *, seconds: float, counted: bool
    ) -> None:
        """Not before so many seconds. The try counts only if `counted`."""
        ...

    async def same_text(self, tenant: str, store_id: str, digest: str, *, but: str) -> Attachment | None:
        """A file of the store with this text in the index, other than the file `but`."""
        ...

    async def near_texts(
        self, tenant: str, store_id: str, bands: Sequence[str], *, but: str
    ) -> list[tuple[str, bytes]]:
        """Files of the store that share a band, other than the file `but`, with their signatures."""
        ...

    async def complete(
        self, tenant: str, store_id: str, attachment_id: str, outcome: Outcome
    ) -> Completed | None:
        """Its way ends well, and older attachments of the file go. None if it was called off meanwhile.

        Raises OriginalGone for a duplicate whose original has left the index.
        """
        ...

    async def fail(
        self, tenant: str, store_id: str, attachment_id: str, fault: FileFault, *, seconds: float, dead: bool
    ) -> bool:
        """Its way ends badly. `dead` puts its event to the dead letters. False if it was called off."""
        ...


@dataclass(frozen=True, slots=True)
class Queue:
    """Files of one store that wait."""

    tenant: str
    store_id: str
    files: int


@dataclass(frozen=True, slots=True)
class Indexed:
    """What should be in a store's index, by the records."""

    complete: frozenset[str]
    """Index ids of completed attachments that have passages."""
    pending: frozenset[str]
    """Attachments that are on their way, and may have left something."""


class Upkeep(Protocol):
    """The few questions that are about all tenants at once. Answers name the tenant of each thing."""

    async def queues(self) -> list[Queue]:
        """Stores with files that may be indexed now."""
        ...

    async def waiting(self) -> int:
        """Files on their way, in all stores."""
        ...

    async def stores(self, after: tuple[str, str] | None, limit: int) -> list[Store]:
        """A page of all stores that exist, in the order of tenant and id."""
        ...

    async def deleted(self, limit: int) -> list[tuple[str, str]]:
        """Stores that were deleted and still have rows or an index."""
        ...

    async def expire(self, before_us: int, limit: int) -> list[tuple[str, str]]:
        """Deletes stores whose time was over before this, and names them."""
        ...

    async def purge(self, tenant: str, store_id: str, limit: int) -> bool:
        """Deletes so many files of a deleted store, with their events. True when none is left."""
        ...

    async def forget(self, tenant: str, store_id: str) -> None:
        """Deletes the last row of a deleted store: its index is gone."""
        ...

    async def garbage(self, limit: int, *, store_id: str = "") -> list[tuple[str, str, str]]:
        """(tenant, store, index id) of what nobody needs and may still lie in an index."""
        ...

    async def cleaned(self, tenant: str, store_id: str, index_ids: Collection[str]) -> None:
        """These are out of the index."""
        ...

    async def indexed(self, tenant: str, store_id: str) -> Indexed | None:
        """What belongs in a store's index; None if the store is gone."""
        ...

    async def requeue(self, tenant: str, store_id: str, index_ids: Collection[str]) -> list[str]:
        """Has all files with these index ids indexed anew; names the attachments."""
        ...

    async def trim(self) -> None:
        """Forgets first answers and seen events that are too old to matter."""
        ...
