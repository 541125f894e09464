"""The Responses API's wire format: requests read, items made turns, events as the client reads them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from gateway.grounding.flight import Piece
from gateway.openai.responses.events import ResponseEvents
from gateway.openai.responses.items import to_turns
from gateway.openai.responses.output import ResponseBuilder
from gateway.openai.responses.replay import stored_events
from gateway.openai.responses.request import ResponseRequest, parse_response
from gateway.retrieval.types import Hit, Passage
from servicekit.errors import Reason, SixfoldError

BASE = {"model": "m", "input": "hi"}
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
SEARCH = {"type": "file_search", "vector_store_ids": ["vs_1"]}
FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}
PASSAGE = Passage("p", 0, "text", 1, 2, ("Head",), 0, 4, "en")
HIT = Hit("file-1", "a.md", "vs_1", 0.5, {"year": 2024.0}, PASSAGE)


def parse(**fields: Any) -> ResponseRequest:
    return parse_response(orjson.dumps(BASE | fields))


def read(stream: bytes) -> list[Any]:
    """The events, checked against the official client's own types and against their order."""
    found: list[Any] = []
    for block in stream.decode().split("\n\n"):
        if not block:
            continue
        head, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert head == f"event: {event['type']}"
        assert event["sequence_number"] == len(found)
        EVENT.validate_python(event)
        found.append(event)
    return found


def test_a_plain_request() -> None:
    request = parse(instructions="Be kind.", max_output_tokens=16, temperature=0, seed=3, metadata={"a": "b"})
    request.follow([])
    generation = request.generation
    assert [(turn.role, turn.content) for turn in generation.messages or ()] == [
        ("system", ["Be kind."]),
        ("user", ["hi"]),
    ]
    assert (generation.max_tokens, generation.sampling.temperature, generation.sampling.seed) == (16, 0, 3)
    assert (request.store, request.results, generation.extra) == (True, False, b"")
    assert request.echo["metadata"] == {"a": "b"}
    assert request.items[0]["id"].startswith("msg_")


def test_items_become_turns() -> None:
    items = [
        {"role": "developer", "content": "d"},
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}],
        },
        {"role": "user", "content": [{"type": "input_image", "image_url": "https://x/y.png"}]},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"role": "assistant", "content": [{"type": "output_text", "text": "I look.", "annotations": []}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "c2", "name": "g", "arguments": ""},
        {"type": "function_call_output", "call_id": "c1", "output": "1"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "2"}]},
    ]
    request = parse(input=items)
    turns = to_turns(request.items)
    assert [turn.role for turn in turns] == ["developer", "user", "user", "assistant", "tool", "tool"]
    assert turns[1].content == ["a", "b"]
    assert turns[2].content == [("https://x/y.png", "auto")]
    assert [call.id for call in turns[3].tool_calls or ()] == ["c1", "c2"]
    assert (turns[5].content, turns[5].tool_call_id) == (["2"], "c2")


def test_tools_and_formats_are_what_chats_have() -> None:
    schema = '{"type":"object","big":12345678901234567890123}'
    body = (
        f'{{"model":"m","input":"hi","tools":[{{"type":"function","name":"f","parameters":{schema}}},'
        f'{json.dumps(SEARCH)}],"odd":1.50,"reasoning":{{"effort":"low"}},'
        f'"text":{{"format":{{"type":"json_schema","name":"n","schema":{schema}}}}},'
        '"tool_choice":{"type":"function","name":"f"}}'
    )
    request = parse_response(body.encode())
    generation = request.generation
    assert generation.tools is not None
    assert (generation.tools[0].name, generation.tools[0].parameters) == ("f", schema.encode())
    assert generation.tool_name == "f"
    assert generation.format is not None
    assert (generation.format.kind, generation.format.value) == ("json_schema", schema.encode())
    assert generation.search is not None
    assert generation.search.store_ids == ["vs_1"]
    assert generation.extra == b'{"reasoning_effort":"low","odd":1.50}'


def test_a_search_that_is_not_wanted_is_not_made() -> None:
    assert parse(tools=[SEARCH]).generation.search is not None
    assert parse(tools=[SEARCH], tool_choice="required").generation.search is not None
    assert parse(tools=[SEARCH], tool_choice={"type": "file_search"}).generation.search is not None
    assert parse(tools=[SEARCH], tool_choice="none").generation.search is None


