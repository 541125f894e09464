"""Whatever a body holds, it is parsed or refused with a clear error: never a crash."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.adapters.model_client import _generate_request
from gateway.caching.exact import key_of
from gateway.openai import chat, completion, embedding
from gateway.openai.request import Generation
from gateway.openai.responses.output import ResponseBuilder
from gateway.openai.responses.request import KNOWN as RESPONSE_FIELDS
from gateway.openai.responses.request import ResponseRequest, parse_response
from gateway.routing.ports import Card
from servicekit.errors import SixfoldError

_CARD = Card("m", "v", (), frozenset(), 0, "e", True, 0)
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["user", "assistant", "tool", "text", "function", "auto", "json_schema"])
)
_INNER = [
    *("role", "content", "tool_calls", "tool_call_id", "type", "text", "image_url", "url", "detail", "id"),
    *("function", "name", "arguments", "parameters", "schema", "include_usage", "parallel_tool_calls"),
    *("file_search", "vector_store_ids", "input_text", "message", "format", "call_id", "output"),
]
_NAMES = st.text(max_size=6) | st.sampled_from(
    sorted({*chat.KNOWN, *completion.KNOWN, *embedding.KNOWN, *RESPONSE_FIELDS, *_INNER})
)
_VALUES: st.SearchStrategy[Any] = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=12,
)
_TURNS = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system", "tool"]), "content": _VALUES},
        optional={"tool_calls": _VALUES, "tool_call_id": _VALUES, "name": _VALUES, "x": _VALUES},
    ),
    max_size=3,
)
_BODIES = st.fixed_dictionaries(
    {"model": st.just("m")}, optional={"messages": _TURNS, "prompt": st.text(max_size=5), "input": _VALUES}
).flatmap(lambda fixed: st.dictionaries(_NAMES, _VALUES, max_size=4).map(lambda more: more | fixed))


_PARSERS = [chat.parse_chat, completion.parse_completion, embedding.parse_embedding, parse_response]


@pytest.mark.parametrize("parse", _PARSERS)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=_BODIES | _VALUES, ascii_only=st.booleans())
def test_any_json(parse: Callable[[bytes], Any], body: Any, ascii_only: bool) -> None:
    raw = json.dumps(body, ensure_ascii=ascii_only, indent=1).encode("utf-8", "surrogatepass")
    try:
        request = parse(raw)
    except SixfoldError as error:
        assert 400 <= error.status.http < 500
        return
    if isinstance(request, ResponseRequest):
        request.follow([])
        json.dumps(ResponseBuilder(request, "resp_1", 1, "m").response)
        request = request.generation
    if request.extra:
        assert isinstance(json.loads(request.extra), dict)
    key_of("tenant", _CARD, "chat", request.body, request.extra)
    if isinstance(request, Generation):  # what was let in also fits the contract's messages
        _generate_request(request, "m", "id").SerializeToString()


@pytest.mark.parametrize("parse", _PARSERS)
@settings(max_examples=300, deadline=None)
@given(
    raw=st.binary(max_size=60)
    | st.text(alphabet='{}[]",:\\u0159truefalsnm model', max_size=60).map(str.encode)
)
def test_any_bytes(parse: Callable[[bytes], Any], raw: bytes) -> None:
    with pytest.raises(SixfoldError):
        parse(raw)
