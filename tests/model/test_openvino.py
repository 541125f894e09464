"""What only the openvino engine promises; what all engines promise is in contract/test_engines.py."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from model_service.adapters.openvino.engine import OpenVinoEngine
from model_service.engines.types import Delta, Format, Generation, Sampling, Usage
from servicekit.errors import Reason, SixfoldError

pytestmark = [pytest.mark.real_model, pytest.mark.asyncio(loop_scope="module")]

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def ask(text: str, **more: Any) -> Generation:
    base = Generation(
        "r",
        "m",
        messages=[{"role": "user", "content": text}],
        max_tokens=48,
        sampling=Sampling(temperature=0),
    )
    return replace(base, **more)


LONG = ask("Write a very long story about the sea.", max_tokens=2000, stream=True)
CAPITAL = ask("What is the capital of France?")


def kill(pid: int | None) -> None:
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


async def answer(engine: OpenVinoEngine, request: Generation) -> tuple[str, Usage]:
    text, usage = "", None
    async for event in engine.generate(request):
        if isinstance(event, Usage):
            usage = event
        else:
            text += event.text
    assert usage is not None
    return text, usage


async def begin(engine: OpenVinoEngine, request: Generation) -> Any:
    """A generator that has given its first delta: it holds a slot."""
    events = engine.generate(request)
    assert isinstance(await anext(events), Delta)
    return events


async def quiet(engine: OpenVinoEngine) -> None:
    async with asyncio.timeout(30):
        while engine.load().running or engine.load().waiting:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_the_prepared_weights_answer_right(engine: OpenVinoEngine) -> None:
    text, usage = await answer(engine, CAPITAL)
    assert text == "The capital of France is Paris."
    assert usage.prompt_tokens == 37
    assert usage.ttft_seconds > 0


async def test_tokens_are_counted_as_they_are_charged(engine: OpenVinoEngine) -> None:
    texts = ["The capital of France is", "黑豹队的防守", "x" * 30_000]
    counted = await engine.count_tokens(texts)
    assert counted.exact
    for text, count in zip(texts[:2], counted.counts, strict=False):
        _, usage = await answer(engine, Generation("r", "m", prompt=text, max_tokens=1))
        assert usage.prompt_tokens == count
    assert counted.counts[2] > 1000


async def test_a_prompt_seen_before_comes_from_the_prefix_cache(engine: OpenVinoEngine) -> None:
    request = ask("Tell me about lighthouses. " * 20, max_tokens=1)
    _, first = await answer(engine, request)
    _, second = await answer(engine, request)
    assert second.cached_tokens > first.cached_tokens
    assert second.prompt_tokens - 64 <= second.cached_tokens < second.prompt_tokens


async def test_structured_and_free_answers_share_the_engine(engine: OpenVinoEngine) -> None:
    wanted = ask("Describe a person as JSON.", format=Format("json_schema", SCHEMA), max_tokens=120)
    (structured, _), (free, _) = await asyncio.gather(answer(engine, wanted), answer(engine, CAPITAL))
    assert set(json.loads(structured)) == {"name", "age"}
    assert free == "The capital of France is Paris."


@pytest.mark.parametrize(
    ("wanted", "answers"),
    [
        (Format("regex", "(red|blue) [0-9]{2}"), None),
        (Format("choice", ["yes", 'no "really"']), {"yes", 'no "really"'}),
        (Format("grammar", 'root ::= "a" | "b"'), {"a", "b"}),
    ],
)
async def test_other_shapes(engine: OpenVinoEngine, wanted: Format, answers: set[str] | None) -> None:
    text, _ = await answer(engine, ask("Answer.", format=wanted))
    assert (text in answers) if answers else text.split()[0] in ("red", "blue")


@pytest.mark.parametrize(
    "wanted",
    [
        Format("regex", "[0-9"),
        Format("grammar", "nonsense ::"),
        Format("json_schema", {"type": "nope"}),
        Format("json_schema", {"$ref": "#/nowhere"}),
    ],
)
async def test_a_shape_that_does_not_compile_harms_nobody(engine: OpenVinoEngine, wanted: Format) -> None:
    running = await begin(engine, LONG)
    pid = engine.pid
    with pytest.raises(SixfoldError) as refused:
        await answer(engine, ask("Answer.", format=wanted))
    assert (refused.value.reason, refused.value.param) == (Reason.INVALID_REQUEST, "response_format")
    assert isinstance(await anext(running), Delta)
    assert engine.pid == pid
    await running.aclose()


async def test_leaving_frees_the_slot_and_a_full_engine_accepts_again(engine: OpenVinoEngine) -> None:
    running = [await begin(engine, LONG) for _ in range(2)]
    waiting = [asyncio.create_task(answer(engine, CAPITAL)) for _ in range(2)]
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        while engine.load().waiting < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    with pytest.raises(SixfoldError) as refused:
        await answer(engine, CAPITAL)
    assert refused.value.reason is Reason.QUEUE_FULL
    assert refused.value.retry_after
    for events in running:
        await events.aclose()
    for text, _ in await asyncio.gather(*waiting):
        assert text == "The capital of France is Paris."
    await quiet(engine)
    assert engine.load().kv_usage < 0.1


async def test_cancelling_one_that_waits_frees_its_place(engine: OpenVinoEngine) -> None:
    running = [await begin(engine, LONG) for _ in range(2)]
    waiting = asyncio.create_task(answer(engine, CAPITAL))
    async with asyncio.timeout(10):
        while not engine.load().waiting:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert engine.load().waiting == 0
    for events in running:
        await events.aclose()
    await quiet(engine)


async def test_several_answers_differ_by_seed_and_come_again_with_it(engine: OpenVinoEngine) -> None:
    """Two answers may meet in one step of the batch or in two, whose sums round differently: an answer comes
    again when they meet as before, which is most times.
    """
    request = ask(
        "Tell a story.", n=2, sampling=Sampling(temperature=1.0, seed=11), max_tokens=24, stream=False
    )

    async def both() -> tuple[str, ...]:
        deltas = [event async for event in engine.generate(request) if isinstance(event, Delta)]
        return tuple(delta.text for delta in sorted(deltas, key=lambda delta: delta.choice))

    told = Counter([await both() for _ in range(4)])
    assert all(first != second for first, second in told)
    assert max(told.values()) > 1, "no pair of answers came twice in four times"


async def test_unseeded_answers_differ(engine: OpenVinoEngine) -> None:
    request = ask("Tell a story.", sampling=Sampling(temperature=1.5), max_tokens=24)
    assert (await answer(engine, request))[0] != (await answer(engine, request))[0]


async def test_a_killed_engine_fails_its_answers_and_comes_back(engine: OpenVinoEngine) -> None:
    running = await begin(engine, LONG)
    kill(engine.pid)
    with pytest.raises(SixfoldError) as broken:
        async for _ in running:
            pass
    assert broken.value.reason is Reason.ENGINE_FAILED
    with pytest.raises(SixfoldError) as away:
        await engine.health()
    assert away.value.retry_after
    async with asyncio.timeout(90):
        while engine.pid is None:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert (await answer(engine, CAPITAL))[0] == "The capital of France is Paris."
    assert engine.load().running == 0
