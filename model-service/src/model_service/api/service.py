"""The ModelService servicer."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc.aio

from model_service.api.observe import Observation
from model_service.api.requests import invalid, to_addition, to_generation
from model_service.api.responses import to_delta, to_embeddings, to_model, to_served_by, to_usage
from model_service.engines.types import Usage
from model_service.models.additions import Additions
from model_service.models.catalog import Catalog, Entry
from servicekit.errors import Reason, SixfoldError, internal
from servicekit.identity import NO_TENANT, current_caller
from servicekit.logs import get_logger
from servicekit.rpc import remaining, to_proto_error
from sixfold.model.v1 import model_pb2, model_service_pb2, model_service_pb2_grpc

log = get_logger(__name__)

_Context = grpc.aio.ServicerContext[Any, Any]
_MAX_TEXTS = 2048
_PAGE, _LARGEST_PAGE = 100, 1000
Response = model_service_pb2.GenerateResponse


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """Every method finds its model, asks its engine, and translates."""

    def __init__(self, catalog: Catalog, additions: Additions | None = None) -> None:
        """Without `additions` no model can be added."""
        self._catalog = catalog
        self._additions = additions

    async def Generate(  # noqa: N802
        self, request: model_service_pb2.GenerateRequest, context: _Context
    ) -> AsyncGenerator[model_service_pb2.GenerateResponse, None]:
        """Sequence numbers from 0; the first delta says who serves; usage comes last.

        An error before the first event is the call's status, one after it an event.
        """
        with self._catalog.use(request.model, current_caller().tenant) as entry:
            engine = entry.text_engine
            generation = to_generation(
                request, deadline=remaining(), takes_extra=getattr(engine, "takes_extra", True)
            )
            operation = "chat" if generation.messages is not None else "text_completion"
            sequence = 0
            with Observation(operation, entry.card, generation) as seen:
                try:
                    async with aclosing(engine.generate(generation)) as events:
                        async for event in events:
                            if isinstance(event, Usage):
                                seen.used(event)
                                yield Response(sequence=sequence, usage=to_usage(event))
                            else:
                                delta = to_delta(event)
                                if sequence == 0:
                                    delta.served_by.CopyFrom(to_served_by(entry.card))
                                if event.finish is not None:
                                    seen.finished(event.finish.value)
                                yield Response(sequence=sequence, delta=delta)
                            sequence += 1
                except Exception as raised:
                    if sequence == 0:
                        raise
                    error = _as_told(raised)
                    seen.end(error.reason.value)
                    yield Response(sequence=sequence, error=to_proto_error(error))

    async def Embed(  # noqa: N802
        self, request: model_service_pb2.EmbedRequest, context: _Context
    ) -> model_service_pb2.EmbedResponse:
        """One vector a text."""
        if request.token_lists:
            raise SixfoldError(
                Reason.UNSUPPORTED_PARAMETER, "This service embeds text, not token ids.", param="input"
            )
        texts = list(request.texts)
        if not 1 <= len(texts) <= _MAX_TEXTS:
            raise invalid(f"1 to {_MAX_TEXTS} texts are expected.", "input")
        if not all(texts):
            raise invalid(f"The text at {texts.index('')} is empty.", f"input[{texts.index('')}]")
        with self._catalog.use(request.model, current_caller().tenant) as entry:
            engine = entry.embedding_engine
            with Observation("embeddings", entry.card) as seen:
                embedded = await engine.embed(texts, dimensions=request.dimensions or None)
                seen.used(Usage(prompt_tokens=embedded.prompt_tokens))
                return to_embeddings(embedded, entry.card)

    async def CountTokens(  # noqa: N802
        self, request: model_service_pb2.CountTokensRequest, context: _Context
    ) -> model_service_pb2.CountTokensResponse:
        """One count a text."""
        texts = list(request.texts)
        if not 1 <= len(texts) <= _MAX_TEXTS:
            raise invalid(f"1 to {_MAX_TEXTS} texts are expected.", "texts")
        with self._catalog.use(request.model, current_caller().tenant) as entry:
            counted = await entry.any_engine.count_tokens(texts)
            return model_service_pb2.CountTokensResponse(
                counts=counted.counts, exact=counted.exact, served_by=to_served_by(entry.card)
            )

    async def ListModels(  # noqa: N802
        self, request: model_service_pb2.ListModelsRequest, context: _Context
    ) -> model_service_pb2.ListModelsResponse:
        """In the order of names; a page token is the last name of the page before."""
        size = min(request.page_size or _PAGE, _LARGEST_PAGE)
        tenant = current_caller().tenant
        rest = [
            entry
            for entry in self._catalog.entries
            if entry.config.name > request.page_token and _may_see(entry, tenant)
        ]
        page = [await self._model(entry) for entry in rest[:size]]
        return model_service_pb2.ListModelsResponse(
            models=page, next_page_token=page[-1].name if len(rest) > size else ""
        )

    async def GetModel(  # noqa: N802
        self, request: model_service_pb2.GetModelRequest, context: _Context
    ) -> model_service_pb2.GetModelResponse:
        """By name or alias."""
        entry = self._catalog.find(request.model, current_caller().tenant)
        return model_service_pb2.GetModelResponse(model=await self._model(entry))

    async def LoadModel(  # noqa: N802
        self, request: model_service_pb2.LoadModelRequest, context: _Context
    ) -> model_service_pb2.LoadModelResponse:
        """Returns when the model answers."""
        entry = await self._catalog.load(request.model, request.request_id, current_caller().tenant)
        return model_service_pb2.LoadModelResponse(model=await self._model(entry))

    async def UnloadModel(  # noqa: N802
        self, request: model_service_pb2.UnloadModelRequest, context: _Context
    ) -> model_service_pb2.UnloadModelResponse:
        """Returns when the model's memory is free."""
        entry = await self._catalog.unload(request.model, request.request_id, current_caller().tenant)
        return model_service_pb2.UnloadModelResponse(model=await self._model(entry))

    async def AddModel(  # noqa: N802
        self, request: model_service_pb2.AddModelRequest, context: _Context
    ) -> model_service_pb2.AddModelResponse:
        """Returns when the model answers. It belongs to the caller's tenant."""
        tenant = _own_tenant()
        base = self._catalog.find(request.base, tenant).config.name
        entry = await self._adding.add(to_addition(request, tenant=tenant, base=base))
        return model_service_pb2.AddModelResponse(model=await self._model(entry))

    async def RemoveModel(  # noqa: N802
        self, request: model_service_pb2.RemoveModelRequest, context: _Context
    ) -> model_service_pb2.RemoveModelResponse:
        """Returns when the model's memory is free."""
        removed = await self._adding.remove(request.model, _own_tenant(), request.request_id)
        return model_service_pb2.RemoveModelResponse(removed=removed)

    @property
    def _adding(self) -> Additions:
        if self._additions is None:
            raise SixfoldError(Reason.UNIMPLEMENTED, "This service takes no models in.")
        return self._additions

    async def _model(self, entry: Entry) -> model_pb2.Model:
        return to_model(entry.card, await self._catalog.state_of(entry))


def _own_tenant() -> str:
    tenant = current_caller().tenant
    if tenant == NO_TENANT:
        raise SixfoldError(Reason.PERMISSION_DENIED, "A model is some tenant's: this call names none.")
    return tenant


def _may_see(entry: Entry, tenant: str) -> bool:
    """A service that asks on nobody's behalf keeps a list of all; it must mind the owners itself."""
    return entry.config.origin.owner in ("", tenant) or tenant == NO_TENANT


def _as_told(raised: Exception) -> SixfoldError:
    if isinstance(raised, SixfoldError):
        return raised
    log.error("answer broke off", exc_info=raised)
    return internal()
