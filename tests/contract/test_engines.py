"""One contract for every text engine, each over its real server and the real model."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio
from parts.engines import CASES, EngineCase
from parts.models import TEXT

from model_service.engines.base import TextEngine
from model_service.engines.types import Capability, Card, Delta, Finish, Format, Generation, Sampling, Usage
from servicekit.errors import Reason, SixfoldError

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.real_model]

GREEDY = Sampling(temperature=0)
QUESTION = [{"role": "user", "content": "Write a short story about a fox and a river."}]
OUTAGE = {Reason.ENGINE_UNAVAILABLE, Reason.ENGINE_FAILED, Reason.STREAM_INTERRUPTED}


@pytest.fixture(scope="module", params=list(CASES))
def case(request: pytest.FixtureRequest) -> Iterator[EngineCase]:
    made: EngineCase = CASES[request.param]()
    yield made
    made.remove()


@dataclass
class Started:
    engine: TextEngine
    card: Card


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started(case: EngineCase) -> AsyncIterator[Started]:
    engine = case.make()
    yield Started(engine, await engine.start())
    await engine.close()


@pytest.fixture
def engine(started: Started) -> TextEngine:
    return started.engine


def ask(messages: list[dict[str, Any]] | None = None, **fields: Any) -> Generation:
    base = Generation(
        request_id=f"contract-{time.monotonic_ns()}",
        model=TEXT,
        messages=messages or QUESTION,
        sampling=GREEDY,
        max_tokens=24,
        deadline=60,
    )
    return replace(base, **fields)


@dataclass
class Answer:
    deltas: list[Delta]
    usage: Usage

    @property
    def text(self) -> str:
        return "".join(delta.text for delta in self.deltas)

    @property
    def finish(self) -> Finish | None:
        return self.deltas[-1].finish


async def answer(engine: TextEngine, request: Generation) -> Answer:
    events = [event async for event in engine.generate(request)]
    *deltas, usage = events
    assert isinstance(usage, Usage), "the last event is the usage"
    assert all(isinstance(delta, Delta) for delta in deltas), "there is one usage"
    return Answer([delta for delta in deltas if isinstance(delta, Delta)], usage)


async def begin(engine: TextEngine, request: Generation) -> Any:
    """A stream that has brought its first text."""
    events = engine.generate(request)
    async for event in events:
        if isinstance(event, Delta) and event.text:
            return events
    raise AssertionError("no text came")


async def until_idle(case: EngineCase, engine: TextEngine) -> None:
    """Returns when nothing is computed any more; the test's own time limit is the bound."""
    while await case.busy(engine) or engine.load().running:  # noqa: ASYNC110 - it is elsewhere
        await asyncio.sleep(0.02)


async def test_says_what_it_is(started: Started) -> None:
    card = started.card
    assert card.name == TEXT
    assert card.version
    assert card.engine
    assert {Capability.CHAT, Capability.COMPLETION} <= card.capabilities
    assert card.context_tokens >= 1024
    await started.engine.health()


async def test_streams_pieces_and_ends_once(engine: TextEngine) -> None:
    found = await answer(engine, ask())
    assert sum(bool(delta.text) for delta in found.deltas) >= 2
    assert [delta.finish for delta in found.deltas[:-1]] == [None] * (len(found.deltas) - 1)
    assert found.finish is Finish.LENGTH


async def test_streamed_text_is_the_whole_text(engine: TextEngine) -> None:
    streamed = await answer(engine, ask())
    whole = await answer(engine, ask(stream=False))
    assert streamed.text == whole.text
    assert whole.finish is Finish.LENGTH


async def test_counts_what_it_used(engine: TextEngine) -> None:
    short = await answer(engine, ask(max_tokens=6))
    longer = await answer(
        engine, ask([{"role": "user", "content": QUESTION[0]["content"] * 3}], max_tokens=12)
    )
    assert short.usage.completion_tokens == 6
    assert longer.usage.completion_tokens == 12
    assert 10 < short.usage.prompt_tokens < 100
    assert longer.usage.prompt_tokens > short.usage.prompt_tokens + 15
    assert 0 <= short.usage.queue_seconds <= short.usage.ttft_seconds


