"""The official client, unchanged, against the running platform."""

from __future__ import annotations

import base64
import json
import struct
import time
from typing import Any

import httpx
import openai
import pytest
from parts.platform import Platform

pytestmark = pytest.mark.real_model

HELLO: Any = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture
def client(platform: Platform) -> openai.OpenAI:
    return platform.client()


def test_streamed_and_whole_answers_are_the_same_text(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(
        model="default",
        messages=HELLO,
        temperature=0,
        max_tokens=32,
        extra_headers={"cache-control": "no-store"},
    )
    pieces, usage, finish = [], None, None
    for chunk in client.chat.completions.create(
        model="default",
        messages=HELLO,
        temperature=0,
        max_tokens=32,
        stream=True,
        stream_options={"include_usage": True},
        extra_headers={"cache-control": "no-store"},
    ):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            pieces.append(choice.delta.content or "")
            finish = choice.finish_reason or finish
    assert "".join(pieces) == whole.choices[0].message.content
    assert "Paris" in "".join(pieces)
    assert len([p for p in pieces if p]) >= 2
    assert finish == whole.choices[0].finish_reason
    assert usage is not None
    assert whole.usage is not None
    assert usage.prompt_tokens == whole.usage.prompt_tokens > 0
    assert usage.completion_tokens == whole.usage.completion_tokens > 0
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_several_answers_at_once(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="default", messages=HELLO, n=3, temperature=1.2, seed=5, max_tokens=16
    )
    assert [c.index for c in answer.choices] == [0, 1, 2]
    assert len({c.message.content for c in answer.choices}) > 1


def test_a_seed_repeats_an_answer(client: openai.OpenAI) -> None:
    def ask(seed: int) -> str | None:
        return (
            client.chat.completions.create(
                model="default",
                messages=[{"role": "user", "content": "Invent a name for a ship."}],
                temperature=1.0,
                seed=seed,
                max_tokens=24,
                extra_headers={"cache-control": "no-store"},
            )
            .choices[0]
            .message.content
        )

    assert ask(11) == ask(11)
    assert len({ask(seed) for seed in (11, 12, 13)}) > 1


def test_stop_strings_never_show(client: openai.OpenAI) -> None:
    for stream in (False, True):
        answer: Any = client.chat.completions.create(
            model="default",
            messages=[{"role": "user", "content": "Count: 1, 2, 3, 4, 5, 6, 7, 8, 9."}],
            temperature=0,
            max_tokens=64,
            stop=["4", "four"],
            stream=stream,
        )
        if stream:
            text = "".join(c.choices[0].delta.content or "" for c in answer if c.choices)
        else:
            text = answer.choices[0].message.content
        assert "4" not in text
        assert "four" not in text


def test_max_tokens_ends_with_length(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="default", messages=[{"role": "user", "content": "Write an essay."}], max_completion_tokens=5
    )
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 5


def test_structured_output_parses_into_a_type(client: openai.OpenAI) -> None:
    from pydantic import BaseModel

    class Place(BaseModel):
        city: str
        country: str

    answer = client.chat.completions.parse(
        model="default",
        messages=[{"role": "user", "content": "Where is the Colosseum? Answer as JSON."}],
        response_format=Place,
        max_tokens=80,
        temperature=0,
    )
    assert isinstance(answer.choices[0].message.parsed, Place)


def test_logprobs_of_the_chosen_tokens(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="default", messages=HELLO, logprobs=True, max_tokens=8, temperature=0
    )
    assert answer.choices[0].logprobs is not None
    tokens = answer.choices[0].logprobs.content
    assert tokens is not None
    assert answer.usage is not None
    assert all(t.logprob <= 1e-6 for t in tokens)
    assert "".join(t.token for t in tokens).startswith((answer.choices[0].message.content or "")[:8])


def test_embeddings_mean_something(client: openai.OpenAI) -> None:
    texts = ["a cat sleeps on the mat", "a kitten naps on a rug", "the stock market fell sharply"]
    rows = client.embeddings.create(model="default-embedding", input=texts)
    a, b, c = (row.embedding for row in rows.data)
    assert len(a) == 384
    assert abs(sum(x * x for x in a) - 1) < 1e-3
    near = sum(x * y for x, y in zip(a, b, strict=True))
    far = sum(x * y for x, y in zip(a, c, strict=True))
    assert near > far + 0.2
    assert rows.usage.prompt_tokens > 0


def test_embeddings_as_base64_are_the_same_numbers(platform: Platform) -> None:
    def ask(form: str) -> Any:
        body = {"model": "default-embedding", "input": "a cat", "encoding_format": form}
        return platform.post("/v1/embeddings", json=body).json()["data"][0]["embedding"]

    raw = base64.b64decode(ask("base64"))
    assert struct.unpack(f"<{len(raw) // 4}f", raw) == pytest.approx(ask("float"), abs=1e-6)


def test_legacy_completions(client: openai.OpenAI) -> None:
    answer = client.completions.create(
        model="default", prompt="The capital of France is", max_tokens=8, temperature=0
    )
    assert "Paris" in answer.choices[0].text


def test_models_can_be_looked_up(client: openai.OpenAI) -> None:
    names = {m.id for m in client.models.list()}
    assert {"smollm2-135m-instruct", "all-minilm-l6-v2"} <= names
    assert client.models.retrieve("smollm2-135m-instruct").object == "model"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-9")


def test_headers_say_who_answered(platform: Platform) -> None:
    response = platform.post(
        "/v1/chat/completions", json={"model": "default", "messages": HELLO, "max_tokens": 4}
    )
    assert response.headers["x-sixfold-model"].startswith("smollm2-135m-instruct@")
    assert response.headers["x-sixfold-engine"] == "openvino"
    assert "smollm2-135m-instruct" in response.headers["x-sixfold-route"]
    assert response.headers["x-sixfold-cache"] in ("hit", "miss", "bypass")
    assert int(response.headers["openai-processing-ms"]) >= 0
    for kind in ("requests", "tokens"):
        assert int(response.headers[f"x-ratelimit-remaining-{kind}"]) <= int(
            response.headers[f"x-ratelimit-limit-{kind}"]
        )
        assert response.headers[f"x-ratelimit-reset-{kind}"]


def test_the_same_question_again_comes_from_the_cache(platform: Platform) -> None:
    body = {"model": "default", "messages": HELLO, "temperature": 0, "max_tokens": 9, "user": "cache-test"}
    first = platform.post("/v1/chat/completions", json=body)
    again = platform.post("/v1/chat/completions", json=body)
    assert first.headers["x-sixfold-cache"] == "miss"
    assert again.headers["x-sixfold-cache"] == "hit"
    assert first.json()["choices"] == again.json()["choices"]
    streamed = platform.post("/v1/chat/completions", json={**body, "stream": True})
    assert streamed.headers["x-sixfold-cache"] == "hit"
    text = "".join(
        json.loads(line[6:])["choices"][0]["delta"].get("content", "")
        for line in streamed.text.splitlines()
        if line.startswith("data: {") and json.loads(line[6:])["choices"]
    )
    assert text == first.json()["choices"][0]["message"]["content"]


def test_over_the_limit_is_a_clear_429(platform: Platform) -> None:
    config = platform.home / "gateway.yaml"
    kept = config.read_text()
    import yaml

    rules = yaml.safe_load(kept) or {}
    rules.setdefault("limits", {}).setdefault("tenants", {})["slowpoke"] = {"requests_per_minute": 2}
    config.write_text(yaml.safe_dump(rules))
    try:
        client = platform.client(api_key=platform.mint("slowpoke"))
        error: openai.RateLimitError | None = None
        end = time.monotonic() + 20
        while time.monotonic() < end:  # the reload is live; until then the old limit holds
            try:
                client.chat.completions.create(model="default", messages=HELLO, max_tokens=1, temperature=0)
            except openai.RateLimitError as limited:
                error = limited
                break
        assert error is not None
        assert error.code == "rate_limit_exceeded"
        assert error.response.headers["x-ratelimit-limit-requests"] == "2"
        assert float(error.response.headers["retry-after"]) > 0
        assert platform.client().models.list().data, "another tenant is not held up"
    finally:
        config.write_text(kept)


def test_pages_and_health(platform: Platform) -> None:
    assert httpx.get(f"{platform.url}/healthz", timeout=5).status_code == 200
    assert httpx.get(f"{platform.url}/readyz", timeout=5).status_code == 200
    paths = httpx.get(f"{platform.url}/openapi.json", timeout=5).json()["paths"]
    assert {"/v1/chat/completions", "/v1/embeddings", "/v1/models", "/healthz", "/readyz"} <= set(paths)
    page = httpx.get(f"{platform.url}/docs", timeout=5)
    assert page.status_code == 200
    assert "cdn." not in page.text
