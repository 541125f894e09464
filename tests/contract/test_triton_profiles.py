"""The back ends that need a GPU, by their tensors: Triton is real, and small models speak each schema."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from parts.packages import CLONE
from parts.triton import Triton, find_triton

from model_service.adapters.triton import TritonEngine
from model_service.engines.types import Capability, Delta, Finish, Format, Generation, Sampling, Usage
from servicekit.errors import Reason, SixfoldError

MODELS = CLONE / "tests" / "parts" / "triton_models"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    repository = tmp_path_factory.mktemp("repository") / "models"
    shutil.copytree(MODELS, repository)
    # As it ships: one response for each request.
    whole = repository / "llmapi-whole"
    shutil.copytree(MODELS / "llmapi", whole)
    config = (whole / "config.pbtxt").read_text()
    (whole / "config.pbtxt").write_text(
        config.replace('"llmapi"', '"llmapi-whole"').replace("decoupled: true", "decoupled: false")
    )
    found = find_triton(repositories=[repository])
    yield found
    found.remove()


@pytest.fixture(params=["llmapi", "vllm"])
async def engine(request: pytest.FixtureRequest, server: Triton) -> AsyncIterator[TritonEngine]:
    made = make(server, request.param)
    await made.start()
    yield made
    await made.close()


def make(server: Triton, model: str, **options: Any) -> TritonEngine:
    profile = model.partition("-")[0]
    return TritonEngine(
        model, f"triton://{server.grpc}/{model}?profile={profile}", {"unload": False, **options}
    )


def ask(prompt: str = "one two three", **fields: Any) -> Generation:
    return Generation(
        **{"request_id": f"r-{id(fields)}", "model": "m", "prompt": prompt, "max_tokens": 6} | fields
    )


async def collect(engine: TritonEngine, request: Generation) -> tuple[list[Delta], Usage]:
    *deltas, usage = [event async for event in engine.generate(request)]
    assert isinstance(usage, Usage)
    return [delta for delta in deltas if isinstance(delta, Delta)], usage


def joined(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


async def test_streams_new_text_only(engine: TritonEngine) -> None:
    deltas, _ = await collect(engine, ask())
    assert joined(deltas) == "one two three one two three"
    assert [delta.text for delta in deltas if delta.text] == [
        "one",
        " two",
        " three",
        " one",
        " two",
        " three",
    ]
    assert deltas[-1].finish is Finish.LENGTH


async def test_whole_answers_come_at_once(engine: TritonEngine) -> None:
    deltas, _ = await collect(engine, ask(stream=False))
    assert joined(deltas) == "one two three one two three"
    assert sum(bool(delta.text) for delta in deltas) == 1


async def test_stops(engine: TritonEngine) -> None:
    deltas, _ = await collect(engine, ask(stop=("three",)))
    assert joined(deltas) == "one two "
    assert deltas[-1].finish is Finish.STOP


async def test_a_client_that_leaves_ends_the_work(engine: TritonEngine, server: Triton, request: Any) -> None:
    model = request.node.callspec.params["engine"]
    events = engine.generate(ask(max_tokens=100_000))
    await anext(events)
    assert server.metric("nv_trt_llm_request_metrics", model) == 1
    await events.aclose()
    while server.metric("nv_trt_llm_request_metrics", model):  # noqa: ASYNC110 - bounded by the test's limit
        await asyncio.sleep(0.02)


async def test_a_prompt_that_does_not_fit(engine: TritonEngine) -> None:
    with pytest.raises(SixfoldError) as refused:
        await collect(engine, ask("word " * 1001))
    assert refused.value.reason is Reason.CONTEXT_LENGTH_EXCEEDED


async def test_sampling_reaches_vllm(server: Triton) -> None:
    engine = make(server, "vllm")
    card = await engine.start()
    assert {Capability.LOGPROBS, Capability.SEED, Capability.STRUCTURED_OUTPUT} <= card.capabilities
    sampling = Sampling(
        temperature=0.5, top_p=0.9, top_k=40, min_p=0.1, seed=-3, presence_penalty=1.0, frequency_penalty=0.5,
        repetition_penalty=1.1, logit_bias={5: -100.0},
    )  # fmt: skip
    form = Format("json_schema", {"type": "object"})
    deltas, _ = await collect(
        engine, ask("?", sampling=sampling, stop=("\n",), format=form, adapter="tuned", max_tokens=9)
    )
    assert json.loads(joined(deltas)) == {
        "max_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.1,
        "seed": -3,
        "presence_penalty": 1.0,
        "frequency_penalty": 0.5,
        "repetition_penalty": 1.1,
        "logit_bias": {"5": -100.0},
        "stop": ["\n"],
        "structured_outputs": '{"json": {"type": "object"}}',
        "lora_name": "tuned",
    }
    greedy, _ = await collect(engine, ask("?", sampling=Sampling(temperature=0, top_p=0.5)))
    assert json.loads(joined(greedy)) == {"max_tokens": 6, "temperature": 0.0}
    await engine.close()


async def test_vllm_counts_and_log_probabilities(server: Triton) -> None:
    engine = make(server, "vllm")
    await engine.start()
    deltas, usage = await collect(engine, ask(logprobs=True, top_logprobs=2))
    assert (usage.prompt_tokens, usage.completion_tokens) == (3, 6)
    assert sum(delta.token_count for delta in deltas) == 6
    first = deltas[0].logprobs[0]
    assert (first.token, first.logprob) == ("one", -2.5)
    assert [(top.token, top.logprob) for top in first.top] == [("other", -2.0), ("one", -2.5)]
    await engine.close()


async def test_sampling_reaches_the_llm_api(server: Triton) -> None:
    engine = make(server, "llmapi")
    card = await engine.start()
    assert Capability.SEED in card.capabilities
    assert Capability.STRUCTURED_OUTPUT not in card.capabilities
    sampling = Sampling(temperature=0.5, top_k=40, seed=-1, presence_penalty=1.0)
    deltas, _ = await collect(
        engine, ask("?", sampling=sampling, stop=("\n",), extra={"sampling_param_best_of": 2})
    )
    told = json.loads(joined(deltas))
    assert told == {
        "streaming": True,
        "sampling_param_best_of": 2,
        "sampling_param_temperature": 0.5,
        "sampling_param_top_k": 40,
        "sampling_param_top_p": 1.0,
        "sampling_param_presence_penalty": 1.0,
        "sampling_param_max_tokens": 6,
        "sampling_param_stop": ["\n"],
        "sampling_param_seed": 2**64 - 1,
        "sampling_param_exclude_input_from_output": True,
        "return_finish_reason": True,
    }
    greedy, _ = await collect(engine, ask("?", sampling=Sampling(temperature=0, top_p=0.5)))
    told = json.loads(joined(greedy))
    assert told["sampling_param_top_k"] == 1
    assert not {"sampling_param_temperature", "sampling_param_top_p"} & told.keys()
    await engine.close()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"sampling": Sampling(min_p=0.1)}, "min_p"),
        ({"sampling": Sampling(logit_bias={1: 1.0})}, "logit_bias"),
        ({"format": Format("json_object")}, "response_format"),
        ({"logprobs": True}, "logprobs"),
        ({"adapter": "tuned"}, "adapter"),
        ({"n": 2}, "n"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"messages": [{"role": "user", "content": "hi"}], "prompt": None}, "messages"),
    ],
)
async def test_what_the_back_end_lacks_is_refused(server: Triton, fields: dict[str, Any], param: str) -> None:
    engine = make(server, "llmapi")
    await engine.start()
    with pytest.raises(SixfoldError) as refused:
        await collect(engine, ask(**fields))
    assert refused.value.reason is Reason.UNSUPPORTED_PARAMETER
    assert refused.value.param == param
    await engine.close()


async def test_a_back_end_that_cannot_stream_still_answers(server: Triton) -> None:
    engine = make(server, "llmapi-whole")
    await engine.start()
    deltas, _ = await collect(engine, ask())
    assert joined(deltas) == "one two three one two three"
    assert deltas[-1].finish is Finish.LENGTH
    await engine.close()


async def test_tokens_are_counted_where_the_back_end_does_not(server: Triton, tmp_path: Path) -> None:
    words = {"one": 0, "two": 1, "three": 2, " ": 3, "?": 4}
    tokenizer = {
        "version": "1.0",
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"String": " "},
            "behavior": "Isolated",
            "invert": False,
        },
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "?"},
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    engine = make(server, "llmapi", tokenizer=tmp_path, context_tokens=20)
    await engine.start()
    _, usage = await collect(engine, ask(max_tokens=3))
    assert (usage.prompt_tokens, usage.completion_tokens) == (5, 5)  # spaces are tokens of this one
    with pytest.raises(SixfoldError) as refused:
        await collect(engine, ask(max_tokens=16))
    assert refused.value.reason is Reason.CONTEXT_LENGTH_EXCEEDED
    assert refused.value.metadata == {"limit": "20", "used": "5"}
    await engine.close()


async def test_start_loads_and_close_unloads(server: Triton) -> None:
    other = make(server, "vllm")
    await other.start()
    await other.close()  # leaves it loaded: the options say so
    keeps = make(server, "vllm", load=False)
    await keeps.start()
    await keeps.close()
    takes = make(server, "vllm", unload=True)
    await takes.start()
    await takes.close()
    with pytest.raises(SixfoldError) as gone:
        await keeps.start()
    assert gone.value.reason is Reason.ENGINE_UNAVAILABLE
    again = make(server, "vllm", unload=None)
    await again.start()
    assert joined((await collect(again, ask()))[0])
    await again.close()  # it had loaded it, so it is gone again
    with pytest.raises(SixfoldError):
        await keeps.start()
    await keeps.close()


async def test_closing_ends_what_runs(server: Triton) -> None:
    engine = make(server, "llmapi")
    await engine.start()
    events = engine.generate(ask(max_tokens=100_000))
    await anext(events)
    await engine.close()
    with pytest.raises(SixfoldError) as gone:
        async for _ in events:
            pass
    assert gone.value.reason is Reason.ENGINE_UNAVAILABLE
    await engine.close()


async def test_a_model_that_the_server_does_not_have(server: Triton) -> None:
    engine = make(server, "vllm-missing")
    with pytest.raises(SixfoldError) as gone:
        await engine.start()
    assert gone.value.reason is Reason.ENGINE_UNAVAILABLE
    await engine.close()


async def test_a_slow_reader_is_served_in_the_end(engine: TritonEngine) -> None:
    text = []
    async for event in engine.generate(ask(max_tokens=40)):
        if isinstance(event, Delta):
            text.append(event.text)
            await asyncio.sleep(0.02)
    assert "".join(text).split(" ") == (["one", "two", "three"] * 14)[:40]
