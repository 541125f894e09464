"""A question as the tensors that a profile names."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from typing import Any

from tritonclient.grpc import service_pb2

from model_service.adapters.triton.profiles import Profile
from model_service.adapters.triton.server import Served
from model_service.adapters.triton.wire import add_input, can_send
from model_service.engines.types import Capability, Format, Generation
from servicekit.errors import Reason, SixfoldError

_DRAFT_TOKENS = 5
_TRITON_GUIDES = {
    "json_object": "json",
    "json_schema": "json_schema",
    "regex": "regex",
    "grammar": "ebnf_grammar",
}
_VLLM_GUIDES = {"json_schema": "json", "regex": "regex", "grammar": "grammar", "choice": "choice"}
_EMPTY_FINAL = "triton_enable_empty_final_response"


def check(request: Generation, profile: Profile) -> None:
    """Raises UNSUPPORTED_PARAMETER for what no Triton back end of this profile can do."""
    wanted = {
        "n": request.n != 1,
        "tools": bool(request.tools) and request.tool_choice != "none",
        "logprobs": request.logprobs and not profile.logprobs,
        "adapter": request.adapter is not None and not profile.adapter,
        "response_format": request.format is not None and not profile.guide,
    }
    for name, asked in wanted.items():
        if asked:
            raise unsupported(name)


def capabilities(profile: Profile, served: Served, *, chat: bool) -> frozenset[Capability]:
    """What the model can be asked for, by the tensors that it declares."""
    found = {Capability.COMPLETION}
    if chat:
        found.add(Capability.CHAT)
    if profile.parameters or profile.sampling["seed"] in served.inputs:
        found.add(Capability.SEED)
    if profile.guide and (profile.parameters or profile.guide in served.inputs):
        found.add(Capability.STRUCTURED_OUTPUT)
    if profile.logprobs in served.inputs:
        found.add(Capability.LOGPROBS)
    return frozenset(found)


def build(
    request: Generation,
    profile: Profile,
    served: Served,
    *,
    model: str,
    version: str,
    prompt: str,
    max_tokens: int,
) -> Any:
    """A ModelInferRequest. Raises UNSUPPORTED_PARAMETER, INVALID_REQUEST."""
    values = dict(_values(request, profile, served, max_tokens))
    values["text_input"] = [prompt]
    # A field of the request that is named like a tensor of the model reaches it.
    for name, value in request.extra.items():
        if name in served.inputs and name not in values and can_send(served.inputs[name][0]):
            values[name] = value if isinstance(value, list) else [value]
    message = service_pb2.ModelInferRequest(model_name=model, model_version=version, id=request.request_id)
    for name, value in values.items():
        datatype, rank = served.inputs[name]
        try:
            add_input(message, name, datatype, rank, value)
        except (struct.error, TypeError, ValueError, OverflowError) as error:
            raise SixfoldError(
                Reason.INVALID_REQUEST, f"The value of {name} does not fit the model.", param=name
            ) from error
    message.parameters[_EMPTY_FINAL].bool_param = True
    return message


def build_cancel(request_id: str, profile: Profile, served: Served, *, model: str, version: str) -> Any:
    """The second request of one id that ends the first."""
    message = service_pb2.ModelInferRequest(model_name=model, model_version=version, id=request_id)
    for name, value in (("text_input", ""), (profile.cancel, True)):
        if name in served.inputs:
            add_input(message, name, *served.inputs[name], [value])
    return message


def unsupported(param: str) -> SixfoldError:
    return SixfoldError(Reason.UNSUPPORTED_PARAMETER, f"This model does not support {param}.", param=param)


def _values(
    request: Generation, profile: Profile, served: Served, max_tokens: int
) -> Mapping[str, list[Any]]:
    sampling = _sampling(request, profile)
    if profile.parameters:
        return _as_json(request, profile, served, sampling, max_tokens)
    values: dict[str, list[Any]] = {profile.max_tokens: [max_tokens]}
    for field, value in sampling.items():
        _set(values, served, profile.sampling.get(field, ""), [value], param=field)
    if request.stop:
        _set(values, served, profile.stop, list(request.stop), param="stop")
    if request.format is not None:
        kind, guide = _guide(request.format)
        _set(values, served, profile.guide_type, [kind], param="response_format")
        _set(values, served, profile.guide, [guide], param="response_format")
    drafts = request.speculation is not None and request.speculation.mode == "draft_model"
    if drafts and served.drafts and profile.draft_tokens in served.inputs:
        assert request.speculation is not None
        values[profile.draft_tokens] = [request.speculation.max_draft_tokens or _DRAFT_TOKENS]
    _add_flags(values, profile, served, stream=profile.draft_tokens not in values and request.stream)
    return values


def _as_json(
    request: Generation, profile: Profile, served: Served, sampling: dict[str, Any], max_tokens: int
) -> Mapping[str, list[Any]]:
    """All sampling in one JSON object, as the vLLM back end takes it."""
    parameters: dict[str, Any] = {profile.max_tokens: max_tokens, **sampling}
    if request.stop:
        parameters[profile.stop] = list(request.stop)
    if request.format is not None:
        form = request.format
        guide = {"json_object": True} if form.kind == "json_object" else {_VLLM_GUIDES[form.kind]: form.value}
        parameters[profile.guide] = json.dumps(guide)
    if request.adapter is not None:
        parameters[profile.adapter] = request.adapter
    if request.logprobs:
        parameters["logprobs"] = request.top_logprobs
    values: dict[str, list[Any]] = {profile.parameters: [json.dumps(parameters)]}
    if request.logprobs:
        _set(values, served, profile.logprobs, [True], param="logprobs")
    _add_flags(values, profile, served, stream=request.stream)
    return values


def _sampling(request: Generation, profile: Profile) -> dict[str, Any]:
    """Set fields of Sampling by name, with the profile's way to say greedy."""
    asked = request.sampling
    fields = {
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "top_k": asked.top_k or None,
        "min_p": asked.min_p or None,
        "seed": asked.seed,
        "presence_penalty": asked.presence_penalty or None,
        "frequency_penalty": asked.frequency_penalty or None,
        "repetition_penalty": asked.repetition_penalty,
        "logit_bias": asked.logit_bias or None,
    }
    found = {name: value for name, value in fields.items() if value is not None}
    if asked.temperature == 0:
        for name in ("temperature", "top_p", "top_k", "min_p"):
            found.pop(name, None)
        return {**found, **profile.greedy}
    return {**profile.defaults, **found}


def _set(values: dict[str, list[Any]], served: Served, tensor: str, value: list[Any], *, param: str) -> None:
    if tensor not in served.inputs:
        raise unsupported(param)
    values[tensor] = value


def _add_flags(values: dict[str, list[Any]], profile: Profile, served: Served, *, stream: bool) -> None:
    """Flags are sent where the model declares them: versions of a back end differ."""
    for name, flag in {**profile.always, profile.stream: stream and served.decoupled}.items():
        if name in served.inputs:
            values[name] = [flag]


def _guide(form: Format) -> tuple[str, str]:
    """TensorRT-LLM's kind of guide and its text."""
    match form.kind:
        case "json_object":
            return "json", ""
        case "json_schema":
            return "json_schema", json.dumps(form.value)
        case "choice":
            return "regex", "|".join(f"({re.escape(choice)})" for choice in form.value)
        case _:
            return _TRITON_GUIDES[form.kind], str(form.value)
