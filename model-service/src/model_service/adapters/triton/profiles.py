"""What the language-model back ends of Triton call things.

TensorRT-LLM's ensemble and `tensorrt_llm_bls`, TensorRT-LLM's LLM-API model and the vLLM back end take
text in and stream text out under different names; a profile is one back end's names. Data types and
shapes are read from the server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Profile:
    """Names of tensors. An empty name: the back end has no such thing."""

    name: str
    sampling: Mapping[str, str]
    """Field of Sampling → input tensor, or key of the JSON in `parameters`."""
    stream: str
    max_tokens: str
    stop: str
    always: Mapping[str, bool]
    """Flags sent with every request, where the model declares them."""
    parameters: str = ""
    """An input that takes all sampling as one JSON object."""
    defaults: Mapping[str, float] = field(default_factory=dict)
    """What stands in for unset sampling, so that every engine means the same by it."""
    greedy: Mapping[str, Any] = field(default_factory=dict)
    """What makes the likeliest token win, in place of temperature, top_p and top_k."""
    guide_type: str = ""
    guide: str = ""
    draft_tokens: str = ""
    adapter: str = ""
    logprobs: str = ""
    """The flag that asks for log-probabilities with token texts."""
    cancel: str = ""
    """A flag that, in a second request of the same id, ends the first."""
    cumulative: bool = False
    """Whether each response repeats the text so far."""


TENSORRT_LLM = Profile(
    name="tensorrtllm",
    sampling={
        "temperature": "temperature",
        "top_p": "top_p",
        "top_k": "top_k",
        "seed": "seed",
        "presence_penalty": "presence_penalty",
        "frequency_penalty": "frequency_penalty",
        "repetition_penalty": "repetition_penalty",
    },
    stream="stream",
    max_tokens="max_tokens",
    stop="stop_words",
    always={
        "exclude_input_in_output": True,
        "return_num_input_tokens": True,
        "return_num_output_tokens": True,
    },
    # Without top_p or top_k TensorRT-LLM always takes the likeliest token, whatever the temperature.
    defaults={"temperature": 1.0, "top_p": 1.0},
    greedy={"top_k": 1},
    guide_type="guided_decoding_guide_type",
    guide="guided_decoding_guide",
    draft_tokens="num_draft_tokens",
)

LLM_API = Profile(
    name="llmapi",
    sampling={
        "temperature": "sampling_param_temperature",
        "top_p": "sampling_param_top_p",
        "top_k": "sampling_param_top_k",
        "seed": "sampling_param_seed",
        "presence_penalty": "sampling_param_presence_penalty",
        "frequency_penalty": "sampling_param_frequency_penalty",
    },
    stream="streaming",
    max_tokens="sampling_param_max_tokens",
    stop="sampling_param_stop",
    always={"sampling_param_exclude_input_from_output": True, "return_finish_reason": True},
    defaults={"temperature": 1.0, "top_p": 1.0},
    greedy={"top_k": 1},
    cancel="stop",
    cumulative=True,
)

VLLM = Profile(
    name="vllm",
    sampling={
        "temperature": "temperature",
        "top_p": "top_p",
        "top_k": "top_k",
        "min_p": "min_p",
        "seed": "seed",
        "presence_penalty": "presence_penalty",
        "frequency_penalty": "frequency_penalty",
        "repetition_penalty": "repetition_penalty",
        "logit_bias": "logit_bias",
    },
    stream="stream",
    max_tokens="max_tokens",
    stop="stop",
    parameters="sampling_parameters",
    always={
        "exclude_input_in_output": True,
        "return_finish_reason": True,
        "return_num_input_tokens": True,
        "return_num_output_tokens": True,
    },
    greedy={"temperature": 0.0},
    guide="structured_outputs",
    adapter="lora_name",
    logprobs="return_logprobs",
)

PROFILES: Mapping[str, Profile] = {profile.name: profile for profile in (TENSORRT_LLM, LLM_API, VLLM)}
