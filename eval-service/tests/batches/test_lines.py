"""A batch's file is looked at line by line before anything is asked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from eval_service.batches.lines import CHAT, EMBEDDINGS, RESPONSES, TEXT, read
from eval_service.batches.responses import to_chat


def line(custom_id: Any = "a", url: str = CHAT, method: str = "POST", **body: Any) -> bytes:
    if url == CHAT and "messages" not in body:
        body["messages"] = [{"role": "user", "content": "hi"}]
    return json.dumps(
        {"custom_id": custom_id, "method": method, "url": url, "body": {"model": "m", **body}}
    ).encode()


def test_good_lines_are_taken_in_order() -> None:
    parts = [{"type": "text", "text": "hi"}]
    found, errors = read(
        [
            line("a", temperature=0.5, stop=["x"], seed=3, n=2),
            b"",
            line("b", messages=[{"role": "user", "content": parts}], response_format={"type": "json_object"}),
        ],
        CHAT,
        most=10,
    )
    assert not errors
    assert [(each.index, each.custom_id) for each in found] == [(0, "a"), (1, "b")]
    assert not read([line(url=TEXT, prompt="x")], TEXT, most=10)[1]
    assert not read([line(url=EMBEDDINGS, input=["x", "y"])], EMBEDDINGS, most=10)[1]


@pytest.mark.parametrize(
    ("bad", "code", "param"),
    [
        (b"{", "invalid_json_line", None),
        (b"[" * 100_000, "invalid_json_line", None),
        (b"[]", "invalid_request", None),
        (line(custom_id=""), "missing_required_parameter", "custom_id"),
        (line(custom_id=7), "missing_required_parameter", "custom_id"),
        (line(method="GET"), "invalid_method", "method"),
        (line(url="/v1/other"), "invalid_url", "url"),
        (
            json.dumps({"custom_id": "a", "method": "POST", "url": CHAT}).encode(),
            "missing_required_parameter",
            "body",
        ),
        (line(model=""), "invalid_request", "body.model"),
        (line(messages=[]), "invalid_request", "body.messages"),
        (line(messages=[{"role": "robot", "content": "x"}]), "invalid_request", "body.messages"),
        (
            line(messages=[{"role": "user", "content": [{"type": "image_url"}]}]),
            "invalid_request",
            "body.messages",
        ),
        (line(temperature=3), "invalid_request", "body.temperature"),
        (line(temperature=True), "invalid_request", "body.temperature"),
        (line(n=1.5), "invalid_request", "body.n"),
        (line(stream=True), "invalid_request", "body.stream"),
        (line(tools=[]), "invalid_request", "body.tools"),
        (line(stop=[""]), "invalid_request", "body.stop"),
        (line(response_format={"type": "xml"}), "invalid_request", "body.response_format"),
        (line(guided_choice=[]), "invalid_request", "body.guided_choice"),
    ],
)
def test_a_bad_line_is_named(bad: bytes, code: str, param: str | None) -> None:
    _, errors = read([line("first"), bad], CHAT, most=10)
    assert [(each.line, each.code, each.param) for each in errors] == [(2, code, param)]
    assert errors[0].told()["message"].endswith(".")


def test_files_are_bounded() -> None:
    assert read([], CHAT, most=10)[1][0].code == "empty_file"
    many = [line(str(index)) for index in range(11)]
    assert read(many, CHAT, most=10)[1][0].code == "too_many_requests"
    assert len(read([b"no"] * 500, CHAT, most=10)[1]) == 100
    assert read([line("a"), line("a")], CHAT, most=10)[1][0].code == "duplicate_custom_id"


def test_responses_are_asked_as_chat() -> None:
    body: dict[str, Any] = {
        "instructions": "Be short.",
        "input": [
            {"role": "user", "content": "hi"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hello"}]},
            {"role": "user", "content": [{"type": "input_text", "text": "bye"}]},
        ],
        "max_output_tokens": 9,
        "temperature": 0.5,
        "text": {"format": {"type": "json_schema", "name": "city", "schema": {"type": "object"}}},
    }
    found, errors = read(
        [line(url=RESPONSES, **body), line("b", url=RESPONSES, input="hi")], RESPONSES, most=9
    )
    assert not errors
    chat = to_chat(found[0].body)
    assert [turn["role"] for turn in chat["messages"]] == ["system", "user", "assistant", "user"]
    assert chat["messages"][-1]["content"] == [{"type": "text", "text": "bye"}]
    assert (chat["max_completion_tokens"], chat["temperature"]) == (9, 0.5)
    assert chat["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert to_chat(found[1].body)["messages"] == [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input"),
        ({"input": [{"type": "function_call"}]}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "input"),
        ({"instructions": 7}, "instructions"),
        ({"store": True}, "store"),
        ({"stream": True}, "stream"),
        ({"tools": []}, "tools"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"text": {"verbosity": "low"}}, "text"),
        ({"text": {"format": {"type": "xml"}}}, "text.format"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format"),
    ],
)
def test_what_a_batch_of_responses_does_not_take_is_named(change: dict[str, Any], param: str) -> None:
    bad = line(url=RESPONSES, **({"input": "hi"} | change))
    found, errors = read([bad], RESPONSES, most=9)
    assert (found, errors[0].param) == ([], f"body.{param}")
