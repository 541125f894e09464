"""From the contract's messages to the domain's. Raises SixfoldError(INVALID_REQUEST) naming the field."""

from __future__ import annotations

import base64
from typing import Any

import orjson

from model_service.engines.types import Format, Generation, Message, Origin, Sampling, Speculation
from model_service.models.trained import Addition
from servicekit.errors import Reason, SixfoldError
from sixfold.model.v1 import generation_pb2, model_service_pb2

_ROLES = frozenset(("system", "developer", "user", "assistant", "tool"))
_SAMPLING = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
)
_MODES = {
    generation_pb2.Speculation.MODE_OFF: "off",
    generation_pb2.Speculation.MODE_PROMPT_LOOKUP: "prompt_lookup",
    generation_pb2.Speculation.MODE_DRAFT_MODEL: "draft_model",
}
_PICTURES = ((b"\x89PNG", "image/png"), (b"\xff\xd8", "image/jpeg"), (b"RIFF", "image/webp"))
_LONGEST_ID = 128
_MAX_STOPS = 4
_MAX_CHOICES = 128


def to_generation(
    request: model_service_pb2.GenerateRequest, *, deadline: float, takes_extra: bool
) -> Generation:
    """`takes_extra` says whether the engine wants fields that the contract does not name."""
    if bool(request.messages) == bool(request.prompt):
        raise invalid("Exactly one of messages and prompt is given.", "messages")
    if len(request.stop) > _MAX_STOPS or not all(request.stop):
        raise invalid(f"stop takes up to {_MAX_STOPS} strings, none empty.", "stop")
    if request.n > _MAX_CHOICES:
        raise invalid(f"n must be at most {_MAX_CHOICES}.", "n")
    if request.top_logprobs > 20:
        raise invalid("top_logprobs must be at most 20.", "top_logprobs")
    return Generation(
        request_id=request.request_id,
        model=request.model,
        messages=[_message(turn, index) for index, turn in enumerate(request.messages)] or None,
        prompt=request.prompt or None,
        sampling=_sampling(request.sampling),
        max_tokens=request.max_tokens or None,
        stop=tuple(request.stop),
        n=request.n or 1,
        logprobs=request.logprobs,
        top_logprobs=request.top_logprobs,
        format=_format(request.response_format) if request.HasField("response_format") else None,
        tools=[_tool(tool, index) for index, tool in enumerate(request.tools)],
        tool_choice=_tool_choice(request.tool_choice) if request.HasField("tool_choice") else None,
        speculation=_speculation(request.speculation) if request.HasField("speculation") else None,
        adapter=request.adapter or None,
        stream=request.stream,
        extra=json_object(request.extra_json, "extra_json") if takes_extra else {},
        deadline=deadline,
    )


def to_addition(request: model_service_pb2.AddModelRequest, *, tenant: str, base: str) -> Addition:
    """`base` is the base's own name, whichever alias the request gives. Nothing is checked yet."""
    if not request.request_id or len(request.request_id) > _LONGEST_ID:
        raise invalid(f"1 to {_LONGEST_ID} characters are expected.", "request_id")
    if len(request.job_id) > _LONGEST_ID:
        raise invalid(f"At most {_LONGEST_ID} characters are expected.", "job_id")
    return Addition(
        name=request.name,
        base=base,
        form=request.form,
        object_key=request.object_key,
        version=request.version or request.sha256[:16],
        origin=Origin(tenant, base, request.job_id, request.data_sha256, request.sha256),
        request_id=request.request_id,
    )


def json_object(raw: bytes, where: str) -> dict[str, Any]:
    """Bytes that must be a JSON object, or nothing."""
    if not raw:
        return {}
    value = _json(raw, where)
    if not isinstance(value, dict):
        raise invalid("A JSON object is expected.", where)
    return value


def invalid(message: str, param: str) -> SixfoldError:
    """A request that does not follow the contract."""
    return SixfoldError(Reason.INVALID_REQUEST, message, param=param)


def _json(raw: bytes, where: str) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise invalid("JSON is expected.", where) from None


def _message(turn: generation_pb2.Message, index: int) -> Message:
    where = f"messages[{index}]"
    if turn.role not in _ROLES:
        raise invalid(f"The role must be one of {', '.join(sorted(_ROLES))}.", f"{where}.role")
    message: Message = json_object(turn.extra_json, f"{where}.extra_json")
    message["role"] = turn.role
    parts = turn.content
    if len(parts) == 1 and parts[0].WhichOneof("part") == "text":
        message["content"] = parts[0].text
    elif parts:
        message["content"] = [_part(part, f"{where}.content[{at}]") for at, part in enumerate(parts)]
    else:
        message["content"] = None if turn.tool_calls else ""
    if turn.name:
        message["name"] = turn.name
    if turn.tool_call_id:
        message["tool_call_id"] = turn.tool_call_id
    if turn.tool_calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in turn.tool_calls
        ]
    return message


def _part(part: generation_pb2.ContentPart, where: str) -> dict[str, Any]:
    kind = part.WhichOneof("part")
    if kind == "text":
        return {"type": "text", "text": part.text}
    if kind == "other_json":
        return json_object(part.other_json, where)
    if kind != "image" or part.image.WhichOneof("source") is None:
        raise invalid("A content part is empty.", where)
    url = part.image.url
    if not url:
        data = part.image.data
        kinds = [name for start, name in _PICTURES if data.startswith(start)]
        if not kinds:
            raise invalid("The picture is neither PNG, JPEG nor WebP.", where)
        url = f"data:{kinds[0]};base64,{base64.b64encode(data).decode()}"
    picture = {"url": url, "detail": part.image.detail} if part.image.detail else {"url": url}
    return {"type": "image_url", "image_url": picture}


def _sampling(sampling: generation_pb2.Sampling) -> Sampling:
    given = {name: getattr(sampling, name) for name in _SAMPLING if sampling.HasField(name)}
    return Sampling(**given, logit_bias=dict(sampling.logit_bias))


def _format(given: generation_pb2.ResponseFormat) -> Format | None:
    kind = given.WhichOneof("format")
    if kind == "json_schema":
        return Format("json_schema", _json(given.json_schema, "response_format"))
    if kind == "json_object":
        return Format("json_object") if given.json_object else None
    if kind == "choice":
        return Format("choice", list(given.choice.values))
    if kind is None:
        return None
    return Format(kind, getattr(given, kind))


def _tool(tool: generation_pb2.Tool, index: int) -> dict[str, Any]:
    where = f"tools[{index}]"
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    if tool.parameters_json:
        function["parameters"] = json_object(tool.parameters_json, f"{where}.parameters")
    if tool.strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def _tool_choice(choice: generation_pb2.ToolChoice) -> Any:
    if choice.WhichOneof("choice") == "function_name":
        return {"type": "function", "function": {"name": choice.function_name}}
    return choice.mode or None


def _speculation(given: generation_pb2.Speculation) -> Speculation | None:
    mode = _MODES.get(given.mode)
    if mode is None:
        return None
    return Speculation(mode, given.max_draft_tokens or None, given.draft_model or None)  # type: ignore[arg-type]