async def test_ends_by_itself(engine: TextEngine) -> None:
    found = await answer(engine, ask([{"role": "user", "content": "Say hi."}], max_tokens=400))
    assert found.finish is Finish.STOP
    assert found.text.strip()
    assert "<|im_end|>" not in found.text


async def test_stop_strings_never_come_out(engine: TextEngine) -> None:
    whole = (await answer(engine, ask())).text
    words = whole.split()
    across = whole[len(words[0]) - 1 : len(words[0]) + 2]  # the end of a word, a space, the start of the next
    for stop in (words[3], across):
        for stream in (True, False):
            found = await answer(engine, ask(stop=("never there", stop), stream=stream))
            assert stop not in found.text
            assert found.text == whole[: whole.index(stop)]
            assert found.finish is Finish.STOP


async def test_a_stop_string_that_never_comes_holds_nothing_back(
    case: EngineCase, engine: TextEngine
) -> None:
    if case.name == "openai":
        pytest.skip("stop strings are the server's work, and llama.cpp drops what it held back at the limit")
    plain = await answer(engine, ask())
    found = await answer(engine, ask(stop=(plain.text[-6:] + "…",)))
    assert found.text == plain.text


async def test_a_seed_repeats_itself(started: Started) -> None:
    if Capability.SEED not in started.card.capabilities:
        pytest.skip("the engine has no seed")

    async def told(seed: int) -> str:
        sampling = Sampling(temperature=1.0, top_p=0.95, seed=seed)
        return (await answer(started.engine, ask(sampling=sampling))).text

    first = await told(7)
    assert await told(7) == first
    assert {await told(seed) for seed in (8, 9, 10)} != {first}


async def test_remembers_earlier_turns(engine: TextEngine) -> None:
    turns = [
        {"role": "user", "content": "My name is Zebulon."},
        {"role": "assistant", "content": "Hello Zebulon!"},
        {"role": "user", "content": "Repeat my name."},
    ]
    found = await answer(engine, ask(turns))
    assert found.text != (await answer(engine, ask(turns[2:]))).text
    assert found.usage.prompt_tokens > 25


async def test_completes_a_prompt_as_it_stands(engine: TextEngine) -> None:
    found = await answer(engine, replace(ask(), messages=None, prompt="One, two, three, four, five,"))
    assert "six" in found.text
    assert found.usage.prompt_tokens < 20


async def test_text_is_whole_characters(started: Started) -> None:
    """Most of these characters are several tokens each: a piece must never end inside one."""
    if Capability.STRUCTURED_OUTPUT not in started.card.capabilities:
        pytest.skip("without structured output nobody can tell what the model will write")
    # No letter from a to f follows these: OpenVINO's grammar reads it as a part of the escaped character.
    said = "🦊🌊 你好，世界 żółć ünïkörn 🇩🇪 👩‍👩‍👧 – ∑"
    schema = {"type": "object", "properties": {"said": {"enum": [said]}}, "required": ["said"]}
    request = ask(format=Format("json_schema", {**schema, "additionalProperties": False}), max_tokens=200)
    found = await answer(started.engine, request)
    assert json.loads(found.text) == {"said": said}
    assert all("�" not in delta.text for delta in found.deltas)
    assert sum(bool(delta.text) for delta in found.deltas) > 10


async def test_keeps_to_a_schema(started: Started) -> None:
    if Capability.STRUCTURED_OUTPUT not in started.card.capabilities:
        pytest.skip("the engine has no structured output")
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}, "people": {"type": "integer"}},
        "required": ["city", "people"],
        "additionalProperties": False,
    }
    request = ask(
        [{"role": "user", "content": "Describe Paris as JSON."}],
        format=Format("json_schema", schema),
        max_tokens=80,
    )
    told = json.loads((await answer(started.engine, request)).text)
    assert set(told) == {"city", "people"}
    assert isinstance(told["people"], int)


async def test_outlives_a_schema_that_does_not_compile(started: Started) -> None:
    if Capability.STRUCTURED_OUTPUT not in started.card.capabilities:
        pytest.skip("the engine has no structured output")
    for broken in (Format("json_schema", {"type": "object", "properties": 7}), Format("regex", "(((")):
        with contextlib.suppress(SixfoldError):  # some servers make do with what they understand
            await answer(started.engine, ask(format=broken, max_tokens=4))
    assert (await answer(started.engine, ask(max_tokens=4))).usage.completion_tokens == 4


