"""The servicer over a real gRPC connection, with an engine that says what it is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import numpy as np
import pytest

from model_service.api.service import ModelService
from model_service.models.catalog import Catalog
from model_service.models.config import ModelConfig
from servicekit.errors import Reason
from servicekit.identity import ServiceIdentity
from servicekit.lifecycle import Lifecycle
from servicekit.rpc import RpcServer, call_metadata, from_rpc_error, open_channel
from sixfold.model.v1 import generation_pb2 as gen
from sixfold.model.v1 import model_pb2, model_service_pb2_grpc
from sixfold.model.v1 import model_service_pb2 as msg

KEY = bytes(range(32))
NAME = "sixfold.model.v1.ModelService"


class Client:
    """A caller with a good token."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.stub: Any = model_service_pb2_grpc.ModelServiceStub(channel)

    def metadata(self) -> Any:
        return call_metadata(ServiceIdentity("gateway", KEY), "model-service", "tenant-a")

    async def ask(self, **fields: Any) -> list[msg.GenerateResponse]:
        base: dict[str, Any] = {"model": "text", "request_id": "r1", "stream": True}
        if "prompt" not in fields:
            base["messages"] = [gen.Message(role="user", content=[gen.ContentPart(text="hi")])]
        call = self.stub.Generate(
            msg.GenerateRequest(**{**base, **fields}), metadata=self.metadata(), timeout=5
        )
        return [event async for event in call]

    async def refusal(self, call: Any) -> Any:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call
        return from_rpc_error(failed.value)

    def call(self, method: str, request: Any) -> Any:
        return getattr(self.stub, method)(request, metadata=self.metadata(), timeout=5)


@pytest.fixture
async def client(text_engine: Any, embedding_engine: Any) -> AsyncIterator[Client]:
    engines = {"text": text_engine, "vectors": embedding_engine}
    catalog = Catalog(
        [ModelConfig("text", "fake://", ("default",)), ModelConfig("vectors", "fake://")],
        lambda config: engines[config.name],
    )
    await catalog.load_all()
    lifecycle = Lifecycle("model-service")
    server = RpcServer(
        "127.0.0.1:0",
        service="model-service",
        identity=ServiceIdentity("model-service", KEY),
        lifecycle=lifecycle,
    )
    server.add(model_service_pb2_grpc.add_ModelServiceServicer_to_server, ModelService(catalog), NAME)
    port = await server.start()
    lifecycle.started()
    channel = open_channel(f"127.0.0.1:{port}")
    yield Client(channel)
    await channel.close()
    await server.stop(1)


async def test_a_stream_is_numbered_says_who_serves_and_ends_with_usage(client: Client) -> None:
    events = await client.ask(model="default")
    assert [event.sequence for event in events] == [0, 1, 2, 3]
    assert [event.WhichOneof("event") for event in events] == ["delta", "delta", "delta", "usage"]
    served = events[0].delta.served_by
    assert (served.model, served.version, served.engine) == ("text", "v1", "fake")
    assert not events[1].delta.HasField("served_by")
    assert "".join(event.delta.text for event in events) == "one two three"
    assert events[2].delta.finish_reason == gen.FINISH_REASON_STOP
    assert events[3].usage.completion_tokens == 3


async def test_an_error_before_the_first_event_is_the_status(client: Client, text_engine: Any) -> None:
    text_engine.fail_at = 0
    error = await client.refusal(client.ask())
    assert (error.reason, error.message) == (Reason.ENGINE_FAILED, "It broke.")


async def test_an_error_later_is_an_event(client: Client, text_engine: Any) -> None:
    text_engine.fail_at = 2
    events = await client.ask()
    assert [event.WhichOneof("event") for event in events] == ["delta", "delta", "error"]
    assert events[2].error.reason == "ENGINE_FAILED"
    assert events[2].sequence == 2


async def test_words_of_unforeseen_errors_stay_inside(client: Client, text_engine: Any) -> None:
    text_engine.error, text_engine.fail_at = RuntimeError("password 123"), 1
    events = await client.ask()
    assert events[-1].error.reason == "INTERNAL"
    assert "123" not in events[-1].error.message


