"""What a caller learns of a failure, and what it never learns."""

from __future__ import annotations

import io
import json
import random
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from servicekit.errors import TABLE, Code, Reason, SixfoldError
from servicekit.logs import configure_logs
from servicekit.rpc import from_proto_error, from_rpc_error, to_proto_error
from servicekit.rpc.details import DETAILS
from sixfold.model.v1 import generation_pb2, model_service_pb2_grpc
from sixfold.model.v1 import model_service_pb2 as pb

Servicer: Any = model_service_pb2_grpc.ModelServiceServicer  # its stub makes every method abstract

SECRET = "the prompt said: my card is 4111"


class Failing(Servicer):  # type: ignore[misc]
    async def GetModel(self, request: Any, context: Any) -> Any:
        raise SixfoldError(
            Reason(request.model),
            "In words.",
            param="messages[2]",
            retry_after=1.25,
            metadata={"limit": "7"},
        )

    async def ListModels(self, request: Any, context: Any) -> Any:
        raise ValueError(SECRET)

    async def LoadModel(self, request: Any, context: Any) -> Any:
        return None

    async def Generate(self, request: Any, context: Any) -> Any:
        yield pb.GenerateResponse(sequence=0, delta=generation_pb2.Delta(text="a"))
        if request.model == "foreseen":
            raise SixfoldError(Reason.ENGINE_FAILED, "The engine stopped.")
        raise RuntimeError(SECRET)


async def failure(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_every_reason_crosses_with_all_its_facts(serve: Any) -> None:
    async with serve(Failing()) as running:
        for reason in Reason:
            raised = await failure(
                running.stub.GetModel(
                    pb.GetModelRequest(model=reason.value), metadata=running.metadata, timeout=5
                )
            )
            error = from_rpc_error(raised)
            assert raised.code().value[0] == error.status.grpc
            assert (error.reason, error.message, error.param) == (reason, "In words.", "messages[2]")
            assert (error.retry_after, error.metadata) == (1.25, {"limit": "7"})


async def test_an_unforeseen_exception_says_nothing_to_the_caller_and_all_to_the_log(serve: Any) -> None:
    out = io.BytesIO()
    configure_logs("model-service", "info", "json", out)
    async with serve(Failing()) as running:
        raised = await failure(
            running.stub.ListModels(pb.ListModelsRequest(), metadata=running.metadata, timeout=5)
        )
    assert raised.code() is grpc.StatusCode.INTERNAL
    sent = f"{raised.details()} {raised.trailing_metadata()}"
    assert "4111" not in sent
    assert "ValueError" not in sent
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    [line] = [line for line in lines if line["event"] == "call failed"]
    assert "ValueError" in line["exception"]
    assert line["request_id"] == "req-test"
    assert line["tenant"] == "acme"


async def test_a_response_of_the_wrong_type_says_nothing_to_the_caller(serve: Any) -> None:
    async with serve(Failing()) as running:
        raised = await failure(
            running.stub.LoadModel(pb.LoadModelRequest(), metadata=running.metadata, timeout=5)
        )
        assert from_rpc_error(raised).reason is Reason.INTERNAL
        assert "NoneType" not in (raised.details() or "")


@pytest.mark.parametrize(("model", "reason"), [("foreseen", "ENGINE_FAILED"), ("unforeseen", "INTERNAL")])
async def test_a_stream_that_breaks_keeps_what_came_before(serve: Any, model: str, reason: str) -> None:
    async with serve(Failing()) as running:
        pieces = []
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for piece in running.stub.Generate(
                pb.GenerateRequest(model=model), metadata=running.metadata, timeout=5
            ):
                pieces.append(piece.delta.text)
        assert pieces == ["a"]
        assert from_rpc_error(caught.value).reason.value == reason
        assert "4111" not in str(caught.value.details())


@pytest.mark.parametrize("method", ["GetModel", "Generate"])
async def test_bytes_that_are_no_message_are_the_callers_fault(serve: Any, method: str) -> None:
    async with serve(Failing()) as running:
        path = f"/sixfold.model.v1.ModelService/{method}"
        for raw in (b"\xff\xff\xff", b"\x0a\x05ab", b"\x0a\x02\xc3\x28"):
            if method == "GetModel":
                raised = await failure(
                    running.channel.unary_unary(path)(raw, metadata=running.metadata, timeout=5)
                )
            else:
                call = running.channel.unary_stream(path)(raw, metadata=running.metadata, timeout=5)
                raised = await failure(call.read())
            assert raised.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert from_rpc_error(raised).reason is Reason.INVALID_REQUEST


async def test_methods_that_nobody_wrote_are_unimplemented(serve: Any) -> None:
    async with serve(Failing()) as running:
        left_out = await failure(running.stub.Embed(pb.EmbedRequest(), metadata=running.metadata, timeout=5))
        unknown = await failure(running.channel.unary_unary("/no.Such/Method")(b"", timeout=5))
        assert from_rpc_error(left_out).reason is Reason.UNIMPLEMENTED
        assert from_rpc_error(unknown).reason is Reason.UNIMPLEMENTED


async def test_no_bytes_make_the_server_fail(serve: Any) -> None:
    """Random bytes, and real messages with bytes changed, to a method of each kind."""
    dice = random.Random(7)
    message = pb.GenerateRequest(request_id="r", model="foreseen", prompt="x" * 40).SerializeToString()
    allowed = {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED}
    async with serve(Parsing()) as running:
        for number in range(300):
            raw = bytearray(message) if number % 2 else bytearray(dice.randbytes(dice.randrange(64)))
            for _ in range(min(len(raw), 1 + number % 4)):
                raw[dice.randrange(len(raw))] = dice.randrange(256)
            method = ("GetModel", "Embed")[number // 2 % 2]
            call = running.channel.unary_unary(f"/sixfold.model.v1.ModelService/{method}")(
                bytes(raw), metadata=running.metadata, timeout=5
            )
            assert await call.code() in allowed


class Parsing(Servicer):  # type: ignore[misc]
    async def GetModel(self, request: Any, context: Any) -> Any:
        return pb.GetModelResponse()

    async def Embed(self, request: Any, context: Any) -> Any:
        return pb.EmbedResponse()


def test_the_codes_are_grpcs_own() -> None:
    assert {code.name: code.value for code in Code} == {code.name: code.value[0] for code in grpc.StatusCode}
    assert set(TABLE) == set(Reason)


def test_a_blocking_method_is_refused_when_it_is_added() -> None:
    from servicekit.identity import ServiceIdentity
    from servicekit.lifecycle import Lifecycle
    from servicekit.rpc import RpcServer

    class Blocking(Servicer):  # type: ignore[misc]
        def GetModel(self, request: Any, context: Any) -> Any:
            return pb.GetModelResponse()

    server = RpcServer(
        "127.0.0.1:0", service="s", identity=ServiceIdentity("s", bytes(32)), lifecycle=Lifecycle("s")
    )
    with pytest.raises(TypeError, match="GetModel"):
        server.add(
            model_service_pb2_grpc.add_ModelServiceServicer_to_server,
            Blocking(),
            "sixfold.model.v1.ModelService",
        )


def rpc_error(code: grpc.StatusCode, details: str = "", trailing: Any = ()) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing), details)


