"""Questions as tensors, responses as pieces, without a server."""

from __future__ import annotations

import struct
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2

from model_service.adapters.triton.address import Address
from model_service.adapters.triton.answer import Answer
from model_service.adapters.triton.failures import from_message, from_status
from model_service.adapters.triton.profiles import PROFILES, TENSORRT_LLM
from model_service.adapters.triton.request import build, check
from model_service.adapters.triton.server import Served
from model_service.adapters.triton.wire import add_input, read_outputs
from model_service.engines.types import Finish, Format, Generation, Sampling, Speculation
from model_service.models.config import ConfigError
from servicekit.errors import Reason, SixfoldError

BLS = {
    "text_input": ("BYTES", 2),
    "max_tokens": ("INT32", 2),
    "stream": ("BOOL", 2),
    "stop_words": ("BYTES", 2),
    "temperature": ("FP32", 2),
    "top_k": ("INT32", 2),
    "top_p": ("FP32", 2),
    "seed": ("UINT64", 2),
    "min_tokens": ("INT32", 2),
    "exclude_input_in_output": ("BOOL", 2),
    "return_num_output_tokens": ("BOOL", 2),
    "num_draft_tokens": ("INT32", 2),
    "guided_decoding_guide_type": ("BYTES", 2),
    "guided_decoding_guide": ("BYTES", 2),
}


def served(**changes: Any) -> Served:
    fields = {"inputs": BLS, "outputs": frozenset({"text_output"}), "decoupled": True, "cumulative": False}
    return Served(**{**fields, "drafts": False, "digest": "d", **changes})


def tensors(request: Generation, **changes: Any) -> dict[str, Any]:
    message = build(
        request, TENSORRT_LLM, served(**changes), model="m", version="", prompt="hi", max_tokens=5
    )
    assert message.parameters["triton_enable_empty_final_response"].bool_param
    found = {}
    for tensor, raw in zip(message.inputs, message.raw_input_contents, strict=True):
        assert tensor.shape[0] == 1, "a batch of one"
        reply = service_pb2.ModelInferResponse(raw_output_contents=[raw])
        output = reply.outputs.add()
        output.name, output.datatype = tensor.name, tensor.datatype
        values = read_outputs(reply)[tensor.name]
        assert list(tensor.shape) == [1, len(values)]
        found[tensor.name] = values if len(values) > 1 else values[0]
    return found


def ask(**fields: Any) -> Generation:
    return Generation(**{"request_id": "r", "model": "m", "prompt": "hi"} | fields)


def test_unset_sampling_means_what_it_means_elsewhere() -> None:
    found = tensors(ask())
    assert found == {
        "text_input": b"hi",
        "max_tokens": 5,
        "stream": True,
        "temperature": 1.0,
        "top_p": 1.0,
        "exclude_input_in_output": True,
        "return_num_output_tokens": True,
    }


def test_greedy_is_one_candidate() -> None:
    found = tensors(ask(sampling=Sampling(temperature=0, top_p=0.3, top_k=9)))
    assert found["top_k"] == 1
    assert not {"temperature", "top_p"} & found.keys()


def test_stop_words_and_negative_seeds() -> None:
    found = tensors(ask(stop=("a", "ż"), sampling=Sampling(seed=-2)))
    assert found["stop_words"] == [b"a", "ż".encode()]
    assert found["seed"] == 2**64 - 2


@pytest.mark.parametrize(
    ("form", "kind", "guide"),
    [
        (Format("json_object"), b"json", b""),
        (Format("json_schema", {"type": "object"}), b"json_schema", b'{"type": "object"}'),
        (Format("regex", "[a-z]+"), b"regex", b"[a-z]+"),
        (Format("grammar", "root ::= x"), b"ebnf_grammar", b"root ::= x"),
        (Format("choice", ["a+", "b"]), b"regex", rb"(a\+)|(b)"),
    ],
)
def test_guides(form: Format, kind: bytes, guide: bytes) -> None:
    found = tensors(ask(format=form))
    assert (found["guided_decoding_guide_type"], found["guided_decoding_guide"]) == (kind, guide)


