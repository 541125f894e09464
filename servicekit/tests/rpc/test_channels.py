"""Channels: coming back after an outage, mutual TLS, and what a call carries."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest

from servicekit.errors import Reason
from servicekit.identity import ServiceIdentity
from servicekit.rpc import Tls, call_metadata, from_rpc_error, open_channel
from sixfold.model.v1 import model_service_pb2 as pb
from sixfold.model.v1 import model_service_pb2_grpc

Servicer: Any = model_service_pb2_grpc.ModelServiceServicer  # its stub makes every method abstract

REQUEST = pb.GetModelRequest()


class Answering(Servicer):  # type: ignore[misc]
    async def GetModel(self, request: Any, context: Any) -> Any:
        return pb.GetModelResponse()


async def test_a_channel_comes_back_when_the_server_does(serve: Any) -> None:
    async with serve(Answering()) as first:
        port, metadata = first.port, first.metadata
        channel = open_channel(f"127.0.0.1:{port}")
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        await stub.GetModel(REQUEST, metadata=metadata, timeout=5)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetModel(REQUEST, metadata=metadata, timeout=5)
    assert from_rpc_error(caught.value).reason is Reason.SERVICE_UNAVAILABLE
    async with serve(Answering(), port=port):
        # the pause between two tries is at most a second, so one call with room for it gets through
        await stub.GetModel(REQUEST, metadata=metadata, timeout=10, wait_for_ready=True)
    await channel.close()


async def test_a_call_to_nobody_fails_with_words_of_ours(serve: Any) -> None:
    async with serve(Answering()) as running:
        port = running.port
    async with open_channel(f"127.0.0.1:{port}") as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetModel(REQUEST, timeout=5)
        error = from_rpc_error(caught.value)
        assert error.reason is Reason.SERVICE_UNAVAILABLE
        assert str(port) not in error.message


async def refused(port: int, channel: grpc.aio.Channel, metadata: Any) -> None:
    async with channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await model_service_pb2_grpc.ModelServiceStub(channel).GetModel(
                REQUEST, metadata=metadata, timeout=5
            )
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_mutual_tls(serve: Any, authority: Any, other_authority: Any) -> None:
    async with serve(Answering(), tls=authority.issue("model-service")) as running:
        target = f"127.0.0.1:{running.port}"
        ours = authority.issue("gateway")
        async with open_channel(target, tls=ours) as channel:
            await model_service_pb2_grpc.ModelServiceStub(channel).GetModel(
                REQUEST, metadata=running.metadata, timeout=5
            )
        no_certificate = grpc.ssl_channel_credentials(root_certificates=ours.ca.read_bytes())
        await refused(running.port, grpc.aio.secure_channel(target, no_certificate), running.metadata)
        await refused(running.port, open_channel(target), running.metadata)
        theirs = other_authority.issue("gateway")
        foreign = Tls(ours.ca, theirs.cert, theirs.key)
        await refused(running.port, open_channel(target, tls=foreign), running.metadata)
        distrusting = Tls(theirs.ca, ours.cert, ours.key)
        await refused(running.port, open_channel(target, tls=distrusting), running.metadata)


def test_tls_takes_all_three_files_or_none(authority: Any) -> None:
    class Settings:
        tls_ca = tls_cert = tls_key = None

    settings = Settings()
    assert Tls.from_settings(settings) is None
    whole = authority.issue("gateway")
    settings.tls_ca, settings.tls_cert = whole.ca, whole.cert
    with pytest.raises(SystemExit, match="SIXFOLD_TLS_KEY"):
        Tls.from_settings(settings)
    settings.tls_key = whole.key
    assert Tls.from_settings(settings) == whole
    with pytest.raises(SystemExit, match="nowhere"):
        Tls(whole.ca, whole.cert, whole.key.with_name("nowhere")).channel_credentials()


def test_metadata_names_caller_and_request(caller: ServiceIdentity) -> None:
    metadata = dict(call_metadata(caller, "model-service", "acme", subject="u", request_id="r-1"))
    assert set(metadata) == {"authorization", "x-request-id"}
    assert metadata["x-request-id"] == "r-1"
    assert call_metadata(caller, "model-service", "acme", subject="u")[0][1] == metadata["authorization"]
    assert call_metadata(caller, "model-service", "globex", subject="u")[0][1] != metadata["authorization"]


async def test_a_request_id_that_would_forge_a_log_line_is_replaced(serve: Any) -> None:
    from servicekit.rpc.metadata import accept_request_id

    assert accept_request_id("req-1:a.b_c") == "req-1:a.b_c"
    for bad in ('x" level=error', "x" * 129, "", None, b"bytes"):
        made = accept_request_id(bad)
        assert made != bad
        assert made.startswith("req-")
    await asyncio.sleep(0)
