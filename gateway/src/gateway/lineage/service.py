"""Puts together where an answer comes from, of what the gateway and its services know."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from gateway import metrics
from gateway.feedback.ports import FeedbackStore
from gateway.feedback.types import REQUEST_ID, Feedback
from gateway.identity.principal import require
from gateway.identity.roles import REQUESTS_READ
from gateway.jobs.audit_types import Wanted
from gateway.jobs.releases_types import Release
from gateway.jobs.types import Page
from gateway.lineage.ports import Judgements, Origins, RequestStore
from gateway.lineage.types import Data, Evaluation, Lineage, Model, Record, Trained
from gateway.retrieval.service import Call
from gateway.routing.ports import Asker, Card
from servicekit.errors import Reason, SixfoldError

_ID = re.compile(REQUEST_ID)
_GONE = frozenset({Reason.NOT_FOUND, Reason.MODEL_NOT_FOUND})
_FIRST_LOOK, _LONGEST_LOOK = 0.05, 0.25
_MOST_FEEDBACK = 100
T = TypeVar("T")


class Cards(Protocol):
    """The models that there are."""

    def cards(self, tenant: str) -> dict[str, Card]:
        """By name, those that a tenant may see."""
        ...


class LineageService:
    """Lineage of the caller's tenant's requests. The tenant is the caller's, always."""

    def __init__(
        self,
        requests: RequestStore,
        feedback: FeedbackStore,
        cards: Cards,
        origins: Origins | None,
        judgements: Judgements | None,
        *,
        fresh: Callable[[], Awaitable[None]],
        deadline: float,
        patience: float = 1.5,
    ) -> None:
        """`origins` and `judgements` are None where no such service is configured.

        `fresh` writes down what this worker has answered by now. Other workers do so by themselves, again and
        again: an id that is not there yet is looked for once more until `patience` seconds have passed.
        `deadline` is how many seconds one call to a service may take.
        """
        self._requests = requests
        self._feedback = feedback
        self._cards = cards
        self._origins = origins
        self._judgements = judgements
        self._fresh = fresh
        self._deadline = deadline
        self._patience = patience

    async def of(self, call: Call, request_id: str) -> Lineage:
        """Everything that is known of the answer to a request.

        NOT_FOUND for one that is nobody's, another tenant's, or too old. What a service that is away knows is
        missing, and a warning says so.
        """
        require(call.caller, REQUESTS_READ)
        record = await self._record(call.caller.tenant, request_id)
        if record is None:
            metrics.LINEAGE.labels("unknown").inc()
            raise SixfoldError(
                Reason.NOT_FOUND,
                "There is no request of that id, or it was answered too long ago.",
                param="request_id",
            )
        warnings: list[str] = []
        (training, dataset), (release, evaluations), feedback = await asyncio.gather(
            self._training(call.asker, record, warnings),
            self._release(call.asker, record, warnings),
            self._given(record),
        )
        metrics.LINEAGE.labels("partial" if warnings else "whole").inc()
        return Lineage(
            record=record,
            model=self._model(record, training),
            training=training,
            dataset=dataset,
            release=release,
            evaluations=evaluations,
            feedback=feedback,
            warnings=warnings,
        )

    async def _record(self, tenant: str, request_id: str) -> Record | None:
        if not _ID.fullmatch(request_id):
            return None
        found = await self._requests.find(tenant, request_id)
        if found is not None:
            return await self._first(found)
        await self._fresh()
        until, pause = time.monotonic() + self._patience, _FIRST_LOOK
        while (found := await self._requests.find(tenant, request_id)) is None:
            if time.monotonic() + pause > until:
                return None
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_LOOK)
        return await self._first(found)

    async def _first(self, record: Record) -> Record:
        """A request that got a kept response again: that response's own way, under this request's id."""
        if record.model or not record.answer_id:
            return record
        first = await self._requests.find(record.tenant, record.answer_id)
        if first is None or not first.model:
            return record
        return replace(
            record,
            model=first.model,
            version=first.version,
            engine=first.engine,
            route=first.route,
            release_id=first.release_id,
            passages=first.passages,
        )

    def _model(self, record: Record, trained: Trained | None) -> Model | None:
        if not record.model:
            return None
        card = self._cards.cards(record.tenant).get(record.model)
        if card is not None:
            return Model(record.model, record.version, card.base, card.owner)
        base = trained.base.partition("@")[0] if trained is not None else ""
        return Model(record.model, record.version, base, record.tenant if trained is not None else "")

    async def _training(
        self, asker: Asker, record: Record, warnings: list[str]
    ) -> tuple[Trained | None, Data | None]:
        origins = self._origins
        if origins is None or not record.model:
            return None, None
        try:
            trained = await _there(origins.trained(asker, record.model, deadline=self._deadline))
        except SixfoldError as error:
            warnings.append(_away("training service", "how the model was trained", error))
            return None, None
        if trained is None or not trained.dataset_id:
            return trained, None
        try:
            return trained, await _there(origins.data(asker, trained.dataset_id, deadline=self._deadline))
        except SixfoldError as error:
            warnings.append(_away("training service", "what the model was trained on", error))
            return trained, None

    async def _release(
        self, asker: Asker, record: Record, warnings: list[str]
    ) -> tuple[Release | None, Sequence[Evaluation]]:
        if self._judgements is None or not record.release_id or not record.model:
            return None, ()
        try:
            release = await self._released(self._judgements, asker, record)
            if release is None:
                return None, ()
            return release, await self._evaluations(self._judgements, asker, release)
        except SixfoldError as error:
            warnings.append(_away("eval service", "how the model came by its name", error))
            return None, ()

    async def _released(self, judgements: Judgements, asker: Asker, record: Record) -> Release | None:
        """By which this model came to answer to that name.

        A request that went over a canary to the candidate names it. One that stayed with the champion names
        the canary beside it, or one that was taken back: the model's own is the last that promoted it.
        """
        deadline = self._deadline
        release = await _there(judgements.release(asker, record.release_id, deadline=deadline))
        if release is not None and release.candidate == record.model:
            return release
        wanted = Wanted(
            alias=record.requested_model, action="promoted", candidate=record.model, until=record.at
        )
        promoted = await judgements.audit(asker, Page(1), wanted, deadline=deadline)
        if not promoted.data:
            return None
        return await _there(judgements.release(asker, promoted.data[0].release_id, deadline=deadline))

    async def _evaluations(
        self, judgements: Judgements, asker: Asker, release: Release
    ) -> Sequence[Evaluation]:
        found = await asyncio.gather(
            *(
                _there(judgements.evaluation(asker, run_id, deadline=self._deadline))
                for run_id in release.run_ids
            )
        )
        return [
            each if each is not None else Evaluation(run_id, "", "")
            for run_id, each in zip(release.run_ids, found, strict=True)
        ]

    async def _given(self, record: Record) -> Sequence[Feedback]:
        """Under either name of the answer, the oldest first."""
        found: list[Feedback] = []
        for name in filter(None, dict.fromkeys((record.id, record.answer_id))):
            found += await self._feedback.page(
                record.tenant, request_id=name, after=None, ascending=True, limit=_MOST_FEEDBACK
            )
        return sorted(found, key=lambda each: each.created_at)[:_MOST_FEEDBACK]


async def _there(asked: Awaitable[T]) -> T | None:
    """None for what is not there. Raises SixfoldError where that could not be found out."""
    try:
        return await asked
    except SixfoldError as error:
        if error.reason in _GONE:
            return None
        raise


def _away(service: str, what: str, error: SixfoldError) -> str:
    return f"The {service} could not say {what} ({error.reason.value.lower()})."
