"""A model service for tests: the real contract over real gRPC, with answers that a test decides.

Run it by itself for measurements, from `tests/`: `python -m parts.fake_engine PORT KEY_FILE [SECONDS]`, where
SECONDS lie between two pieces.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc

from servicekit.errors import Reason, SixfoldError
from servicekit.identity import Caller, ServiceIdentity, current_caller, load_key
from servicekit.lifecycle import Lifecycle
from servicekit.rpc import RpcServer, Tls, to_proto_error
from sixfold.model.v1 import generation_pb2 as gen
from sixfold.model.v1 import model_pb2, model_service_pb2_grpc
from sixfold.model.v1 import model_service_pb2 as pb

Events = AsyncIterator[gen.Delta | gen.Usage | SixfoldError | pb.GenerateResponse]
Behaviour = Callable[["FakeEngine", pb.GenerateRequest], Events]


def card(
    name: str, *, aliases: tuple[str, ...] = (), version: str = "v1", capabilities: str = ""
) -> model_pb2.Model:
    """A model's card. `capabilities` are the contract's words, by default those of a chat model."""
    words = (capabilities or "chat completion structured_output tools logprobs seed").split()
    return model_pb2.Model(
        name=name,
        version=version,
        aliases=aliases,
        engine="fake",
        state=model_pb2.STATE_READY,
        context_tokens=4096,
        capabilities=[f"CAPABILITY_{word.upper()}" for word in words],
    )


async def words(engine: FakeEngine, request: pb.GenerateRequest) -> Events:
    """Says " word0", " word1", ... max_tokens of them (3 when it is left open) a choice."""
    count = request.max_tokens or 3
    by = gen.ServedBy(model=request.model, version=engine.version(request.model), engine="fake")
    for choice in range(request.n or 1):
        for index in range(count):
            delta = gen.Delta(choice_index=choice, text=f" word{index}", token_count=1)
            if choice == index == 0:
                delta.served_by.CopyFrom(by)
            yield delta
            if engine.pause:
                await asyncio.sleep(engine.pause)
        yield gen.Delta(choice_index=choice, finish_reason=gen.FINISH_REASON_STOP)
    yield gen.Usage(prompt_tokens=7, completion_tokens=count * (request.n or 1))


class FakeEngine(model_service_pb2_grpc.ModelServiceServicer):
    """Keeps what it was asked; `behaviours` maps a model to what it does."""

    def __init__(self, *models: model_pb2.Model) -> None:
        self.models = list(models)
        self.behaviours: dict[str, Behaviour] = {}
        self.requests: list[pb.GenerateRequest] = []
        self.embed_requests: list[pb.EmbedRequest] = []
        self.count_requests: list[pb.CountTokensRequest] = []
        self.callers: list[Caller] = []
        self.metadata: list[dict[str, Any]] = []
        self.deadlines: list[float] = []
        self.pause = 0.0
        self.running = 0
        self.cancelled = asyncio.Event()
        self.cancels = 0
        self.sent = 0
        self.removed: set[str] = set()

    def version(self, model: str) -> str:
        """The version on a model's card."""
        return next((known.version for known in self.models if known.name == model), "")

    async def Generate(self, request: pb.GenerateRequest, context: Any) -> AsyncIterator[pb.GenerateResponse]:
        self.requests.append(request)
        self.callers.append(current_caller())
        self.metadata.append(dict(context.invocation_metadata()))
        self.deadlines.append(context.time_remaining())
        self.running += 1
        ended = False
        try:
            behaviour = self.behaviours.get(request.model, words)
            sequence = 0
            async for event in behaviour(self, request):
                response = pb.GenerateResponse(sequence=sequence)
                if isinstance(event, pb.GenerateResponse):
                    response = event  # as a test made it, its sequence too
                elif isinstance(event, gen.Delta):
                    response.delta.CopyFrom(event)
                elif isinstance(event, gen.Usage):
                    response.usage.CopyFrom(event)
                else:
                    response.error.CopyFrom(to_proto_error(event))
                yield response
                sequence += 1
                self.sent += 1
            ended = True
        except SixfoldError:
            ended = True
            raise
        finally:
            # A cancelled call ends in CancelledError, or in whatever a write to it raises.
            if not ended:
                self.cancels += 1
                self.cancelled.set()
            self.running -= 1

    async def Embed(self, request: pb.EmbedRequest, context: Any) -> pb.EmbedResponse:
        self.embed_requests.append(request)
        self.callers.append(current_caller())
        count = len(request.texts) or len(request.token_lists)
        vector = b"\x00\x00\x80\x3f\x00\x00\x00\x3f"  # 1.0, 0.5
        return pb.EmbedResponse(
            embeddings=[gen_embedding(vector) for _ in range(count)],
            usage=gen.Usage(prompt_tokens=count * 4),
            served_by=gen.ServedBy(model=request.model, version="v1", engine="fake"),
        )

    async def CountTokens(self, request: pb.CountTokensRequest, context: Any) -> pb.CountTokensResponse:
        self.count_requests.append(request)
        return pb.CountTokensResponse(counts=[len(text.split()) for text in request.texts], exact=True)

    async def GetModel(self, request: pb.GetModelRequest, context: Any) -> pb.GetModelResponse:
        raise SixfoldError(Reason.UNIMPLEMENTED, "The double does not do this.")

    async def LoadModel(self, request: pb.LoadModelRequest, context: Any) -> pb.LoadModelResponse:
        raise SixfoldError(Reason.UNIMPLEMENTED, "The double does not do this.")

    async def UnloadModel(self, request: pb.UnloadModelRequest, context: Any) -> pb.UnloadModelResponse:
        raise SixfoldError(Reason.UNIMPLEMENTED, "The double does not do this.")

    async def AddModel(self, request: pb.AddModelRequest, context: Any) -> pb.AddModelResponse:
        raise SixfoldError(Reason.UNIMPLEMENTED, "The double does not do this.")

    async def RemoveModel(self, request: pb.RemoveModelRequest, context: Any) -> pb.RemoveModelResponse:
        if request.request_id in self.removed:
            return pb.RemoveModelResponse(removed=True)
        own = (request.model, current_caller().tenant)
        left = [known for known in self.models if (known.name, known.owner) != own]
        gone, self.models = len(left) < len(self.models), left
        if gone:
            self.removed.add(request.request_id)
        return pb.RemoveModelResponse(removed=gone)

    async def ListModels(self, request: pb.ListModelsRequest, context: Any) -> pb.ListModelsResponse:
        return pb.ListModelsResponse(models=self.models)


