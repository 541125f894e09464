"""The gateway's own gRPC client against real gRPC servers, and against peers that misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from parts.certificates import server_certificate
from parts.fake_engine import EngineServer, FakeEngine, card

from gateway.adapters.h2 import frames
from gateway.adapters.h2.channel import Channel
from gateway.adapters.h2.headers import HeaderReader, literal
from gateway.adapters.model_client import GrpcModelClient
from gateway.openai.request import EmbeddingInput, Generation, Message
from gateway.routing.ports import Asker
from servicekit.errors import Reason, SixfoldError
from servicekit.identity import ServiceIdentity
from servicekit.rpc import Tls
from sixfold.model.v1 import generation_pb2 as gen
from sixfold.model.v1 import model_service_pb2 as pb

KEY = b"k" * 32
ASKER = Asker("tenant", "subject", "request")
Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def served() -> AsyncIterator[tuple[FakeEngine, GrpcModelClient, EngineServer]]:
    engine = FakeEngine(card("tiny"))
    server = EngineServer(engine, KEY)
    await server.start()
    client = GrpcModelClient(Channel(f"127.0.0.1:{server.port}"), ServiceIdentity("gateway", KEY))
    yield engine, client, server
    await client.close()
    await server.stop()


def generation(text: str = "hi", **changes: Any) -> Generation:
    return Generation("tiny", messages=[Message("user", [text])], **changes)


async def said(client: GrpcModelClient, request: Generation, deadline: float = 20) -> str:
    answer = client.generate(request, "tiny", ASKER, deadline)
    text = ""
    while (deltas := await answer.read()) is not None:
        text += "".join(delta.text for delta in deltas)
    return text


async def test_a_request_larger_than_every_window(served: Any) -> None:
    engine, client, _ = served
    big = "x" * 3_000_000
    texts = await asyncio.gather(*(said(client, generation(f"{n}{big}")) for n in range(3)))
    assert texts == [" word0 word1 word2"] * 3
    assert {request.messages[0].content[0].text[1:] == big for request in engine.requests} == {True}


async def test_an_answer_larger_than_every_window(served: Any) -> None:
    engine, client, _ = served

    async def large(_engine: Any, _request: Any) -> AsyncIterator[Any]:
        yield gen.Delta(text="y" * 2_000_000)
        for _ in range(100):
            yield gen.Delta(text="z" * 20_000)
        yield gen.Usage(prompt_tokens=1)

    engine.behaviours["tiny"] = large
    text = await said(client, generation())
    assert (text.count("y"), text.count("z")) == (2_000_000, 2_000_000)


async def test_many_calls_at_once_on_one_connection(served: Any) -> None:
    engine, client, _ = served
    engine.pause = 0.001
    texts = await asyncio.gather(*(said(client, generation(max_tokens=20)) for _ in range(200)))
    assert set(texts) == {"".join(f" word{n}" for n in range(20))}
    assert engine.running == 0


async def test_pieces_that_wait_come_as_one_batch_and_hold_the_engine_back(served: Any) -> None:
    engine, client, _ = served

    async def endless(_engine: Any, _request: Any) -> AsyncIterator[Any]:
        while True:
            yield gen.Delta(text="x" * 100)

    engine.behaviours["tiny"] = endless
    answer = client.generate(generation(), "tiny", ASKER, 20)
    assert await answer.read()
    await asyncio.sleep(0.3)
    sent = engine.sent
    await asyncio.sleep(0.3)
    assert engine.sent == sent  # nobody reads: nothing moves
    assert len(await answer.read() or []) > 100
    await asyncio.sleep(0.3)
    assert engine.sent > sent
    answer.stop(SixfoldError(Reason.CANCELLED, "Enough."))
    with pytest.raises(SixfoldError):
        await answer.read()
    await asyncio.wait_for(engine.cancelled.wait(), 5)


async def test_a_missing_piece_is_noticed(served: Any) -> None:
    engine, client, _ = served

    async def gap(_engine: Any, _request: Any) -> AsyncIterator[Any]:
        yield pb.GenerateResponse(sequence=0, delta=gen.Delta(text="a"))
        yield pb.GenerateResponse(sequence=2, delta=gen.Delta(text="c"))

    engine.behaviours["tiny"] = gap
    with pytest.raises(SixfoldError) as caught:
        await said(client, generation())
    assert caught.value.reason is Reason.STREAM_INTERRUPTED


async def test_an_answer_without_its_end_is_noticed(served: Any) -> None:
    engine, client, _ = served

    async def short(_engine: Any, _request: Any) -> AsyncIterator[Any]:
        yield gen.Delta(text="a")

    engine.behaviours["tiny"] = short
    with pytest.raises(SixfoldError) as caught:
        await said(client, generation())
    assert caught.value.reason is Reason.STREAM_INTERRUPTED


async def test_the_servers_own_errors_arrive_whole(served: Any) -> None:
    engine, client, _ = served

    async def full(_engine: Any, _request: Any) -> AsyncIterator[Any]:
        raise SixfoldError(
            Reason.QUEUE_FULL, "Ümlaut: full.", param="messages[2]", retry_after=1.5, metadata={"used": "9"}
        )
        yield

    engine.behaviours["tiny"] = full
    with pytest.raises(SixfoldError) as caught:
        await said(client, generation())
    error = caught.value
    assert (error.reason, error.message, error.param) == (Reason.QUEUE_FULL, "Ümlaut: full.", "messages[2]")
    assert (error.retry_after, error.metadata) == (1.5, {"used": "9"})


async def test_another_key_is_not_let_in(served: Any) -> None:
    _, _, server = served
    stranger = GrpcModelClient(Channel(f"127.0.0.1:{server.port}"), ServiceIdentity("gateway", b"x" * 32))
    with pytest.raises(SixfoldError) as caught:
        await stranger.list_models(5)
    assert caught.value.reason is Reason.INVALID_TOKEN
    await stranger.close()


async def test_nobody_there_fails_fast_and_is_found_again(served: Any) -> None:
    _, client, server = served
    assert await said(client, generation())
    await server.stop()
    for _ in range(5):
        with pytest.raises(SixfoldError) as caught:
            await said(client, generation())
        assert caught.value.reason is Reason.ENGINE_UNAVAILABLE
    await server.start()
    async with asyncio.timeout(5):
        while True:
            try:
                assert await said(client, generation())
                break
            except SixfoldError:
                await asyncio.sleep(0.05)


async def test_mutual_tls(tmp_path: Path) -> None:
    ours, other = server_certificate(tmp_path, "ours"), server_certificate(tmp_path, "other")
    trusted = Tls(ours.certificate, ours.certificate, ours.key)
    engine = FakeEngine(card("tiny"))
    server = EngineServer(engine, KEY, tls=trusted)
    await server.start()
    identity = ServiceIdentity("gateway", KEY)
    target = f"127.0.0.1:{server.port}"
    client = GrpcModelClient(Channel(target, tls=trusted), identity)
    assert await said(client, generation("x" * 500_000)) == " word0 word1 word2"
    for tls in (
        Tls(ours.certificate, other.certificate, other.key),  # shows a certificate nobody knows
        Tls(other.certificate, ours.certificate, ours.key),  # does not know the server's
        None,
    ):
        stranger = GrpcModelClient(Channel(target, tls=tls), identity)
        with pytest.raises(SixfoldError) as caught:
            await stranger.list_models(3)
        assert caught.value.reason is Reason.ENGINE_UNAVAILABLE
        await stranger.close()
    await client.close()
    await server.stop()


async def against(peer: Peer, deadline: float = 2) -> SixfoldError:
    """What a call ends with when the other side is `peer`."""

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await peer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(guarded, "127.0.0.1", 0)
    channel = Channel(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    client = GrpcModelClient(channel, ServiceIdentity("gateway", KEY))
    request = EmbeddingInput("m", ["x"], None, False, 0, b"", {})
    with pytest.raises(SixfoldError) as caught:
        await client.embed(request, "m", ASKER, deadline).result()
    await client.close()
    server.close()
    return caught.value


def _replies(*pieces: bytes, hold: float = 0) -> Peer:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(frames.PREFACE))
        await reader.read(65536)
        writer.write(frames.settings({}) + b"".join(pieces))
        await writer.drain()
        await asyncio.sleep(hold)

    return peer


def _head(flags: int, *pairs: tuple[bytes, bytes]) -> bytes:
    """A HEADERS frame on the first stream."""
    return frames.frame(frames.HEADERS, flags, 1, b"".join(literal(*pair) for pair in pairs))


def _trailers(status: bytes) -> bytes:
    return _head(frames.END_HEADERS | frames.END_STREAM, (b":status", b"200"), (b"grpc-status", status))


_OK = literal(b":status", b"200") + literal(b"content-type", b"application/grpc")


@pytest.mark.parametrize(
    ("peer", "reason"),
    [
        (_replies(), Reason.ENGINE_UNAVAILABLE),
        (_replies(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Reason.ENGINE_UNAVAILABLE),
        (_replies(frames.goaway(frames.NO_ERROR), hold=1), Reason.ENGINE_UNAVAILABLE),
        (_replies(frames.reset(1, frames.REFUSED_STREAM), hold=1), Reason.ENGINE_UNAVAILABLE),
        (_replies(frames.reset(1, frames.ENHANCE_YOUR_CALM), hold=1), Reason.QUEUE_FULL),
        (_replies(frames.frame(frames.HEADERS, 4, 1, b"\xff" * 20), hold=1), Reason.ENGINE_UNAVAILABLE),
        (_replies(_head(4, (b":status", b"503")), hold=1), Reason.ENGINE_UNAVAILABLE),
        (_replies(frames.frame(frames.DATA, 0, 1, b"\x01\0\0\0\x01x"), hold=1), Reason.ENGINE_FAILED),
        (_replies(frames.frame(frames.DATA, 0, 1, b"\0\xff\xff\xff\xff"), hold=1), Reason.ENGINE_FAILED),
        (_replies(frames.frame(frames.DATA, 8, 1, b"\xff"), hold=1), Reason.ENGINE_UNAVAILABLE),
        (_replies(_trailers(b"0"), hold=1), Reason.ENGINE_FAILED),
        (_replies(_trailers(b"xy"), hold=1), Reason.ENGINE_UNAVAILABLE),
        (_replies(_trailers(b"14"), hold=1), Reason.ENGINE_UNAVAILABLE),
        (_replies(frames.frame(frames.SETTINGS, 0, 0, b"\0"), hold=5), Reason.DEADLINE_EXCEEDED),
        (_replies(b"\x00\x00", hold=5), Reason.DEADLINE_EXCEEDED),
    ],
)  # fmt: skip
async def test_peers_that_misbehave(peer: Peer, reason: Reason) -> None:
    assert (await against(peer, deadline=0.5)).reason is reason


def test_equal_header_blocks_are_read_once() -> None:
    reader = HeaderReader()
    assert reader.read(_OK) is reader.read(_OK)
    assert reader.read(_OK)[b":status"] == b"200"
