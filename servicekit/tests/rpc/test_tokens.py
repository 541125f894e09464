"""No call gets in without a token that was made for this service."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
import jwt
import pytest

from servicekit.errors import Reason, SixfoldError
from servicekit.identity import Caller, ServiceIdentity, current_caller
from servicekit.rpc import from_rpc_error
from sixfold.model.v1 import model_service_pb2 as pb
from sixfold.model.v1 import model_service_pb2_grpc

Servicer: Any = model_service_pb2_grpc.ModelServiceServicer  # its stub makes every method abstract

KEY = bytes(range(32))


class Asking(Servicer):  # type: ignore[misc]
    def __init__(self) -> None:
        self.seen: list[Caller] = []

    async def GetModel(self, request: Any, context: Any) -> Any:
        self.seen.append(current_caller())
        return pb.GetModelResponse()

    async def Generate(self, request: Any, context: Any) -> Any:
        self.seen.append(current_caller())
        yield pb.GenerateResponse()


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    good = {
        "iss": "sixfold",
        "sub": "gateway",
        "aud": "model-service",
        "tenant": "acme",
        "act": "u",
        "iat": now,
        "exp": now + 30,
        "jti": "1",
    }
    return {k: v for k, v in {**good, **changes}.items() if v is not None}


def signed(key: bytes = KEY, algorithm: str = "HS256", **changes: Any) -> str:
    return jwt.encode(claims(**changes), key, algorithm=algorithm)


def tampered() -> str:
    head, body, signature = signed().split(".")
    other = jwt.encode(claims(tenant="victim"), KEY, algorithm="HS256").split(".")[1]
    assert other != body
    return f"{head}.{other}.{signature}"


BAD: dict[str, tuple[Callable[[], str], Reason]] = {
    "expired": (lambda: signed(iat=int(time.time()) - 90, exp=int(time.time()) - 60), Reason.TOKEN_EXPIRED),
    "wrong audience": (lambda: signed(aud="retrieval-service"), Reason.INVALID_TOKEN),
    "no audience": (lambda: signed(aud=None), Reason.INVALID_TOKEN),
    "wrong issuer": (lambda: signed(iss="elsewhere"), Reason.INVALID_TOKEN),
    "none": (lambda: jwt.encode(claims(), "", algorithm="none"), Reason.INVALID_TOKEN),
    "other algorithm": (lambda: signed(key=KEY * 2, algorithm="HS512"), Reason.INVALID_TOKEN),
    "other key": (lambda: signed(key=bytes(32)), Reason.INVALID_TOKEN),
    "tampered": (tampered, Reason.INVALID_TOKEN),
    "no expiry": (lambda: signed(exp=None), Reason.INVALID_TOKEN),
    "long-lived": (lambda: signed(exp=int(time.time()) + 86_400), Reason.INVALID_TOKEN),
    "from the future": (
        lambda: signed(iat=int(time.time()) + 3600, exp=int(time.time()) + 3630),
        Reason.INVALID_TOKEN,
    ),
    "no tenant": (lambda: signed(tenant=None), Reason.INVALID_TOKEN),
    "empty tenant": (lambda: signed(tenant=""), Reason.INVALID_TOKEN),
    "tenant no text": (lambda: signed(tenant=["a"]), Reason.INVALID_TOKEN),
    "garbage": (lambda: "garbage", Reason.INVALID_TOKEN),
    "empty": (lambda: "", Reason.MISSING_CREDENTIALS),
}


@pytest.mark.parametrize("name", BAD)
async def test_bad_tokens_are_refused_before_the_handler(serve: Any, name: str) -> None:
    make, reason = BAD[name]
    servicer = Asking()
    async with serve(servicer) as running:
        metadata = (("authorization", f"Bearer {make()}"),)
        with pytest.raises(grpc.aio.AioRpcError) as unary:
            await running.stub.GetModel(pb.GetModelRequest(), metadata=metadata, timeout=5)
        with pytest.raises(grpc.aio.AioRpcError) as stream:
            async for _ in running.stub.Generate(pb.GenerateRequest(), metadata=metadata, timeout=5):
                pass
        for caught in (unary, stream):
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
            assert from_rpc_error(caught.value).reason is reason
    assert servicer.seen == []


@pytest.mark.parametrize("value", ["", "Basic abc", "token"])
async def test_no_bearer_no_entry(serve: Any, value: str) -> None:
    async with serve(Asking()) as running:
        metadata = (("authorization", value),) if value else ()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await running.stub.GetModel(pb.GetModelRequest(), metadata=metadata, timeout=5)
        assert from_rpc_error(caught.value).reason is Reason.MISSING_CREDENTIALS


async def test_what_is_not_authenticated_is_not_parsed(serve: Any) -> None:
    async with serve(Asking()) as running:
        call = running.channel.unary_unary("/sixfold.model.v1.ModelService/GetModel")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"\xff\xff", timeout=5)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_the_handler_knows_its_caller(serve: Any) -> None:
    servicer = Asking()
    async with serve(servicer) as running:
        await running.stub.GetModel(pb.GetModelRequest(), metadata=running.metadata, timeout=5)
        async for _ in running.stub.Generate(pb.GenerateRequest(), metadata=running.metadata, timeout=5):
            pass
        other = ServiceIdentity("eval-service", KEY).token("model-service", "globex")
        await running.stub.GetModel(
            pb.GetModelRequest(), metadata=(("authorization", f"Bearer {other}"),), timeout=5
        )
    assert servicer.seen == [
        Caller("gateway", "acme", "user-1"),
        Caller("gateway", "acme", "user-1"),
        Caller("eval-service", "globex", ""),
    ]


def test_outside_a_call_nobody_is_the_caller() -> None:
    with pytest.raises(SixfoldError) as caught:
        current_caller()
    assert caught.value.reason is Reason.MISSING_CREDENTIALS
