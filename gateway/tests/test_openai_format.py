"""Parts of the wire format that are easier to see alone."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.openai import verbatim
from gateway.openai.answer import Gathered, merge, write_chat
from gateway.openai.chunks import ChatChunks
from gateway.openai.errors import code_of, error_body, retry_headers
from gateway.openai.pieces import ServedBy
from servicekit.errors import Reason, SixfoldError
from sixfold.model.v1 import generation_pb2 as gen

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=15,
)


@given(st.dictionaries(st.text(max_size=6), _JSON, max_size=6), st.sampled_from([None, 1, 4]), st.booleans())
def test_members_are_cut_out_exactly(value: dict[str, object], indent: int | None, plain: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=plain)
    found = verbatim.members(" \n" + text)
    assert {name: json.loads(part) for name, part in found.items()} == value
    assert all(part in text for part in found.values())
    assert json.loads(verbatim.without(found, ()) or b"{}") == value


@given(st.lists(_JSON, max_size=6), st.sampled_from([None, 2]))
def test_items_are_cut_out_exactly(value: list[object], indent: int | None) -> None:
    assert [json.loads(part) for part in verbatim.items(json.dumps(value, indent=indent))] == value


def test_nesting_has_an_end() -> None:
    with pytest.raises(SixfoldError) as caught:
        verbatim.members('{"x":' + "[" * 100_000 + "]" * 100_000 + "}")
    assert caught.value.reason is Reason.INVALID_JSON


@given(st.text())
def test_a_piece_of_text_is_valid_json_whatever_it_holds(text: str) -> None:
    writer = ChatChunks("id", 1, ServedBy("m", "v", "e"), False)
    deltas = [gen.Delta(text="a"), gen.Delta(text=text)]
    events = b"".join(writer.pieces(deltas)).decode().strip().split("\n\n")
    said = [
        json.loads(event.removeprefix("data: "))["choices"][0]["delta"].get("content") for event in events
    ]
    assert "".join(said) == "a" + text


def test_engines_own_fields_grow_or_are_replaced() -> None:
    into: dict[str, object] = {"text": "a", "list": [1], "inner": {"n": 1, "t": "x"}, "n": 1}
    merge(into, {"text": "b", "list": [2], "inner": {"t": "y"}, "n": 2, "new": None})
    assert into == {"text": "ab", "list": [1, 2], "inner": {"n": 1, "t": "xy"}, "n": 2, "new": None}


def test_an_answer_without_text_has_null_content_only_beside_calls() -> None:
    gathered = Gathered()
    gathered.add([gen.Delta(finish_reason=1)])
    gathered.served_by = ServedBy("m", "", "e")
    body = json.loads(write_chat(gathered.record(), "id", 1))
    assert body["choices"][0]["message"]["content"] == ""
    assert body["system_fingerprint"] is None
    gathered.add([gen.Delta(tool_calls=[gen.ToolCallDelta(index=1, id="b", name="f")])])
    message = json.loads(write_chat(gathered.record(), "id", 1))["choices"][0]["message"]
    assert message["content"] is None
    assert [call["id"] for call in message["tool_calls"]] == ["", "b"]


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_body(reason: Reason) -> None:
    error = SixfoldError(reason, "Words.", retry_after=0.25)
    body = json.loads(error_body(error))["error"]
    assert body == {
        "message": "Words.",
        "type": error.status.openai_type,
        "param": None,
        "code": code_of(error),
    }
    headers = dict(retry_headers(error))
    assert headers[b"retry-after"] == b"1"
    assert headers[b"retry-after-ms"] == b"250"
    assert headers[b"x-should-retry"] in (b"true", b"false")