async def test_the_request_reaches_the_engine_whole(client: Client, text_engine: Any) -> None:
    turn = gen.Message(
        role="user",
        content=[
            gen.ContentPart(text="a"),
            gen.ContentPart(image=gen.Image(url="https://x/y.png", detail="low")),
        ],
        name="ann",
        extra_json=b'{"cache_control": 1}',
    )
    await client.ask(
        messages=[turn],
        sampling=gen.Sampling(temperature=0.0, seed=5),
        stop=["END"],
        n=2,
        response_format=gen.ResponseFormat(json_schema=b'{"type": "object"}'),
        tools=[gen.Tool(name="f", parameters_json=b"{}")],
        tool_choice=gen.ToolChoice(function_name="f"),
        speculation=gen.Speculation(mode=gen.Speculation.MODE_OFF),
        extra_json=b'{"top_a": 0.5}',
    )
    seen = text_engine.seen[0]
    assert seen.messages == [
        {
            "role": "user",
            "name": "ann",
            "cache_control": 1,
            "content": [
                {"type": "text", "text": "a"},
                {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
            ],
        }
    ]
    assert (seen.sampling.temperature, seen.sampling.seed, seen.sampling.top_p) == (0.0, 5, None)
    assert (seen.stop, seen.n, seen.extra) == (("END",), 2, {"top_a": 0.5})
    assert (seen.format.kind, seen.format.value) == ("json_schema", {"type": "object"})
    assert seen.tools == [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    assert seen.tool_choice == {"type": "function", "function": {"name": "f"}}
    assert seen.speculation.mode == "off"
    assert 0 < seen.deadline < 6  # gRPC rounds a timeout up on its way


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [gen.Message(role="root")]}, "messages[0].role"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"n": 1000}, "n"),
        ({"extra_json": b"[1]"}, "extra_json"),
        ({"response_format": gen.ResponseFormat(json_schema=b"{")}, "response_format"),
    ],
)
async def test_broken_requests_name_the_field(client: Client, fields: dict[str, Any], param: str) -> None:
    error = await client.refusal(client.ask(**fields))
    assert (error.reason, error.param) == (Reason.INVALID_REQUEST, param)


async def test_embeddings_come_as_little_endian_floats(client: Client) -> None:
    answer = await client.call("Embed", msg.EmbedRequest(model="vectors", texts=["a", "bb"]))
    rows = [np.frombuffer(entry.values, "<f4").tolist() for entry in answer.embeddings]
    assert rows == [[1, 0], [2, 0]]
    assert (answer.usage.prompt_tokens, answer.served_by.model) == (2, "vectors")
    error = await client.refusal(client.call("Embed", msg.EmbedRequest(model="vectors", texts=["a", ""])))
    assert (error.reason, error.param) == (Reason.INVALID_REQUEST, "input[1]")


async def test_tokens_are_counted_by_whatever_runs_the_model(client: Client) -> None:
    counted = await client.call("CountTokens", msg.CountTokensRequest(model="default", texts=["a b", ""]))
    assert (list(counted.counts), counted.exact, counted.served_by.model) == ([2, 0], True, "text")
    counted = await client.call("CountTokens", msg.CountTokensRequest(model="vectors", texts=["abc"]))
    assert (list(counted.counts), counted.exact) == ([3], False)
    error = await client.refusal(client.call("CountTokens", msg.CountTokensRequest(model="text")))
    assert (error.reason, error.param) == (Reason.INVALID_REQUEST, "texts")


async def test_models_are_listed_in_pages_and_found_by_alias(client: Client) -> None:
    first = await client.call("ListModels", msg.ListModelsRequest(page_size=1))
    rest = await client.call("ListModels", msg.ListModelsRequest(page_token=first.next_page_token))
    assert [model.name for model in (*first.models, *rest.models)] == ["text", "vectors"]
    assert rest.next_page_token == ""
    found = (await client.call("GetModel", msg.GetModelRequest(model="default"))).model
    assert (found.name, found.state, list(found.aliases)) == ("text", model_pb2.STATE_READY, ["default"])


async def test_unload_and_load(client: Client) -> None:
    gone = await client.call("UnloadModel", msg.UnloadModelRequest(model="text"))
    assert gone.model.state == model_pb2.STATE_UNLOADED
    error = await client.refusal(client.ask())
    assert (error.reason, error.metadata["state"]) == (Reason.ENGINE_UNAVAILABLE, "unloaded")
    back = await client.call("LoadModel", msg.LoadModelRequest(model="text"))
    assert back.model.state == model_pb2.STATE_READY
    assert await client.ask()


async def test_a_caller_that_leaves_frees_the_engine(client: Client, text_engine: Any) -> None:
    import asyncio

    text_engine.words = ["word"] * 10_000_000
    call = client.stub.Generate(
        msg.GenerateRequest(
            model="text", messages=[gen.Message(role="user", content=[gen.ContentPart(text="hi")])]
        ),
        metadata=client.metadata(),
        timeout=30,
    )
    await call.read()
    assert text_engine.running == 1
    call.cancel()
    async with asyncio.timeout(5):
        while text_engine.running:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
