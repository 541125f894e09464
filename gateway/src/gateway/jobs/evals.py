"""What callers may do with evals and their runs: scopes, ids, and files that are their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.identity.principal import require
from gateway.identity.roles import EVALS_READ, EVALS_WRITE
from gateway.jobs.datasets import DatasetsService, absent
from gateway.jobs.measures import Comparison, Eval, Item, Report, Run
from gateway.jobs.ports import Evaluation
from gateway.jobs.types import JobStatus, Listed, Page
from gateway.retrieval.ids import EVAL, FILE, ITEM, RUN, check_cursor, check_id, not_found
from gateway.retrieval.ports import FileSource
from gateway.retrieval.service import Call
from gateway.retrieval.types import FileRef

_SOURCE = "data_source.source"
_FILE = f"{_SOURCE}.id"


class EvalsService:
    """Evals of the caller's tenant. Every method raises SixfoldError."""

    def __init__(
        self,
        evaluation: Evaluation,
        files: FileSource,
        datasets: DatasetsService | None = None,
        *,
        deadline: float,
    ) -> None:
        """`deadline` is how many seconds one call to the eval service may take.

        Without `datasets`, no run stands on one.
        """
        self._evaluation = evaluation
        self._files = files
        self._datasets = datasets
        self._deadline = deadline

    async def create(
        self,
        call: Call,
        *,
        name: str,
        config: Mapping[str, Any],
        criteria: Sequence[Any],
        metadata: Mapping[str, str],
    ) -> Eval:
        """A new eval."""
        require(call.caller, EVALS_WRITE)
        return await self._evaluation.create_eval(
            call.asker,
            call.change,
            name=name,
            config=config,
            criteria=criteria,
            metadata=metadata,
            deadline=self._deadline,
        )

    async def list(self, call: Call, page: Page) -> Listed[Eval]:
        """The tenant's evals."""
        require(call.caller, EVALS_READ)
        check_cursor(EVAL, page.after, "after")
        return await self._evaluation.list_evals(call.asker, page, deadline=self._deadline)

    async def get(self, call: Call, eval_id: str) -> Eval:
        """One eval."""
        require(call.caller, EVALS_READ)
        check_id(EVAL, eval_id)
        return await self._evaluation.get_eval(call.asker, eval_id, deadline=self._deadline)

    async def update(
        self, call: Call, eval_id: str, *, name: str | None, metadata: Mapping[str, str] | None
    ) -> Eval:
        """Changes what is not None. What is measured never changes."""
        require(call.caller, EVALS_WRITE)
        check_id(EVAL, eval_id)
        return await self._evaluation.update_eval(
            call.asker, call.change, eval_id, name=name, metadata=metadata, deadline=self._deadline
        )

    async def delete(self, call: Call, eval_id: str) -> None:
        """Deletes an eval with its runs."""
        require(call.caller, EVALS_WRITE)
        check_id(EVAL, eval_id)
        await self._evaluation.delete_eval(call.asker, call.change, eval_id, deadline=self._deadline)

    async def create_run(
        self,
        call: Call,
        eval_id: str,
        *,
        name: str,
        data_source: Mapping[str, Any],
        metadata: Mapping[str, str],
    ) -> Run:
        """A new run. NOT_FOUND, and no run, when the file or data set that it names is not the tenant's."""
        require(call.caller, EVALS_WRITE)
        check_id(EVAL, eval_id)
        return await self._evaluation.create_run(
            call.asker,
            call.change,
            eval_id,
            name=name,
            data_source=data_source,
            file=await self._rows(call, data_source),
            metadata=metadata,
            deadline=self._deadline,
        )

    async def list_runs(
        self, call: Call, eval_id: str, page: Page, *, status: JobStatus | None
    ) -> Listed[Run]:
        """An eval's runs."""
        require(call.caller, EVALS_READ)
        check_id(EVAL, eval_id)
        check_cursor(RUN, page.after, "after")
        return await self._evaluation.list_runs(
            call.asker, eval_id, page, status=status, deadline=self._deadline
        )

    async def get_run(self, call: Call, eval_id: str, run_id: str) -> Run:
        """One run."""
        require(call.caller, EVALS_READ)
        _check(eval_id, run_id)
        return await self._evaluation.get_run(call.asker, eval_id, run_id, deadline=self._deadline)

    async def cancel_run(self, call: Call, eval_id: str, run_id: str) -> Run:
        """Calls a run off."""
        require(call.caller, EVALS_WRITE)
        _check(eval_id, run_id)
        return await self._evaluation.cancel_run(
            call.asker, call.change, eval_id, run_id, deadline=self._deadline
        )

    async def delete_run(self, call: Call, eval_id: str, run_id: str) -> None:
        """Deletes a run with its items."""
        require(call.caller, EVALS_WRITE)
        _check(eval_id, run_id)
        await self._evaluation.delete_run(call.asker, call.change, eval_id, run_id, deadline=self._deadline)

    async def list_items(
        self, call: Call, eval_id: str, run_id: str, page: Page, *, status: str
    ) -> Listed[Item]:
        """A run's items; `status` is "pass", "fail" or empty."""
        require(call.caller, EVALS_READ)
        _check(eval_id, run_id)
        check_cursor(ITEM, page.after, "after")
        return await self._evaluation.list_items(
            call.asker, eval_id, run_id, page, status=status, deadline=self._deadline
        )

    async def get_item(self, call: Call, eval_id: str, run_id: str, item_id: str) -> Item:
        """One item."""
        require(call.caller, EVALS_READ)
        _check(eval_id, run_id)
        check_id(ITEM, item_id)
        return await self._evaluation.get_item(call.asker, eval_id, run_id, item_id, deadline=self._deadline)

    async def compare(self, call: Call, eval_id: str, base_id: str, run_id: str) -> Sequence[Comparison]:
        """How the run differs from another, paired on the items that both have."""
        await self.get_run(call, eval_id, run_id)
        check_id(RUN, base_id, "base_run_id")
        return await self._evaluation.compare(call.asker, base_id, run_id, deadline=self._deadline)

    async def report(self, call: Call, eval_id: str, run_id: str, *, base_id: str, format: str) -> Report:
        """A finished run as "html" or "json"; beside another one where `base_id` is not empty."""
        await self.get_run(call, eval_id, run_id)
        if base_id:
            check_id(RUN, base_id, "base_run_id")
        return await self._evaluation.report(
            call.asker, run_id, base_id=base_id, format=format, deadline=self._deadline
        )

    async def _rows(self, call: Call, data_source: Mapping[str, Any]) -> FileRef | None:
        """The file, or the data set's part, that a data source names, if it names one."""
        source = data_source.get("source")
        if not isinstance(source, dict) or source.get("type") not in ("file_id", "dataset"):
            return None
        named = source.get("id")
        if not isinstance(named, str):
            return None  # the service says what is wrong
        if source["type"] == "dataset":
            part = source.get("part", "test")
            if self._datasets is None:
                raise absent()
            return await self._datasets.rows(call, named, part if isinstance(part, str) else "", _SOURCE)
        check_id(FILE, named, _FILE)
        found = (await self._files.refs(call.caller.tenant, [named])).get(named)
        if found is None:
            raise not_found(FILE, named, _FILE)
        return found


def _check(eval_id: str, run_id: str) -> None:
    check_id(EVAL, eval_id)
    check_id(RUN, run_id)
