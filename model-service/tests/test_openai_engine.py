"""Pieces of the engine for compatible servers, without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_service.adapters.openai import OpenAIEngine
from model_service.adapters.openai.body import build_body
from model_service.adapters.openai.chunks import Malformed, Reader
from model_service.adapters.openai.options import base_url
from model_service.adapters.openai.sse import Events, TooLong
from model_service.engines.types import Finish, Format, Generation
from model_service.models.config import ConfigError


def body(**fields: Any) -> dict[str, Any]:
    request = Generation(
        **{"request_id": "r", "model": "m", "messages": [{"role": "user", "content": "x"}]} | fields
    )
    return build_body(request, model="up", max_tokens_field="max_completion_tokens", include_usage=True)


def test_only_what_was_asked_is_sent() -> None:
    assert body() == {
        "model": "up",
        "messages": [{"role": "user", "content": "x"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_our_own_fields_win_over_extra_ones() -> None:
    assert body(extra={"model": "other", "stream": False, "top_a": 1})["model"] == "up"


def test_a_prompt_and_its_older_way_to_ask_for_log_probabilities() -> None:
    found = body(messages=None, prompt="p", logprobs=True, top_logprobs=2, stream=False, max_tokens=3)
    assert found == {"model": "up", "prompt": "p", "logprobs": 2, "max_completion_tokens": 3}


@pytest.mark.parametrize(
    ("form", "sent"),
    [
        (Format("json_object"), {"response_format": {"type": "json_object"}}),
        (Format("regex", "a+"), {"structured_outputs": {"regex": "a+"}}),
        (Format("choice", ["a"]), {"structured_outputs": {"choice": ["a"]}}),
        (Format("grammar", "g"), {"structured_outputs": {"grammar": "g"}}),
    ],
)
def test_formats(form: Format, sent: dict[str, Any]) -> None:
    assert sent.items() <= body(format=form).items()


@given(st.lists(st.binary(max_size=20), max_size=8), st.data())
def test_events_survive_any_cut(parts: list[bytes], data: st.DataObject) -> None:
    wanted = [part.replace(b"\n", b"").replace(b"\r", b"").strip() for part in parts]
    stream = b"".join(b"data: " + part + b"\r\n: note\r\n\r\n" for part in wanted)
    events, found = Events(1000), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += events.feed(stream[:size])
        stream = stream[size:]
    assert found + events.end() == wanted


def test_data_over_several_lines_is_one_event() -> None:
    assert Events(100).feed(b"event: x\ndata: a\ndata:b\n\n") == [b"a\nb"]


def test_a_last_event_without_its_empty_line() -> None:
    events = Events(100)
    assert events.feed(b"data: [DONE]") == []
    assert events.end() == [b"[DONE]"]
    assert events.end() == []


@pytest.mark.parametrize("stream", [b"data: " + b"x" * 200, b"data: xxxxxxxxxx\n" * 20])
def test_an_event_without_end(stream: bytes) -> None:
    with pytest.raises(TooLong):
        Events(100).feed(stream)


def test_completions_and_their_log_probabilities() -> None:
    logprobs = {
        "tokens": ["a", "b"],
        "token_logprobs": [None, -0.5],
        "top_logprobs": [None, {"b": -0.5, "c": -2}],
    }
    (delta,) = Reader().read(
        {"choices": [{"index": 0, "text": "ab", "logprobs": logprobs, "finish_reason": "length"}]}
    )
    assert (delta.text, delta.finish, delta.token_count) == ("ab", Finish.LENGTH, 2)
    assert [(entry.token, entry.logprob, len(entry.top)) for entry in delta.logprobs] == [
        ("a", 0.0, 0),
        ("b", -0.5, 2),
    ]


def test_chat_log_probabilities_keep_their_bytes() -> None:
    entry = {"token": "\\xc3", "logprob": -1.0, "bytes": [195], "top_logprobs": []}
    (delta,) = Reader().read({"choices": [{"delta": {"content": ""}, "logprobs": {"content": [entry]}}]})
    assert delta.logprobs[0].token_bytes == b"\xc3"


def test_chunks_that_say_nothing_are_left_out() -> None:
    reader = Reader()
    assert reader.read({"choices": [{"delta": {"role": "assistant", "content": None}}]}) == []
    assert reader.read({"choices": []}) == []
    assert reader.read({}) == []
    assert not reader.begun


def test_an_unknown_reason_is_an_end() -> None:
    (delta,) = Reader().read({"choices": [{"delta": {}, "finish_reason": "eos_token"}]})
    assert delta.finish is Finish.STOP


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["choices", "delta", "content", "usage", "logprobs", "tool_calls", "index"]),
                inner,
            )
        ),
        max_leaves=12,
    )
)
def test_anything_else_is_malformed_and_no_more(chunk: Any) -> None:
    try:
        for delta in Reader().read(chunk):
            assert isinstance(delta.text, str)
            orjson.dumps(delta.extra)
    except Malformed:
        pass


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("openai+https://host/v1/", "https://host/v1"),
        ("openai+http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
    ],
)
def test_addresses(url: str, base: str) -> None:
    assert base_url(url) == base


@pytest.mark.parametrize(
    "url",
    [
        "https://host/v1",
        "openai+ftp://host",
        "openai+https://",
        "openai+https://u:secret@host/v1",
        "openai+https://h/v1?key=secret",
    ],
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        OpenAIEngine("m", url, {})
    assert "secret" not in str(refused.value)


async def test_a_missing_key_is_said_at_the_start(tmp_path: Path) -> None:
    for options in ({"api_key_file": tmp_path / "none"}, {"api_key_env": "SIXFOLD_TEST_NO_SUCH_KEY"}):
        with pytest.raises(ConfigError):
            await OpenAIEngine("m", "openai+http://127.0.0.1:1/v1", options).start()
