"""Requests as the pipeline gets them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from model_service.adapters.openvino.formats import to_pipeline
from model_service.adapters.openvino.options import OpenVinoOptions
from model_service.adapters.openvino.plan import plan
from model_service.engines.types import Format, Generation, Sampling, Speculation
from servicekit.errors import Reason, SixfoldError

DEFAULTS = {"eos_token_id": 2, "temperature": 0.2, "top_p": 0.9}
ASK = Generation("r", "m", messages=[{"role": "user", "content": "hi"}])


def planned(request: Generation = ASK, **sampling: Any) -> dict[str, Any]:
    if sampling:
        request = replace(request, sampling=Sampling(**sampling))
    return plan(request, prompt_tokens=90, context=100, defaults=DEFAULTS)


def test_an_answer_fits_into_what_the_prompt_leaves() -> None:
    assert planned()["max_new_tokens"] == 10
    assert planned(replace(ASK, max_tokens=4))["max_new_tokens"] == 4
    assert planned(replace(ASK, max_tokens=400))["max_new_tokens"] == 10


def test_temperature_zero_is_greedy_and_needs_no_seed() -> None:
    fields = planned(temperature=0, top_p=0.5, seed=3)
    assert fields["do_sample"] is False
    assert not {"rng_seed", "top_p", "temperature"} & set(fields)


def test_what_the_caller_leaves_out_is_the_models_own() -> None:
    fields = planned()
    assert (fields["temperature"], fields["top_p"]) == (0.2, 0.9)
    assert (fields["eos_token_id"], fields["stop_token_ids"]) == (2, [2])


def test_a_temperature_of_the_callers_own_is_not_cut_by_the_models_top_p() -> None:
    assert "top_p" not in planned(temperature=1.0)


def test_seeds_are_kept_and_unseeded_answers_differ() -> None:
    assert planned(temperature=1.0, seed=7)["rng_seed"] == 7
    assert planned(temperature=1.0, seed=-1)["rng_seed"] >= 0
    assert planned(temperature=1.0)["rng_seed"] != planned(temperature=1.0)["rng_seed"]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"adapter": "x"}, "adapter"),
        ({"speculation": Speculation("prompt_lookup")}, "speculation"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"sampling": Sampling(logit_bias={1: 2.0})}, "logit_bias"),
    ],
)
def test_what_the_engine_cannot_do_is_refused_by_name(change: dict[str, Any], param: str) -> None:
    with pytest.raises(SixfoldError) as refused:
        planned(replace(ASK, **change))
    assert (refused.value.reason, refused.value.param) == (Reason.UNSUPPORTED_PARAMETER, param)


@pytest.mark.parametrize(
    "sampling",
    [
        {"temperature": 2.1},
        {"top_p": 0.0},
        {"top_p": 1.5},
        {"presence_penalty": 3},
        {"repetition_penalty": 0},
    ],
)
def test_values_out_of_range_are_refused(sampling: dict[str, Any]) -> None:
    with pytest.raises(SixfoldError) as refused:
        planned(**sampling)
    assert (refused.value.reason, refused.value.param) == (Reason.INVALID_REQUEST, next(iter(sampling)))


def test_formats() -> None:
    assert to_pipeline(Format("json_object")) == {"json_schema": '{"type":"object"}'}
    assert to_pipeline(Format("json_schema", {"type": "string"})) == {"json_schema": '{"type":"string"}'}
    assert to_pipeline(Format("regex", "[0-9]")) == {"regex": "[0-9]"}
    assert to_pipeline(Format("choice", ['a "b"', "c"])) == {"grammar": r'root ::= "a \"b\"" | "c"'}


@pytest.mark.parametrize(
    "wanted",
    [Format("json_schema", [1]), Format("choice", []), Format("choice", [""]), Format("regex", "x" * 70_000)],
)
def test_formats_that_are_none(wanted: Format) -> None:
    with pytest.raises(SixfoldError) as refused:
        to_pipeline(wanted)
    assert refused.value.param == "response_format"


@pytest.mark.parametrize(
    "options", [{"nope": 1}, {"max_running": "4"}, {"max_running": 0}, {"max_waiting": True}]
)
def test_wrong_options_are_named(options: dict[str, Any]) -> None:
    with pytest.raises(SixfoldError, match="openvino"):
        OpenVinoOptions.parse(options)
