"""A question in OpenAI's words."""

from __future__ import annotations

from typing import Any

from model_service.engines.types import Format, Generation


def build_body(
    request: Generation, *, model: str, max_tokens_field: str, include_usage: bool
) -> dict[str, Any]:
    """The JSON object to send. Fields that the contract does not name go along as they came."""
    sampling = request.sampling
    fields: dict[str, Any] = {
        "model": request.adapter or model,  # servers with adapters offer each as a model
        "messages": request.messages,
        "prompt": request.prompt,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "seed": sampling.seed,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "repetition_penalty": sampling.repetition_penalty,
        "logit_bias": {str(token): bias for token, bias in sampling.logit_bias.items()} or None,
        max_tokens_field: request.max_tokens,
        "stop": list(request.stop) or None,
        "n": request.n if request.n != 1 else None,
        "tools": request.tools or None,
        "tool_choice": request.tool_choice,
        "stream": request.stream or None,
        "stream_options": {"include_usage": True} if request.stream and include_usage else None,
        **_logprobs(request),
        **(_format(request.format) if request.format is not None else {}),
    }
    return {**request.extra, **{name: value for name, value in fields.items() if value is not None}}


def _logprobs(request: Generation) -> dict[str, Any]:
    if not request.logprobs:
        return {}
    if request.messages is None:  # the older protocol asks by a number
        return {"logprobs": request.top_logprobs}
    return {"logprobs": True, "top_logprobs": request.top_logprobs or None}


def _format(form: Format) -> dict[str, Any]:
    """OpenAI's two formats; the rest as vLLM names them."""
    match form.kind:
        case "json_object":
            return {"response_format": {"type": "json_object"}}
        case "json_schema":
            schema = {"name": "answer", "schema": form.value, "strict": True}
            return {"response_format": {"type": "json_schema", "json_schema": schema}}
        case _:
            return {"structured_outputs": {form.kind: form.value}}
