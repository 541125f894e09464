"""One criterion on one answer."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from eval_service.criteria import specs
from eval_service.criteria.base import Ask, Models, Result, Sample, Unjudgeable
from eval_service.criteria.base import Turn as Said
from eval_service.criteria.templates import fill, values_of
from eval_service.criteria.text import similarity

LOWER_IS_BETTER = ("latency", "cost", "tokens")
"""Kinds of criteria of which less is better."""
_FIRST, _SECOND, _TIE = "first", "second", "tie"


async def judge(
    spec: specs.Spec,
    item: Mapping[str, Any],
    sample: Sample,
    models: Models,
    *,
    embedding_model: str = "",
    seed: int = 0,
) -> Result:
    """What this criterion says of this answer.

    Raises Unjudgeable where it cannot say anything, SixfoldError where a model cannot be asked.
    """
    values = values_of(item, sample)
    if isinstance(spec, specs.TextSimilarity) and spec.evaluation_metric == "cosine":
        return await _cosine(spec, values, models, embedding_model)
    if isinstance(spec, specs.LabelModel):
        return await _label(spec, values, models, seed)
    if isinstance(spec, specs.ScoreModel):
        return await _score(spec, values, models, seed)
    if isinstance(spec, specs.PairwiseModel):
        return await _pairwise(spec, values, models, seed)
    return check(spec, values, sample)


def check(spec: specs.Spec, values: Mapping[str, Any], sample: Sample) -> Result:
    """Criteria that ask nobody."""
    if isinstance(spec, specs.StringCheck):
        return _yes(
            spec.name, _string(spec.operation, fill(spec.input, values), fill(spec.reference, values))
        )
    if isinstance(spec, specs.TextSimilarity):
        score = similarity(spec.evaluation_metric, fill(spec.input, values), fill(spec.reference, values))
        return Result(spec.name, score, score >= spec.pass_threshold)
    if isinstance(spec, specs.ExactMatch):
        one, two = fill(spec.input, values).strip(), fill(spec.reference, values).strip()
        if spec.ignore_case:
            one, two = one.casefold(), two.casefold()
        return _yes(spec.name, one == two)
    if isinstance(spec, specs.Labels):
        said, wanted = fill(spec.input, values).strip(), fill(spec.reference, values).strip()
        if spec.labels and wanted not in spec.labels:
            raise Unjudgeable("UNKNOWN_LABEL", "The row's label is not among the labels.")
        return Result(spec.name, float(said == wanted), said == wanted, {"label": said, "expected": wanted})
    if isinstance(spec, specs.JsonSchema):
        return _yes(spec.name, _follows(fill(spec.input, values), spec.schema_))
    if isinstance(spec, specs.Refusal):
        said = fill(spec.input, values)
        refuses = bool(sample.refusal) or any(re.search(each, said, re.I) for each in spec.patterns)
        return Result(
            spec.name, float(refuses == spec.expected), refuses == spec.expected, {"refuses": refuses}
        )
    return _measure(spec, sample)


def _measure(spec: specs.Spec, sample: Sample) -> Result:
    if not sample.measured:
        raise Unjudgeable("NOT_MEASURED", "The row brought its answer along: nothing was measured.")
    if isinstance(spec, specs.Latency):
        return _up_to(spec.name, sample.seconds, spec.max_seconds)
    if isinstance(spec, specs.Tokens):
        return _up_to(spec.name, sample.completion_tokens, spec.max_tokens)
    if isinstance(spec, specs.Cost):
        cost = sample.prompt_tokens * spec.prompt_price + sample.completion_tokens * spec.completion_price
        return _up_to(spec.name, cost / 1e6, spec.max_cost)
    raise TypeError(f"no rule for {type(spec).__name__}")


def _up_to(name: str, value: float, most: float | None) -> Result:
    return Result(name, float(value), None if most is None else value <= most)


def _yes(name: str, passed: bool) -> Result:
    return Result(name, float(passed), passed)


def _string(operation: str, text: str, reference: str) -> bool:
    if operation == "eq":
        return text == reference
    if operation == "ne":
        return text != reference
    if operation == "like":
        return reference in text
    return reference.casefold() in text.casefold()


def _follows(text: str, schema: Mapping[str, Any]) -> bool:
    from jsonschema import Draft202012Validator

    try:
        return bool(Draft202012Validator(schema).is_valid(json.loads(text)))
    except (ValueError, RecursionError):
        return False


async def _cosine(
    spec: specs.TextSimilarity, values: Mapping[str, Any], models: Models, default: str
) -> Result:
    texts = [fill(spec.input, values), fill(spec.reference, values)]
    if not all(text.strip() for text in texts):
        score = float(texts[0].strip() == texts[1].strip())
        return Result(spec.name, score, score >= spec.pass_threshold)
    one, two = await models.embed(spec.embedding_model or default, texts)
    score = max(0.0, min(1.0, sum(a * b for a, b in zip(one, two, strict=True))))
    return Result(spec.name, score, score >= spec.pass_threshold)


async def _label(spec: specs.LabelModel, values: Mapping[str, Any], models: Models, seed: int) -> Result:
    answer = await models.answer(
        spec.model, Ask(_filled(spec.input, values), choices=tuple(spec.labels), temperature=0.0, seed=seed)
    )
    label = answer.text.strip()
    if label not in spec.labels:
        raise Unjudgeable("JUDGE_UNCLEAR", "The judge gave none of the labels.")
    passed = label in spec.passing_labels
    return Result(spec.name, float(passed), passed, {"label": label})


async def _score(spec: specs.ScoreModel, values: Mapping[str, Any], models: Models, seed: int) -> Result:
    low, high = spec.range
    number = {"type": "number", "minimum": low, "maximum": high}
    params = spec.sampling_params
    answer = await models.answer(
        spec.model,
        Ask(
            _filled(spec.input, values),
            schema={
                "type": "object",
                "properties": {"score": number},
                "required": ["score"],
                "additionalProperties": False,
            },
            temperature=0.0 if params.temperature is None else params.temperature,
            top_p=params.top_p,
            seed=seed if params.seed is None else params.seed,
            max_tokens=params.max_completions_tokens or 64,
        ),
    )
    try:
        score = float(json.loads(answer.text)["score"])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise Unjudgeable("JUDGE_UNCLEAR", "The judge gave no number.") from None
    if not low <= score <= high:
        raise Unjudgeable("JUDGE_UNCLEAR", "The judge's number is outside the range.")
    return Result(spec.name, score, None if spec.pass_threshold is None else score >= spec.pass_threshold)


async def _pairwise(
    spec: specs.PairwiseModel, values: Mapping[str, Any], models: Models, seed: int
) -> Result:
    """1 where the answer wins in both orders, 0 where it loses in both, ½ in between."""
    answer, reference = fill(spec.answer, values), fill(spec.reference, values)
    points = []
    for mine_first in (True, False):
        first, second = (answer, reference) if mine_first else (reference, answer)
        turns = _filled(spec.input, {"item": values["item"], "first": first, "second": second})
        said = await models.answer(
            spec.model, Ask(turns, choices=(_FIRST, _SECOND, _TIE), temperature=0.0, seed=seed)
        )
        verdict = said.text.strip()
        if verdict not in (_FIRST, _SECOND, _TIE):
            raise Unjudgeable("JUDGE_UNCLEAR", "The judge named neither answer.")
        points.append(0.5 if verdict == _TIE else float((verdict == _FIRST) == mine_first))
    # An unbiased judge gives the same points in both orders.
    details = {"when_first": points[0], "when_second": points[1], "biased": points[0] != points[1]}
    return Result(spec.name, sum(points) / 2, None, details)


def _filled(turns: list[specs.Turn], values: Mapping[str, Any]) -> tuple[Said, ...]:
    return tuple((turn.role, fill(turn.text, values)) for turn in turns)