def gen_embedding(values: bytes) -> pb.Embedding:
    """One vector."""
    return pb.Embedding(values=values)


class EngineServer:
    """A fake engine behind the server that every service of the platform has."""

    def __init__(self, engine: FakeEngine, key: bytes, port: int = 0, tls: Tls | None = None) -> None:
        self.engine = engine
        self._tls = tls
        self._key = key
        self.port = port
        self._server: RpcServer | None = None

    async def start(self) -> None:
        """Listens; `port` is then the real one."""
        lifecycle = Lifecycle("model-service")
        self._server = RpcServer(
            f"127.0.0.1:{self.port}",
            service="model-service",
            identity=ServiceIdentity("model-service", self._key),
            lifecycle=lifecycle,
            tls=self._tls,
        )
        self._server.add(
            model_service_pb2_grpc.add_ModelServiceServicer_to_server,
            self.engine,
            "sixfold.model.v1.ModelService",
        )
        self.port = await self._server.start()
        lifecycle.started()

    async def stop(self, grace: float = 0) -> None:
        """Stops at once, as a crash would look to its callers."""
        if self._server is not None:
            await self._server.stop(grace)
            self._server = None


def raising(reason: Reason, *, after: int = 0, retry_after: float | None = None) -> Behaviour:
    """A behaviour that fails with a status, after so many pieces."""

    async def behave(engine: FakeEngine, request: pb.GenerateRequest) -> Events:
        for index in range(after):
            yield gen.Delta(text=f" word{index}", token_count=1)
        raise SixfoldError(reason, "The double was told to fail.", retry_after=retry_after)

    return behave


async def _main() -> None:
    port, key = int(sys.argv[1]), load_key(Path(sys.argv[2]))
    embedder = card("all-minilm-l6-v2", capabilities="embeddings")
    engine = FakeEngine(card("smollm2-135m-instruct", aliases=("default",)), embedder)
    engine.pause = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
    server = EngineServer(engine, key, port)
    await server.start()
    print(f"listening on {server.port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())

__all__ = ["EngineServer", "FakeEngine", "card", "grpc", "raising", "words"]