def test_drafting_needs_a_draft_model_and_does_not_stream() -> None:
    drafting = Speculation("draft_model", max_draft_tokens=3)
    assert "num_draft_tokens" not in tensors(ask(speculation=drafting))
    found = tensors(ask(speculation=drafting), drafts=True)
    assert (found["num_draft_tokens"], found["stream"]) == (3, False)


def test_extra_fields_named_like_tensors_reach_the_model() -> None:
    assert tensors(ask(extra={"min_tokens": 4, "user": "kept out", "top_p": 0.1}))["min_tokens"] == 4


def test_extra_fields_that_do_not_fit_are_refused() -> None:
    with pytest.raises(SixfoldError) as refused:
        tensors(ask(extra={"min_tokens": "many"}))
    assert (refused.value.reason, refused.value.param) == (Reason.INVALID_REQUEST, "min_tokens")


def test_sampling_that_the_model_lacks_is_refused() -> None:
    for sampling, param in (
        (Sampling(min_p=0.1), "min_p"),
        (Sampling(presence_penalty=1), "presence_penalty"),
    ):
        with pytest.raises(SixfoldError) as refused:
            tensors(ask(sampling=sampling))
        assert (refused.value.reason, refused.value.param) == (Reason.UNSUPPORTED_PARAMETER, param)


def test_tools_are_refused_unless_switched_off() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    check(ask(tools=tools, tool_choice="none"), TENSORRT_LLM)
    with pytest.raises(SixfoldError):
        check(ask(tools=tools), TENSORRT_LLM)


def response(**outputs: Any) -> Any:
    reply = service_pb2.ModelInferResponse()
    for name, value in outputs.items():
        tensor = reply.outputs.add()
        tensor.name, tensor.datatype = name, "INT32" if isinstance(value, int) else "BYTES"
        raw = struct.pack("<i", value) if isinstance(value, int) else struct.pack("<I", len(value)) + value
        reply.raw_output_contents.append(raw)
    return reply


def answer(*stops: str, max_tokens: int = 10, cumulative: bool = False) -> Answer:
    return Answer(stops, max_tokens=max_tokens, cumulative=cumulative, prompt_tokens=4)


def read(found: Answer, *texts: str, **more: Any) -> list[str]:
    deltas = [found.add(response(text_output=text.encode(), **more)) for text in texts]
    return [delta.text for delta in deltas if delta]


def test_the_limit_is_told_by_the_counts() -> None:
    for tokens, finish in ((10, Finish.LENGTH), (9, Finish.STOP)):
        found = answer()
        for _ in range(tokens):
            found.add(response(text_output=b"x", num_output_tokens=1, num_input_tokens=7))
        assert found.end().finish is finish
        assert (found.usage(None).prompt_tokens, found.usage(None).completion_tokens) == (7, tokens)


def test_a_reason_given_is_believed() -> None:
    found = answer(max_tokens=1)
    found.add(response(text_output=b"x", num_output_tokens=1, finish_reason=b"None"))
    found.add(response(text_output=b"", finish_reason=b"stop"))
    assert found.end().finish is Finish.STOP


def test_stop_words_that_the_back_end_leaves_in_are_cut() -> None:
    found = answer("STOP")
    assert read(found, "one S", "T", "OP and more") == ["one "]
    assert found.complete
    assert found.end().text == ""
    assert found.end().finish is Finish.STOP


def test_what_was_held_back_comes_at_the_end() -> None:
    found = answer("STOP")
    assert read(found, "one ST", num_output_tokens=2) == ["one "]
    last = found.end()
    assert (last.text, last.token_count) == ("ST", 0)


def test_text_so_far_becomes_new_text() -> None:
    found = answer(cumulative=True)
    assert read(found, "a", "ab", "ab\N{REPLACEMENT CHARACTER}", "abż", "abż c") == ["a", "b", "ż", " c"]