@pytest.mark.parametrize("code", list(grpc.StatusCode))
def test_a_bare_status_has_a_reason_and_words_of_ours(code: grpc.StatusCode) -> None:
    error = from_rpc_error(rpc_error(code, "ipv4:10.0.0.1:50051: Connection refused"))
    assert error.message
    assert "10.0.0.1" not in error.message
    if code is grpc.StatusCode.UNAVAILABLE:
        assert error.reason is Reason.SERVICE_UNAVAILABLE


@pytest.mark.parametrize("domain", ["googleapis.com", ""])
def test_details_of_others_are_not_shown(domain: str) -> None:
    status = Status(code=14, message="internal words")
    status.details.add().Pack(ErrorInfo(reason="QUEUE_FULL", domain=domain))
    error = from_rpc_error(
        rpc_error(grpc.StatusCode.UNAVAILABLE, trailing=[(DETAILS, status.SerializeToString())])
    )
    assert error.reason is Reason.SERVICE_UNAVAILABLE
    assert "internal words" not in error.message


def test_broken_details_fall_back_on_the_code() -> None:
    error = from_rpc_error(rpc_error(grpc.StatusCode.NOT_FOUND, trailing=[(DETAILS, b"\xff\xff")]))
    assert error.reason is Reason.NOT_FOUND


@pytest.mark.parametrize("retry_after", [None, 0.0, 0.05, 1.25, 3600.0])
def test_an_error_inside_a_stream_comes_back_whole(retry_after: float | None) -> None:
    error = SixfoldError(
        Reason.QUEUE_FULL, "Full.", param="n", retry_after=retry_after, metadata={"limit": "8"}
    )
    back = from_proto_error(to_proto_error(error))
    assert (back.reason, back.message, back.param) == (error.reason, error.message, error.param)
    assert (back.retry_after, back.metadata) == (error.retry_after, error.metadata)


def test_a_reason_of_a_newer_service_is_internal() -> None:
    told = to_proto_error(SixfoldError(Reason.NOT_FOUND, "Words."))
    told.reason = "INVENTED_LATER"
    assert from_proto_error(told).reason is Reason.INTERNAL