@pytest.mark.parametrize(
    ("fields", "param", "reason"),
    [
        ({"input": None}, "input", Reason.INVALID_REQUEST),
        ({"input": ""}, "input", Reason.INVALID_REQUEST),
        ({"input": []}, "input", Reason.INVALID_REQUEST),
        ({"input": 1}, "input", Reason.INVALID_REQUEST),
        ({"input": [1]}, "input[0]", Reason.INVALID_REQUEST),
        ({"input": [{"role": "root", "content": ""}]}, "input[0].role", Reason.INVALID_REQUEST),
        ({"input": [{"role": "user"}]}, "input[0].content", Reason.INVALID_REQUEST),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type", Reason.UNSUPPORTED_PARAMETER),
        ({"input": [{"type": "function_call"}]}, "input[0].call_id", Reason.INVALID_REQUEST),
        (
            {"input": [{"type": "function_call_output", "call_id": "c"}]},
            "input[0].output",
            Reason.INVALID_REQUEST,
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]},
            "input[0].content[0].type",
            Reason.UNSUPPORTED_PARAMETER,
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]}]},
            "input[0].content[0].image_url",
            Reason.UNSUPPORTED_PARAMETER,
        ),
        ({"messages": []}, "messages", Reason.UNSUPPORTED_PARAMETER),
        ({"background": True}, "background", Reason.UNSUPPORTED_PARAMETER),
        ({"conversation": "c"}, "conversation", Reason.UNSUPPORTED_PARAMETER),
        ({"prompt": {"id": "p"}}, "prompt", Reason.UNSUPPORTED_PARAMETER),
        ({"truncation": "auto"}, "truncation", Reason.UNSUPPORTED_PARAMETER),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", Reason.UNSUPPORTED_PARAMETER),
        ({"tools": [{"type": "file_search"}]}, "tools[0].vector_store_ids", Reason.INVALID_REQUEST),
        ({"tools": [SEARCH, SEARCH]}, "tools[1]", Reason.INVALID_REQUEST),
        ({"tools": [SEARCH | {"max_num_results": 0}]}, "tools[0].max_num_results", Reason.INVALID_REQUEST),
        ({"tool_choice": "required"}, "tool_choice", Reason.INVALID_REQUEST),
        ({"tool_choice": {"type": "file_search"}}, "tool_choice", Reason.INVALID_REQUEST),
        ({"tool_choice": {"type": "mcp"}}, "tool_choice.type", Reason.UNSUPPORTED_PARAMETER),
        (
            {"tools": [FUNCTION], "tool_choice": {"type": "function", "name": "g"}},
            "tool_choice.name",
            Reason.INVALID_REQUEST,
        ),
        ({"max_output_tokens": 15}, "max_output_tokens", Reason.INVALID_REQUEST),
        ({"include": ["x"]}, "include[0]", Reason.INVALID_REQUEST),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata", Reason.INVALID_REQUEST),
        ({"metadata": {"a": 1}}, "metadata.a", Reason.INVALID_REQUEST),
        ({"stream_options": {"include_obfuscation": False}}, "stream_options", Reason.INVALID_REQUEST),
        (
            {"text": {"format": {"type": "json_schema", "name": "n"}}},
            "text.format.schema",
            Reason.INVALID_REQUEST,
        ),
    ],
)
def test_what_is_refused_names_the_field(fields: dict[str, Any], param: str, reason: Reason) -> None:
    with pytest.raises(SixfoldError) as failed:
        parse(**fields)
    assert (failed.value.param, failed.value.reason) == (param, reason)


def events(
    pieces: Sequence[Piece], *, queries: list[str] | None = None, request: ResponseRequest | None = None
) -> tuple[bytes, ResponseEvents]:
    writer = ResponseEvents(request or parse(), "resp_1", 5, "m", queries, [HIT] if queries else [])
    out = [writer.begin(), *writer.pieces(pieces), writer.end((7, 3, 2, 1, 0, 0))]
    return b"".join(out), writer


class _Call:
    def __init__(self, index: int, identifier: str, name: str, arguments: str) -> None:
        self.index, self.id, self.name, self.arguments = index, identifier, name, arguments