def test_pieces_from_a_back_end_said_to_repeat_itself() -> None:
    assert read(answer(cumulative=True), "one", " two", " three") == ["one", " two", " three"]


@pytest.mark.parametrize(
    ("url", "target", "model", "version", "profile", "tls"),
    [
        ("triton://gpu:9001/llama?profile=vllm", "gpu:9001", "llama", "", "vllm", False),
        ("triton://gpu/llama/3", "gpu:8001", "llama", "3", "tensorrtllm", False),
        ("tritons://[::1]:9/my%2Fmodel?profile=llmapi", "[::1]:9", "my/model", "", "llmapi", True),
    ],
)
def test_addresses(url: str, target: str, model: str, version: str, profile: str, tls: bool) -> None:
    assert Address.parse(url) == Address(target, model, version, PROFILES[profile], tls)


@pytest.mark.parametrize(
    "url",
    [
        "triton://gpu",
        "triton:///llama",
        "triton://gpu:port/llama",
        "triton://gpu/a/b/c",
        "triton://gpu/a?profile=other",
        "triton://gpu/a?x=1",
        "http://gpu/a",
    ],
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ConfigError):
        Address.parse(url)


CODE = grpc.StatusCode


@pytest.mark.parametrize(
    ("code", "text", "begun", "reason"),
    [
        (CODE.UNAVAILABLE, "failed to connect to all addresses", False, Reason.ENGINE_UNAVAILABLE),
        (CODE.UNAVAILABLE, "Socket closed", True, Reason.STREAM_INTERRUPTED),
        (CODE.NOT_FOUND, "Request for unknown model: 'x' is not found", False, Reason.ENGINE_UNAVAILABLE),
        (
            CODE.UNAVAILABLE,
            "Request for unknown model: 'x' has no available versions",
            False,
            Reason.ENGINE_UNAVAILABLE,
        ),
        (CODE.DEADLINE_EXCEEDED, "Deadline Exceeded", True, Reason.DEADLINE_EXCEEDED),
        (CODE.UNAVAILABLE, "Exceeds maximum queue size", False, Reason.QUEUE_FULL),
        (
            CODE.INTERNAL,
            "Prompt length (9) exceeds maximum input length (8)",
            False,
            Reason.CONTEXT_LENGTH_EXCEEDED,
        ),
        (CODE.INVALID_ARGUMENT, "top_p must be below 1", False, Reason.INVALID_REQUEST),
        (CODE.UNAUTHENTICATED, "no", False, Reason.ENGINE_UNAVAILABLE),
        (CODE.INTERNAL, "CUDA error in /secret/file.cu", False, Reason.ENGINE_FAILED),
        (CODE.INTERNAL, "CUDA error in /secret/file.cu", True, Reason.STREAM_INTERRUPTED),
    ],
)
def test_failures(code: grpc.StatusCode, text: str, begun: bool, reason: Reason) -> None:
    error = from_status(code, text, begun=begun)
    assert error.reason is reason
    assert "secret" not in error.message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Request for unknown model: 'x' is not found", Reason.ENGINE_UNAVAILABLE),
        ("Stub process 'x_0_0' is not healthy.", Reason.ENGINE_UNAVAILABLE),
        ("[request id: 1] unexpected inference input 'top_q' for model 'x'", Reason.INVALID_REQUEST),
        ("Traceback (most recent call last): Boom", Reason.ENGINE_FAILED),
    ],
)
def test_failures_without_a_code(text: str, reason: Reason) -> None:
    assert from_message(text, begun=False).reason is reason


@pytest.mark.parametrize(
    ("datatype", "values"),
    [("INT32", [2**40]), ("FP32", ["x"]), ("INT32", [None]), ("UINT64", ["x"]), ("INT8", [1.5])],
)
def test_values_that_do_not_fit(datatype: str, values: list[Any]) -> None:
    request = service_pb2.ModelInferRequest()
    with pytest.raises((struct.error, TypeError, ValueError, OverflowError)):
        add_input(request, "x", datatype, 1, values)
    assert not request.inputs
