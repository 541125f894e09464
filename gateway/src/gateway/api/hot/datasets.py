"""GET /v1/datasets/{dataset_id}/parts/{part} and GET /v1/datasets/{dataset_id}/card.

They stream from the object store to the client; a request holds about a megabyte at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.api.exchange import Exchange
from gateway.api.hot.sending import admitted, attachment, no_body, send_stored
from gateway.api.raw import RawRoute
from gateway.identity.authenticator import Authenticator
from gateway.identity.principal import Principal
from gateway.identity.roles import FINETUNE_READ
from gateway.jobs.datasets import DatasetsService, absent
from gateway.limits.admission import Admission
from gateway.retrieval.service import Call


@dataclass(frozen=True, slots=True)
class DatasetDeps:
    """What these routes stand on. Times are seconds."""

    authenticator: Authenticator
    admission: Admission
    datasets: DatasetsService | None
    """None where no training service is configured."""
    idle: float
    """How long the head of a request may be followed by nothing."""
    slow_reader: float


class DatasetsEndpoint:
    """The handlers."""

    def __init__(self, deps: DatasetDeps) -> None:
        self._deps = deps

    def routes(self) -> list[RawRoute]:
        """Where they are."""
        return [
            RawRoute("GET", "/v1/datasets/{dataset_id}/parts/{part}", self.part),
            RawRoute("GET", "/v1/datasets/{dataset_id}/card", self.card),
        ]

    async def part(self, exchange: Exchange, dataset_id: str, part: str) -> None:
        """Gives a part's rows out."""
        deps = self._deps
        async with admitted(exchange, deps.authenticator, deps.admission, FINETUNE_READ) as caller:
            await no_body(exchange, deps.idle)
            content = await self._service().part(_call(exchange, caller), dataset_id, part)
            headers = [(b"content-type", b"application/jsonl"), attachment(f"{dataset_id}-{part}.jsonl")]
            await send_stored(exchange, content, headers, slow_reader=deps.slow_reader)

    async def card(self, exchange: Exchange, dataset_id: str) -> None:
        """Gives a data set's card out."""
        deps = self._deps
        async with admitted(exchange, deps.authenticator, deps.admission, FINETUNE_READ) as caller:
            await no_body(exchange, deps.idle)
            content = await self._service().card(_call(exchange, caller), dataset_id)
            headers = [(b"content-type", b"text/markdown; charset=utf-8")]
            await send_stored(exchange, content, headers, slow_reader=deps.slow_reader)

    def _service(self) -> DatasetsService:
        if self._deps.datasets is None:
            raise absent()
        return self._deps.datasets


def _call(exchange: Exchange, caller: Principal) -> Call:
    return Call(caller, exchange.request_id)