def test_the_events_of_a_searched_answer() -> None:
    annotation = {"type": "file_citation", "index": 5, "file_id": "file-1", "filename": "a.md"}
    request = parse(tools=[SEARCH], include=["file_search_call.results"])
    raw, writer = events(
        [
            Piece(text="It is"),
            Piece(text=" so."),
            Piece(extra_json=orjson.dumps({"annotations": [annotation]})),
            Piece(finish_reason=1),
        ],
        queries=["q"],
        request=request,
    )
    found = read(raw)
    assert [event["type"].removeprefix("response.") for event in found] == [
        "created", "in_progress", "output_item.added", "file_search_call.in_progress",
        "file_search_call.searching", "file_search_call.completed", "output_item.done", "output_item.added",
        "content_part.added", "output_text.delta", "output_text.delta", "output_text.annotation.added",
        "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    assert [event["output_index"] for event in found if "output_index" in event] == [0] * 5 + [1] * 8
    whole = Response.model_validate(found[-1]["response"])
    assert whole.output_text == "It is so."
    assert whole.output[0].to_dict()["results"][0]["file_id"] == "file-1"  # type: ignore[index]
    assert found[0]["response"]["output"] == []
    assert whole.usage is not None
    assert (whole.usage.input_tokens, whole.usage.output_tokens, whole.usage.total_tokens) == (7, 3, 10)
    assert found[-1]["response"] == writer.builder.response
    assert read(stored_events(writer.builder.response))[-1]["response"] == found[-1]["response"]


def test_reasoning_text_and_calls_are_items_of_their_own() -> None:
    raw, writer = events(
        [
            Piece(reasoning="hm"),
            Piece(text="I call."),
            Piece(tool_calls=[_Call(0, "c1", "f", '{"a":')]),
            Piece(tool_calls=[_Call(0, "", "", "1}")]),
            Piece(tool_calls=[_Call(1, "c2", "g", "")]),
            Piece(finish_reason=3),
        ]
    )
    found = read(raw)
    output = writer.builder.response["output"]
    assert [item["type"] for item in output] == ["reasoning", "message", "function_call", "function_call"]
    assert {item["status"] for item in output} == {"completed"}
    assert (output[2]["call_id"], output[2]["arguments"]) == ("c1", '{"a":1}')
    assert found[-1]["type"] == "response.completed"
    assert [turn.role for turn in to_turns(output)] == ["assistant"]
    assert [event["type"] for event in read(stored_events(writer.builder.response))][
        -1
    ] == "response.completed"


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [(1, "completed", None), (2, "incomplete", "max_output_tokens"), (4, "incomplete", "content_filter")],
)
def test_how_it_ends(finish: int, status: str, reason: str | None) -> None:
    raw, writer = events([Piece(text="x", finish_reason=finish)])
    last = read(raw)[-1]
    assert last["type"] == f"response.{status}"
    assert (last["response"]["incomplete_details"] or {}).get("reason") == reason
    assert writer.builder.response["output"][0]["status"] == status


def test_an_answer_of_no_words_is_a_message() -> None:
    _, writer = events([Piece(finish_reason=1)])
    assert Response.model_validate(writer.builder.response).output_text == ""


def test_an_answer_that_broke_off() -> None:
    writer = ResponseEvents(parse(), "resp_1", 5, "m", None, [])
    error = SixfoldError(Reason.STREAM_INTERRUPTED, "It broke off.")
    raw = writer.begin() + b"".join(writer.pieces([Piece(text="Half")])) + writer.broken(error)
    found = read(raw)
    assert [event["type"] for event in found[-2:]] == ["error", "response.failed"]
    assert found[-2]["code"] == "stream_interrupted"
    assert found[-1]["response"]["error"] == {"code": "server_error", "message": "It broke off."}
    assert found[-1]["response"]["output"][0]["content"][0]["text"] == "Half"
    unbegun = ResponseEvents(parse(), "resp_1", 5, "m", None, [])
    assert read(unbegun.broken(error))[0]["type"] == "response.created"


def test_a_whole_answer_is_what_the_stream_makes() -> None:
    citation = {"type": "file_citation", "index": 3, "file_id": "file-1", "filename": "a.md"}
    record = {
        "text": "Hi.", "reasoning": "", "refusal": "", "logprobs": [],
        "tool_calls": [{"id": "c", "name": "f", "arguments": "{}"}],
        "finish": "tool_calls", "extra": {"annotations": [citation]},
    }  # fmt: skip
    builder = ResponseBuilder(parse(), "resp_1", 5, "m")
    builder.begin(None, ())
    builder.take(record)
    builder.finish((1, 1, 0, 0, 0, 0))
    message, call = builder.response["output"]
    assert message["content"][0]["annotations"] == [citation]
    assert (call["name"], call["status"]) == ("f", "completed")
    Response.model_validate(builder.response)
