"""What a request becomes for the pipeline: checked, bounded, and free of what it cannot do."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from model_service.engines.types import Generation
from servicekit.errors import Reason, SixfoldError


def plan(
    request: Generation, *, prompt_tokens: int, context: int, defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """The GenerationConfig fields for a request; `rng_seed` is there only when tokens are drawn.

    `defaults` is the model's generation_config.json. Raises SixfoldError(UNSUPPORTED_PARAMETER,
    INVALID_REQUEST).
    """
    _refuse_what_cannot_be(request)
    stop_ids = defaults.get("eos_token_id", [])
    stop_ids = stop_ids if isinstance(stop_ids, list) else [stop_ids]
    room = context - prompt_tokens
    fields: dict[str, Any] = {
        "max_new_tokens": min(request.max_tokens or room, room),
        "stop_token_ids": stop_ids,
        "logprobs": 1 if request.logprobs else 0,
        **_sampling(request, defaults),
    }
    if stop_ids:
        fields["eos_token_id"] = stop_ids[0]
    return fields


def _sampling(request: Generation, defaults: Mapping[str, Any]) -> dict[str, Any]:
    sampling = request.sampling
    fields: dict[str, Any] = {}
    for name in ("presence_penalty", "frequency_penalty", "repetition_penalty"):
        value = getattr(sampling, name)
        if value is not None:
            fields[name] = value
    temperature = _first(sampling.temperature, defaults.get("temperature"), 1.0)
    if temperature == 0:
        return fields | {"do_sample": False}
    fields |= {"do_sample": True, "temperature": temperature}
    # The pipeline's own seed is a constant: without this, unseeded answers would all be alike.
    fields["rng_seed"] = sampling.seed % (1 << 63) if sampling.seed is not None else secrets.randbits(62)
    top_p = _first(sampling.top_p, defaults.get("top_p") if sampling.temperature is None else None, 1.0)
    if top_p < 1:
        fields["top_p"] = top_p
    top_k = _first(sampling.top_k, defaults.get("top_k"), 0)
    if top_k > 0:
        fields["top_k"] = top_k
    if sampling.min_p:
        fields["min_p"] = sampling.min_p
    return fields


def _refuse_what_cannot_be(request: Generation) -> None:
    sampling = request.sampling
    wrong = [
        ("temperature", sampling.temperature, 0, 2),
        ("top_p", sampling.top_p, 0, 1),
        ("min_p", sampling.min_p, 0, 1),
        ("presence_penalty", sampling.presence_penalty, -2, 2),
        ("frequency_penalty", sampling.frequency_penalty, -2, 2),
    ]
    for name, value, low, high in wrong:
        if value is not None and not low <= value <= high:
            raise SixfoldError(Reason.INVALID_REQUEST, f"{name} must be from {low} to {high}.", param=name)
    if sampling.top_p == 0:
        raise SixfoldError(Reason.INVALID_REQUEST, "top_p must be above 0.", param="top_p")
    if sampling.repetition_penalty is not None and sampling.repetition_penalty <= 0:
        raise SixfoldError(
            Reason.INVALID_REQUEST, "repetition_penalty must be above 0.", param="repetition_penalty"
        )
    speculative = request.speculation is not None and request.speculation.mode != "off"
    unsupported = [
        ("logit_bias", bool(sampling.logit_bias)),
        ("top_logprobs", request.top_logprobs > 0),
        ("speculation", speculative),
        ("adapter", bool(request.adapter)),
        ("tool_choice", request.tool_choice not in (None, "none", "auto")),
    ]
    for name, given in unsupported:
        if given:
            raise SixfoldError(
                Reason.UNSUPPORTED_PARAMETER, f"This model's engine does not support {name}.", param=name
            )


def _first(*values: Any) -> Any:
    """The first value that is set."""
    return next(value for value in values if value is not None)