async def test_refuses_a_prompt_that_does_not_fit(started: Started) -> None:
    long = [{"role": "user", "content": "word " * (started.card.context_tokens + 50)}]
    with pytest.raises(SixfoldError) as refused:
        await answer(started.engine, ask(long))
    assert refused.value.reason is Reason.CONTEXT_LENGTH_EXCEEDED
    assert (await answer(started.engine, ask(max_tokens=2))).text


async def test_answers_eight_at_once(engine: TextEngine) -> None:
    requests = [ask([{"role": "user", "content": f"Count from {n} to {n + 9}."}]) for n in range(8)]
    together = await asyncio.gather(*(answer(engine, request) for request in requests))
    assert all(found.usage.completion_tokens > 5 for found in together)
    alone = await answer(engine, requests[3])
    assert alone.text[:8] == together[3].text[:8], "answers are not mixed up"
    assert engine.load().running == 0


async def test_leaving_stops_the_work(case: EngineCase, engine: TextEngine) -> None:
    events = await begin(engine, ask(max_tokens=1500))
    assert await case.busy(engine) == 1
    assert engine.load().running == 1
    await events.aclose()
    assert engine.load().running == 0
    await until_idle(case, engine)


async def test_cancelling_the_task_stops_the_work(case: EngineCase, engine: TextEngine) -> None:
    begun = asyncio.Event()

    async def read() -> None:
        async with aclosing(engine.generate(ask(max_tokens=1500))) as events:
            async for _ in events:
                begun.set()

    task = asyncio.create_task(read())
    await begun.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert engine.load().running == 0
    await until_idle(case, engine)


async def test_keeps_the_deadline_and_frees_the_slot(case: EngineCase, engine: TextEngine) -> None:
    begun = time.monotonic()
    with pytest.raises(SixfoldError) as late:
        await answer(engine, ask(max_tokens=1500, deadline=0.6))
    assert late.value.reason is Reason.DEADLINE_EXCEEDED
    assert time.monotonic() - begun >= 0.5
    await until_idle(case, engine)


async def test_a_full_queue_says_when_to_come_back(case: EngineCase, started: Started) -> None:
    small = case.make(max_running=1, max_waiting=1)
    await small.start()
    try:
        await answer(small, ask(max_tokens=8))  # so that it knows how long one takes
        running = await begin(small, ask(max_tokens=1500))
        waiting = asyncio.create_task(answer(small, ask(max_tokens=4)))
        while not small.load().waiting:  # noqa: ASYNC110 - engines do not tell
            await asyncio.sleep(0.005)
        with pytest.raises(SixfoldError) as refused:
            await answer(small, ask())
        assert refused.value.reason is Reason.QUEUE_FULL
        assert refused.value.retry_after is not None
        assert 0 < refused.value.retry_after <= 60
        assert small.load().capacity == 1
        await running.aclose()
        assert (await waiting).text, "who waited is served next"
    finally:
        await small.close()
    await started.engine.start()


async def test_refuses_what_it_does_not_know(engine: TextEngine) -> None:
    pictured = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]
    with pytest.raises(SixfoldError) as refused:
        await answer(engine, ask(pictured))
    assert refused.value.reason in (
        Reason.UNSUPPORTED_PARAMETER,
        Reason.INVALID_REQUEST,
        Reason.ENGINE_FAILED,  # llama.cpp calls it its own fault
    )


async def test_comes_back_after_its_server_was_killed(case: EngineCase, engine: TextEngine) -> None:
    events = await begin(engine, ask(max_tokens=1500))
    await case.take_away(engine)
    with pytest.raises(SixfoldError) as cut:
        async for _ in events:
            pass
    assert cut.value.reason in OUTAGE
    assert engine.load().running == 0
    if case.name != "openvino":  # which is up again before one can ask
        with pytest.raises(SixfoldError) as gone:
            await answer(engine, ask(max_tokens=2, deadline=5))
        assert gone.value.reason is Reason.ENGINE_UNAVAILABLE
        with pytest.raises(SixfoldError):
            await engine.health()
    await case.give_back()
    while True:
        try:
            found = await answer(engine, ask(max_tokens=4, deadline=30))
            break
        except SixfoldError as error:
            assert error.reason in OUTAGE
            await asyncio.sleep(0.1)
    assert found.text
    await engine.health()
