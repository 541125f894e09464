"""model-service over gRPC: answers, vectors, cards. Every call has a deadline, every retry a limit."""

from __future__ import annotations

import array
import asyncio
import math
import random
import secrets
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import grpc.aio
import orjson

from eval_service.criteria.base import Ask, Sample
from servicekit.errors import Reason, SixfoldError
from servicekit.identity import ServiceIdentity
from servicekit.rpc import call_metadata, from_proto_error, from_rpc_error
from sixfold.model.v1 import generation_pb2 as gen
from sixfold.model.v1 import model_pb2, model_service_pb2, model_service_pb2_grpc

AUDIENCE = "model-service"
_FINISH = {
    gen.FINISH_REASON_STOP: "stop",
    gen.FINISH_REASON_LENGTH: "length",
    gen.FINISH_REASON_TOOL_CALLS: "tool_calls",
    gen.FINISH_REASON_CONTENT_FILTER: "content_filter",
}
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one call may take, and how often it is tried. Times are in seconds."""

    seconds: float = 120
    tries: int = 5
    first_wait: float = 0.5
    longest_wait: float = 15


@dataclass(slots=True)
class Answer:
    """One choice of an answer."""

    text: str = ""
    refusal: str = ""
    finish_reason: str = ""


@dataclass(frozen=True, slots=True)
class Answers:
    """All choices of an answer, who gave it and what it took."""

    choices: Sequence[Answer]
    model: str
    version: str
    usage: gen.Usage
    seconds: float


class GrpcModels:
    """Asks on a tenant's behalf: the token names it."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        identity: ServiceIdentity,
        patience: Patience = Patience(),
    ) -> None:
        self._stub = model_service_pb2_grpc.ModelServiceStub(channel)
        self._identity = identity
        self._patience = patience

    async def answer(self, tenant: str, model: str, ask: Ask) -> Sample:
        """The whole answer to one conversation."""
        found = await self.generate(tenant, to_request(model, ask))
        first = found.choices[0]
        return Sample(
            text=first.text,
            model=found.model or model,
            version=found.version,
            finish_reason=first.finish_reason,
            refusal=first.refusal,
            prompt_tokens=found.usage.prompt_tokens,
            completion_tokens=found.usage.completion_tokens,
            cached_tokens=found.usage.cached_tokens,
            seconds=found.seconds,
            asked=ask.turns,
        )

    async def generate(self, tenant: str, request: model_service_pb2.GenerateRequest) -> Answers:
        """All pieces, put together. Tried again while the service says "later"."""
        return await self._patiently(lambda: self._generate(tenant, request))

    async def embed(
        self, tenant: str, model: str, texts: Sequence[str], *, dimensions: int = 0
    ) -> list[list[float]]:
        """Vectors of length 1, in the order of the texts."""
        return (await self.embeddings(tenant, model, texts, dimensions=dimensions))[0]

    async def embeddings(
        self, tenant: str, model: str, texts: Sequence[str], *, dimensions: int = 0
    ) -> tuple[list[list[float]], int]:
        """Vectors of length 1, and the tokens that they took."""
        request = model_service_pb2.EmbedRequest(
            request_id=_id(), model=model, texts=texts, dimensions=dimensions
        )

        async def once() -> model_service_pb2.EmbedResponse:
            try:
                return await self._stub.Embed(
                    request,
                    timeout=self._patience.seconds,
                    metadata=self._metadata(tenant, request.request_id),
                )
            except grpc.aio.AioRpcError as error:
                raise from_rpc_error(error) from error

        response = await self._patiently(once)
        rows = [_floats(each.values) for each in response.embeddings]
        if len(rows) != len(texts) or not all(row and all(map(math.isfinite, row)) for row in rows):
            raise SixfoldError(Reason.ENGINE_FAILED, "The embedding model gave something else than vectors.")
        lengths = [math.sqrt(math.fsum(value * value for value in row)) or 1.0 for row in rows]
        scaled = [[value / length for value in row] for row, length in zip(rows, lengths, strict=True)]
        return scaled, response.usage.prompt_tokens

    async def card(self, tenant: str, model: str) -> model_pb2.Model:
        """What is known about a model. MODEL_NOT_FOUND."""

        async def once() -> model_pb2.Model:
            try:
                response = await self._stub.GetModel(
                    model_service_pb2.GetModelRequest(model=model),
                    timeout=min(10.0, self._patience.seconds),
                    metadata=self._metadata(tenant, _id()),
                )
            except grpc.aio.AioRpcError as error:
                raise from_rpc_error(error) from error
            return response.model

        return await self._patiently(once)

    async def _generate(self, tenant: str, request: model_service_pb2.GenerateRequest) -> Answers:
        choices = [Answer() for _ in range(request.n or 1)]
        usage, model, version = gen.Usage(), "", ""
        began = time.perf_counter()
        call = self._stub.Generate(
            request, timeout=self._patience.seconds, metadata=self._metadata(tenant, request.request_id)
        )
        try:
            async for event in call:
                kind = event.WhichOneof("event")
                if kind == "error":
                    raise from_proto_error(event.error)
                if kind == "usage":
                    usage = event.usage
                elif kind == "delta" and event.delta.choice_index < len(choices):
                    delta = event.delta
                    choice = choices[delta.choice_index]
                    choice.text += delta.text
                    choice.refusal += delta.refusal
                    choice.finish_reason = _FINISH.get(delta.finish_reason, choice.finish_reason)
                    if delta.HasField("served_by"):
                        model, version = delta.served_by.model, delta.served_by.version
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        finally:
            call.cancel()
        return Answers(choices, model, version, usage, time.perf_counter() - began)

    async def _patiently(self, once: Callable[[], Awaitable[R]]) -> R:
        patience = self._patience
        for tried in range(1, patience.tries + 1):
            try:
                return await once()
            except SixfoldError as error:
                if not error.status.retryable or tried == patience.tries:
                    raise
                wait = min(patience.longest_wait, patience.first_wait * 2 ** (tried - 1))
                # Not all at the same moment again.
                wait = max(wait * random.uniform(0.5, 1), error.retry_after or 0)  # noqa: S311
                await asyncio.sleep(min(wait, patience.longest_wait))
        raise AssertionError("unreachable")

    def _metadata(self, tenant: str, request_id: str) -> Sequence[tuple[str, str]]:
        return call_metadata(self._identity, AUDIENCE, tenant, request_id=request_id)


def to_request(model: str, ask: Ask) -> model_service_pb2.GenerateRequest:
    """The contract's words for a question."""
    request = model_service_pb2.GenerateRequest(
        request_id=_id(),
        model=model,
        messages=[gen.Message(role=role, content=[gen.ContentPart(text=text)]) for role, text in ask.turns],
        max_tokens=ask.max_tokens,
        stop=ask.stop,
    )
    for name in ("temperature", "top_p", "seed"):
        if (value := getattr(ask, name)) is not None:
            setattr(request.sampling, name, value)
    if ask.choices:
        request.response_format.choice.values.extend(ask.choices)
    elif ask.schema is not None:
        request.response_format.json_schema = orjson.dumps(dict(ask.schema))
    elif ask.json_object:
        request.response_format.json_object = True
    return request


def _floats(values: bytes) -> list[float]:
    """Of little-endian float32; nothing for what is no whole number of them."""
    if len(values) % 4:
        return []
    found = array.array("f", values)
    if sys.byteorder == "big":
        found.byteswap()
    return found.tolist()


def _id() -> str:
    return f"eval-{secrets.token_hex(12)}"
