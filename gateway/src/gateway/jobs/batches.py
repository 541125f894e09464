"""What callers may do with batches: scopes, ids, and files that are their own."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.files.types import NewFile
from gateway.identity.principal import require
from gateway.identity.roles import BATCHES_READ, BATCHES_WRITE
from gateway.jobs.batches_types import Batch, Left, WithFiles
from gateway.jobs.ports import Batching, Files
from gateway.jobs.types import Listed, Page
from gateway.retrieval.ids import FILE, REQUESTS, check_cursor, check_id, not_found
from gateway.retrieval.service import Call
from servicekit.errors import SixfoldError


class BatchesService:
    """Batches of the caller's tenant. Every method raises SixfoldError.

    What a batch leaves becomes files of the tenant's when the batch is first looked at: its own copies, which
    count against its room, end by themselves (after thirty days, unless the caller said when), and are not
    made again once they are deleted.
    """

    def __init__(self, batching: Batching, files: Files, *, deadline: float) -> None:
        """`deadline` is how many seconds one call to the eval service may take."""
        self._batching = batching
        self._files = files
        self._deadline = deadline

    async def create(
        self,
        call: Call,
        *,
        endpoint: str,
        input_id: str,
        metadata: Mapping[str, str],
        output_seconds: int = 0,
    ) -> WithFiles:
        """A new batch. NOT_FOUND, and no batch, when the file is not the tenant's.

        What it leaves is kept for `output_seconds`, from when it became files; 0 takes thirty days.
        """
        require(call.caller, BATCHES_WRITE)
        check_id(FILE, input_id, "input_file_id")
        file = (await self._files.refs(call.caller.tenant, [input_id])).get(input_id)
        if file is None:
            raise not_found(FILE, input_id, "input_file_id")
        batch = await self._batching.create_batch(
            call.asker,
            call.change,
            endpoint=endpoint,
            input=file,
            metadata=metadata,
            output_seconds=output_seconds,
            deadline=self._deadline,
        )
        return await self._with_files(call, batch)

    async def list(self, call: Call, page: Page) -> Listed[WithFiles]:
        """The tenant's batches, newest first. A file for which there is no room is left out."""
        require(call.caller, BATCHES_READ)
        check_cursor(REQUESTS, page.after, "after")
        found = await self._batching.list_batches(call.asker, page, deadline=self._deadline)
        told = []
        for batch in found.data:
            try:
                told.append(await self._with_files(call, batch))
            except SixfoldError:  # who asks for this batch alone is told
                told.append(WithFiles(batch, None, None))
        return Listed(told, found.has_more)

    async def get(self, call: Call, batch_id: str) -> WithFiles:
        """One batch. Raises INVALID_REQUEST when there is no room for what it left."""
        require(call.caller, BATCHES_READ)
        check_id(REQUESTS, batch_id)
        batch = await self._batching.get_batch(call.asker, batch_id, deadline=self._deadline)
        return await self._with_files(call, batch)

    async def cancel(self, call: Call, batch_id: str) -> WithFiles:
        """Calls a batch off; what was answered by then stays."""
        require(call.caller, BATCHES_WRITE)
        check_id(REQUESTS, batch_id)
        batch = await self._batching.cancel_batch(call.asker, call.change, batch_id, deadline=self._deadline)
        return await self._with_files(call, batch)

    async def _with_files(self, call: Call, batch: Batch) -> WithFiles:
        return WithFiles(
            batch,
            await self._file(call, f"{batch.id}:output", batch.output, batch.output_seconds),
            await self._file(call, f"{batch.id}:errors", batch.errors, batch.output_seconds),
        )

    async def _file(self, call: Call, token: str, left: Left | None, seconds: int) -> str | None:
        if left is None:
            return None
        wanted = NewFile(left.filename, "batch_output", seconds or None)
        return await self._files.adopt(
            call.caller.tenant, call.caller.subject, token, left.object_key, left.bytes, wanted
        )
