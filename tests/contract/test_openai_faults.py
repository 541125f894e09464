"""What can go wrong behind `openai+http://`: a server whose every byte the test decides."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from parts.openai_upstream import Exchange, Handler, ScriptedUpstream

from model_service.adapters.openai import OpenAIEmbeddings, OpenAIEngine
from model_service.engines.types import Delta, Finish, Format, Generation, Sampling, Usage
from servicekit.errors import Reason, SixfoldError

CHAT = [{"role": "user", "content": "hi", "unknown": {"kept": True}}]


def ask(**fields: Any) -> Generation:
    return Generation(
        **{"request_id": "r", "model": "m", "messages": CHAT, "max_tokens": 8, "deadline": 10} | fields
    )


@asynccontextmanager
async def upstream(handler: Handler, **options: Any) -> AsyncIterator[tuple[OpenAIEngine, ScriptedUpstream]]:
    """A started engine before a server that answers /models itself and leaves the rest to `handler`."""

    async def handle(exchange: Exchange) -> None:
        if exchange.path == "/v1/models":
            await exchange.answer(200, {"data": [{"id": "real-name", "max_model_len": 4096}]})
        else:
            await handler(exchange)

    async with ScriptedUpstream(handle) as server:
        engine = OpenAIEngine("m", f"openai+{server.url}", {"model": "real-name", **options})
        await engine.start()
        try:
            yield engine, server
        finally:
            await engine.close()


async def collect(engine: OpenAIEngine, request: Generation) -> tuple[list[Delta], Usage]:
    *deltas, usage = [event async for event in engine.generate(request)]
    assert isinstance(usage, Usage)
    return [delta for delta in deltas if isinstance(delta, Delta)], usage


async def failure(engine: OpenAIEngine, request: Generation | None = None) -> SixfoldError:
    with pytest.raises(SixfoldError) as raised:
        await collect(engine, request or ask())
    assert engine.load().running == 0
    return raised.value


async def test_everything_the_caller_said_arrives(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-very-secret\n")

    async def handler(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.end()

    async with upstream(handler, api_key_file=tmp_path / "key", headers={"x-team": "fox"}) as (
        engine,
        server,
    ):
        request = ask(
            sampling=Sampling(temperature=0.0, top_p=0.5, seed=3, logit_bias={7: 1.5}),
            stop=("a", "b"),
            n=2,
            logprobs=True,
            top_logprobs=3,
            format=Format("json_schema", {"type": "object"}),
            tools=[{"type": "function", "function": {"name": "f", "x-own": 1}}],
            tool_choice="required",
            extra={"reasoning_effort": "low", "vendor": {"deep": [1]}},
        )
        await collect(engine, request)
        sent = server.seen[-1]
        assert sent.path == "/v1/chat/completions"
        assert sent.headers["authorization"] == "Bearer sk-very-secret"
        assert sent.headers["x-team"] == "fox"
        schema = {"name": "answer", "schema": {"type": "object"}, "strict": True}
        assert sent.body == {
            "model": "real-name",
            "messages": CHAT,
            "temperature": 0.0,
            "top_p": 0.5,
            "seed": 3,
            "logit_bias": {"7": 1.5},
            "max_tokens": 8,
            "stop": ["a", "b"],
            "n": 2,
            "logprobs": True,
            "top_logprobs": 3,
            "response_format": {"type": "json_schema", "json_schema": schema},
            "tools": [{"type": "function", "function": {"name": "f", "x-own": 1}}],
            "tool_choice": "required",
            "stream": True,
            "stream_options": {"include_usage": True},
            "reasoning_effort": "low",
            "vendor": {"deep": [1]},
        }


async def test_what_nobody_here_knows_is_kept() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk(": keep-alive\n\nevent: message\nid: 7\nretry: 10\n")
        await exchange.event(
            {
                "choices": [{"index": 0, "delta": {"role": "assistant", "content": "hi", "audio": "x"}}],
                "vendor": {"a": 1},
            }
        )
        await exchange.event(
            {"choices": [{"index": 0, "delta": {"reasoning_content": "hm"}}], "vendor": {"a": 1}}
        )
        call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x":'}}
        await exchange.event({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]})
        more = {"index": 0, "function": {"arguments": "1}"}}
        await exchange.event(
            {"choices": [{"index": 0, "delta": {"tool_calls": [more]}, "finish_reason": "tool_calls"}]}
        )
        usage = {
            "prompt_tokens": 9,
            "completion_tokens": 4,
            "total_tokens": 13,
            "prompt_tokens_details": {"cached_tokens": 5},
            "completion_tokens_details": {"reasoning_tokens": 2},
            "cost": 0.25,
        }
        await exchange.event({"choices": [], "usage": usage, "timings": {"ms": 3}})
        await exchange.event("[DONE]")
        await exchange.raw(b"0\r\n\r\n")

    async with upstream(handler) as (engine, _):
        deltas, usage = await collect(engine, ask())
        first, thought, call, last = deltas
        assert (first.text, first.extra) == ("hi", {"vendor": {"a": 1}, "audio": "x"})
        assert (thought.reasoning, thought.extra) == ("hm", None)
        assert [(piece.id, piece.name, piece.arguments) for piece in call.tool_calls] == [
            ("c1", "f", '{"x":')
        ]
        assert last.tool_calls[0].arguments == "1}"
        assert last.finish is Finish.TOOL_CALLS
        assert (
            usage.prompt_tokens,
            usage.completion_tokens,
            usage.cached_tokens,
            usage.reasoning_tokens,
        ) == (9, 4, 5, 2)
        assert usage.extra is not None
        assert (usage.extra["cost"], usage.extra["timings"]) == (0.25, {"ms": 3})


async def test_a_whole_answer_in_place_of_a_stream() -> None:
    async def handler(exchange: Exchange) -> None:
        message = {"role": "assistant", "content": "hello", "tool_calls": None, "annotations": ["kept"]}
        choices = [{"index": place, "message": message, "finish_reason": "stop"} for place in range(2)]
        await exchange.answer(
            200, {"choices": choices, "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
        )

    async with upstream(handler) as (engine, server):
        for stream in (False, True):  # some servers do not stream, whatever they are asked
            deltas, usage = await collect(engine, ask(stream=stream, n=2))
            assert [(delta.choice, delta.text, delta.finish) for delta in deltas] == [
                (0, "hello", Finish.STOP),
                (1, "hello", Finish.STOP),
            ]
            assert deltas[0].extra == {"annotations": ["kept"]}
            assert usage.completion_tokens == 2
        assert "stream" not in server.seen[1].body


async def test_usage_is_estimated_and_says_so_where_the_server_gives_none() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.text("a")
        await exchange.text("b", finish_reason="stop")
        await exchange.raw(b"0\r\n\r\n")

    async with upstream(handler) as (engine, _):
        deltas, usage = await collect(engine, ask())
        assert "".join(delta.text for delta in deltas) == "ab"
        assert usage.extra == {"estimated": True}
        assert usage.completion_tokens == 2
        assert usage.prompt_tokens > 0


@pytest.mark.parametrize(
    ("status", "body", "headers", "reason", "retry_after"),
    [
        (
            400,
            {"error": {"code": "context_length_exceeded", "message": "x"}},
            {},
            Reason.CONTEXT_LENGTH_EXCEEDED,
            None,
        ),
        (
            400,
            {"error": {"message": "maximum context length is 5"}},
            {},
            Reason.CONTEXT_LENGTH_EXCEEDED,
            None,
        ),
        (400, {"error": {"message": "bad", "param": "top_p"}}, {}, Reason.INVALID_REQUEST, None),
        (422, {"detail": "bad"}, {}, Reason.INVALID_REQUEST, None),
        (401, {"error": {"message": "wrong key sk-very-secret"}}, {}, Reason.ENGINE_UNAVAILABLE, None),
        (403, b"<html>", {}, Reason.ENGINE_UNAVAILABLE, None),
        (404, {"error": {"code": "model_not_found"}}, {}, Reason.MODEL_NOT_FOUND, None),
        (413, b"", {}, Reason.REQUEST_TOO_LARGE, None),
        (429, {}, {"retry_after": "7"}, Reason.QUEUE_FULL, 7.0),
        (429, {}, {"retry_after_ms": "250"}, Reason.QUEUE_FULL, 0.25),
        (429, {}, {"retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}, Reason.QUEUE_FULL, 0.0),
        (429, {}, {"retry_after": "soon"}, Reason.QUEUE_FULL, 1.0),
        (429, {"error": {"code": "insufficient_quota"}}, {}, Reason.ENGINE_UNAVAILABLE, None),
        (500, b"Traceback (most recent call last)", {}, Reason.ENGINE_FAILED, None),
        (502, b"", {}, Reason.ENGINE_FAILED, None),
        (503, {}, {"retry_after": "3"}, Reason.ENGINE_UNAVAILABLE, 3.0),
        (307, b"", {"location": "http://127.0.0.1:9/stolen"}, Reason.ENGINE_UNAVAILABLE, None),
    ],
)
async def test_refusals(
    status: int, body: Any, headers: dict[str, str], reason: Reason, retry_after: float | None
) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.answer(status, body, **headers)

    async with upstream(handler) as (engine, _):
        error = await failure(engine)
        assert error.reason is reason
        if retry_after is None:
            assert error.retry_after is None
        elif retry_after == 0.0:
            assert error.retry_after in (0.0, 1.0)
        else:
            assert error.retry_after == retry_after
        assert "secret" not in error.message
        assert "Traceback" not in error.message
        assert error.param in (None, "top_p", "messages")


async def _cut_before(exchange: Exchange) -> None:
    exchange.writer.close()


async def _cut_inside(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.text("half")
    exchange.writer.close()


async def _end_without_finish(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.text("half")
    await exchange.raw(b"0\r\n\r\n")


async def _not_json(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.text("half")
    await exchange.event("{not json")
    await exchange.end()


async def _not_chunks(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.event({"choices": [{"delta": {"content": {"no": "text"}}}]})
    await exchange.end()


async def _list_of_nothing(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.event([1, 2])
    await exchange.end()


async def _error_in_the_stream(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.text("half")
    await exchange.event({"error": {"message": "CUDA out of memory at /secret/path", "code": 500}})


async def _error_at_once(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.event({"error": {"message": "maximum context length", "code": 400}})


async def _endless_line(exchange: Exchange) -> None:
    await exchange.head()
    for _ in range(40):
        await exchange.chunk(b"data: " + b"x" * 1000)


async def _endless_lines_of_one_event(exchange: Exchange) -> None:
    await exchange.head()
    for _ in range(40):
        await exchange.chunk(b"data: " + b"x" * 1000 + b"\n")


async def _endless_body(exchange: Exchange) -> None:
    await exchange.head()
    for _ in range(400):
        await exchange.text("y" * 1000)


async def _html(exchange: Exchange) -> None:
    await exchange.raw(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>")


async def _not_http(exchange: Exchange) -> None:
    await exchange.raw(b"\x16\x03\x01 what is this\r\n\r\n")
    exchange.writer.close()


async def _silent_before(exchange: Exchange) -> None:
    await exchange.left.wait()


async def _silent_after_the_head(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.left.wait()


async def _silent_inside(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.text("half")
    await exchange.left.wait()


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (_cut_before, Reason.ENGINE_FAILED),
        (_cut_inside, Reason.STREAM_INTERRUPTED),
        (_end_without_finish, Reason.STREAM_INTERRUPTED),
        (_not_json, Reason.ENGINE_FAILED),
        (_not_chunks, Reason.ENGINE_FAILED),
        (_list_of_nothing, Reason.ENGINE_FAILED),
        (_error_in_the_stream, Reason.STREAM_INTERRUPTED),
        (_error_at_once, Reason.CONTEXT_LENGTH_EXCEEDED),
        (_endless_line, Reason.ENGINE_FAILED),
        (_endless_lines_of_one_event, Reason.ENGINE_FAILED),
        (_endless_body, Reason.ENGINE_FAILED),
        (_html, Reason.ENGINE_FAILED),
        (_not_http, Reason.ENGINE_FAILED),
        (_silent_before, Reason.ENGINE_FAILED),
        (_silent_after_the_head, Reason.ENGINE_FAILED),
        (_silent_inside, Reason.STREAM_INTERRUPTED),
    ],
)
async def test_broken_answers(handler: Handler, reason: Reason) -> None:
    limits = {
        "first_token_timeout": 0.3,
        "chunk_timeout": 0.3,
        "max_line_bytes": 10_000,
        "max_body_bytes": 200_000,
    }
    async with upstream(handler, **limits) as (engine, _):
        error = await failure(engine)
        assert error.reason is reason
        assert "secret" not in error.message


@pytest.mark.parametrize("handler", [_silent_before, _silent_after_the_head, _silent_inside])
async def test_the_deadline_ends_a_silent_answer(handler: Handler) -> None:
    async with upstream(handler) as (engine, _):
        error = await failure(engine, ask(deadline=0.3))
        assert error.reason is Reason.DEADLINE_EXCEEDED


@pytest.mark.parametrize("handler", [_silent_before, _silent_inside])
async def test_leaving_closes_the_connection_at_once(handler: Handler) -> None:
    async with upstream(handler) as (engine, server):

        async def read() -> None:
            async with aclosing(engine.generate(ask())) as events:
                async for _ in events:
                    pass

        task = asyncio.create_task(read())
        while len(server.seen) < 2:  # noqa: ASYNC110 - the first is /models
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.wait_for(server.seen[-1].left.wait(), 5)
        assert engine.load().running == 0


async def test_bytes_cut_anywhere_read_the_same() -> None:
    text = "żółć 🦊 你好"
    events = b"".join(
        b"data: "
        + json.dumps({"choices": [{"index": 0, "delta": {"content": letter}}]}, ensure_ascii=False).encode()
        + end
        for letter, end in zip(text, [b"\n\n", b"\r\n\r\n"] * len(text), strict=False)
    )
    events += b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]'

    async def handler(exchange: Exchange) -> None:
        await exchange.head()
        for place in range(0, len(events), 7):
            await exchange.chunk(events[place : place + 7])
        await exchange.raw(b"0\r\n\r\n")

    async with upstream(handler) as (engine, _):
        deltas, _usage = await collect(engine, ask())
        assert "".join(delta.text for delta in deltas) == text


async def test_a_kept_connection_that_was_closed_is_replaced() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.end()
        exchange.writer.close()  # says nothing of it in its headers

    async with upstream(handler, max_running=1) as (engine, server):
        for _ in range(5):
            await collect(engine, ask())
        assert len(server.seen) >= 6


async def test_connections_are_kept_and_bounded() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.head()
        await asyncio.sleep(0.02)
        most.append(server.open)
        await exchange.end()

    most: list[int] = []
    async with upstream(handler, max_running=3, max_waiting=20) as (engine, server):
        await asyncio.gather(*(collect(engine, ask()) for _ in range(15)))
        assert max(most) == 3


async def test_a_server_that_is_not_there() -> None:
    async with upstream(_silent_before) as (engine, server):
        url = server.url
    assert (await failure(engine)).reason is Reason.ENGINE_UNAVAILABLE
    away = OpenAIEngine("m", f"openai+{url}", {})
    for attempt in (away.start, away.health):
        with pytest.raises(SixfoldError) as gone:
            await attempt()
        assert gone.value.reason is Reason.ENGINE_UNAVAILABLE
    await away.close()


async def test_closing_ends_what_runs() -> None:
    async with upstream(_silent_inside) as (engine, _):
        events = engine.generate(ask())
        await anext(events)
        await engine.close()
        with pytest.raises(SixfoldError) as gone:
            await anext(events)
        assert gone.value.reason is Reason.ENGINE_UNAVAILABLE


async def test_the_key_is_never_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPSTREAM_KEY", "sk-very-secret")
    caplog.set_level(logging.DEBUG)
    async with upstream(_cut_inside, api_key_env="UPSTREAM_KEY") as (engine, server):
        error = await failure(engine)
        assert server.seen[-1].headers["authorization"] == "Bearer sk-very-secret"
    assert "secret" not in caplog.text + repr(error) + repr(vars(engine)) + str(error.__cause__)


async def test_a_slow_reader_bounds_what_is_kept_of_an_answer() -> None:
    written: list[int] = []

    async def handler(exchange: Exchange) -> None:
        await exchange.head()
        for _ in range(4000):
            await exchange.text("z" * 10_000)
            written.append(10_000)
        await exchange.end()

    async with upstream(handler) as (engine, _):
        events = engine.generate(ask(deadline=60))
        await anext(events)
        gc.collect()
        tracemalloc.start()
        await asyncio.sleep(0.5)
        held, _peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert sum(written) < 30_000_000, "the server has to wait"
        assert held < 20_000_000
        await events.aclose()


async def test_the_trace_goes_on_at_the_server() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.end()

    async with upstream(handler) as (engine, server):
        context = SpanContext(0xA1, 0xB2, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
        with trace.use_span(NonRecordingSpan(context)):
            await collect(engine, ask())
        assert server.seen[-1].headers["traceparent"] == f"00-{0xA1:032x}-{0xB2:016x}-01"
        await collect(engine, ask())
        assert "traceparent" not in server.seen[-1].headers


async def test_embeddings() -> None:
    async def handler(exchange: Exchange) -> None:
        if exchange.path != "/v1/embeddings":
            await exchange.answer(404, {})
            return
        size = exchange.body.get("dimensions", 3)
        rows = [
            {"index": place, "embedding": [float(place)] * size}
            for place in range(len(exchange.body["input"]))
        ]
        await exchange.answer(200, {"data": rows[::-1], "usage": {"prompt_tokens": 11}})

    async with ScriptedUpstream(handler) as server:
        engine = OpenAIEmbeddings("e", f"openai+{server.url}", {})
        card = await engine.start()
        assert card.embedding_dimensions == 3
        found = await engine.embed(["a", "b"], dimensions=2)
        assert found.vectors.dtype == np.float32
        assert found.vectors.tolist() == [[0.0, 0.0], [1.0, 1.0]]
        assert found.prompt_tokens == 11
        with pytest.raises(SixfoldError) as refused:
            await engine.embed([""])
        assert refused.value.reason is Reason.INVALID_REQUEST
        await engine.close()


@pytest.mark.parametrize(
    "data", [{}, {"data": []}, {"data": [{"index": 0, "embedding": ["x"]}]}, {"data": 3}]
)
async def test_embeddings_that_are_none(data: Any) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.answer(200, data)

    async with ScriptedUpstream(handler) as server:
        engine = OpenAIEmbeddings("e", f"openai+{server.url}", {})
        with pytest.raises(SixfoldError) as broken:
            await engine.embed(["a"])
        assert broken.value.reason is Reason.ENGINE_FAILED
        await engine.close()
