"""The criteria as they are written down: OpenAI's `testing_criteria`, with our own kinds beside theirs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from eval_service.criteria import templates
from servicekit.errors import Reason, SixfoldError

OUTPUT = "{{sample.output_text}}"
MAX_CRITERIA = 32
RESERVED = ("passed", "parameters")
"""What every run has anyway, by these names."""
REFUSALS = (
    r"\bI(?:'m| am) (?:sorry|unable|not able)\b",
    r"\bI (?:cannot|can't|can not|won't|will not|must decline)\b",
    r"\bas an AI\b",
)
"""The stated rule by which an answer counts as a refusal, where a criterion gives no patterns of its own."""

Metric = Literal[
    "fuzzy_match",
    "bleu",
    "gleu",
    "meteor",
    "cosine",
    "rouge_1",
    "rouge_2",
    "rouge_3",
    "rouge_4",
    "rouge_5",
    "rouge_l",
]


def _template(value: str) -> str:
    templates.check(value)
    return value


Template = Annotated[str, Field(max_length=100_000)]
Label = Annotated[str, Field(min_length=1, max_length=200)]


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=100)

    @field_validator("input", "reference", check_fields=False)
    @classmethod
    def _checked(cls, value: Any) -> Any:
        return _template(value) if isinstance(value, str) else value


class Content(BaseModel):
    """A piece of a judge's turn."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    type: Literal["input_text", "output_text", "text"]
    text: Template


class Turn(BaseModel):
    """A turn of what a judge is told."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: str | Content | list[Content]

    @property
    def text(self) -> str:
        """All of it, one line a piece."""
        if isinstance(self.content, str):
            return self.content
        pieces = self.content if isinstance(self.content, list) else [self.content]
        return "\n".join(piece.text for piece in pieces)


def _check_turns(turns: Sequence[Turn], roots: tuple[str, ...] = ("item", "sample")) -> None:
    for turn in turns:
        templates.check(turn.text, roots)


class StringCheck(_Spec):
    """OpenAI's: equal, different, or contained, with or without regard to case."""

    type: Literal["string_check"]
    input: Template
    reference: Template
    operation: Literal["eq", "ne", "like", "ilike"]


class TextSimilarity(_Spec):
    """OpenAI's: how alike two texts are, from 0 to 1."""

    type: Literal["text_similarity"]
    input: Template
    reference: Template
    evaluation_metric: Metric
    pass_threshold: float = Field(ge=0, le=1)
    embedding_model: str = Field("", max_length=200)


class LabelModel(_Spec):
    """OpenAI's: a model gives one of the labels."""

    type: Literal["label_model"]
    model: str = Field(min_length=1, max_length=200)
    input: list[Turn] = Field(min_length=1, max_length=32)
    labels: list[Label] = Field(min_length=2, max_length=200)
    passing_labels: list[Label] = Field(min_length=1)

    @model_validator(mode="after")
    def _known(self) -> LabelModel:
        if not set(self.passing_labels) <= set(self.labels):
            raise ValueError("passing_labels are among labels")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels differ from one another")
        _check_turns(self.input)
        return self


class SamplingParams(BaseModel):
    """How a judge is asked."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = None
    max_completions_tokens: int | None = Field(None, ge=1, le=4096)


class ScoreModel(_Spec):
    """OpenAI's: a model gives a number."""

    type: Literal["score_model"]
    model: str = Field(min_length=1, max_length=200)
    input: list[Turn] = Field(min_length=1, max_length=32)
    range: tuple[float, float] = (0.0, 1.0)
    pass_threshold: float | None = None
    sampling_params: SamplingParams = SamplingParams()

    @model_validator(mode="after")
    def _sensible(self) -> ScoreModel:
        if not self.range[0] < self.range[1]:
            raise ValueError("a range goes from low to high")
        _check_turns(self.input)
        return self


class PairwiseModel(_Spec):
    """Ours: a model says which of two answers is better, asked in both orders.

    The turns name `{{first}}` and `{{second}}`; one of them is `answer`, the other `reference`.
    """

    type: Literal["pairwise_model"]
    model: str = Field(min_length=1, max_length=200)
    input: list[Turn] = Field(min_length=1, max_length=32)
    answer: Template = OUTPUT
    reference: Template

    @model_validator(mode="after")
    def _sensible(self) -> PairwiseModel:
        _check_turns(self.input, ("item", "first", "second"))
        templates.check(self.answer)
        told = "".join(turn.text for turn in self.input)
        if not (re.search(r"\{\{\s*first\s*\}\}", told) and re.search(r"\{\{\s*second\s*\}\}", told)):
            raise ValueError("the input names {{first}} and {{second}}")
        return self


class ExactMatch(_Spec):
    """Ours: the same text, white space at the ends aside."""

    type: Literal["exact_match"]
    input: Template = OUTPUT
    reference: Template
    ignore_case: bool = False


class Labels(_Spec):
    """Ours: classification. Accuracy, macro F1 and a table by label."""

    type: Literal["labels"]
    input: Template = OUTPUT
    reference: Template
    labels: list[Label] = Field(default_factory=list, max_length=1000)
    """Those that count; empty takes those that the rows name."""


class JsonSchema(_Spec):
    """Ours: the answer is JSON that follows the schema."""

    type: Literal["json_schema"]
    input: Template = OUTPUT
    schema_: dict[str, Any] = Field(alias="schema")

    @field_validator("schema_")
    @classmethod
    def _is_schema(cls, value: dict[str, Any]) -> dict[str, Any]:
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import SchemaError

        if '"$ref"' in _json(value).replace('"$ref": "#', ""):
            raise ValueError("a schema refers to itself alone")
        try:
            Draft202012Validator.check_schema(value)
        except SchemaError:
            raise ValueError("this is no JSON Schema") from None
        return value


class Latency(_Spec):
    """Ours: seconds to the end of the answer. Passes up to `max_seconds`, if that is given."""

    type: Literal["latency"]
    max_seconds: float | None = Field(None, gt=0)


class Cost(_Spec):
    """Ours: money an answer, by prices for a million tokens. Passes up to `max_cost`, if that is given."""

    type: Literal["cost"]
    prompt_price: float = Field(ge=0)
    completion_price: float = Field(ge=0)
    max_cost: float | None = Field(None, gt=0)


class Tokens(_Spec):
    """Ours: tokens of the answer. Passes up to `max_tokens`, if that is given."""

    type: Literal["tokens"]
    max_tokens: int | None = Field(None, gt=0)


class Refusal(_Spec):
    """Ours: whether the answer declines, by patterns. Passes when that is what was expected."""

    type: Literal["refusal"]
    input: Template = OUTPUT
    patterns: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(
        default_factory=lambda: list(REFUSALS), min_length=1, max_length=32
    )
    expected: bool = False

    @field_validator("patterns")
    @classmethod
    def _compile(cls, value: list[str]) -> list[str]:
        for pattern in value:
            try:
                re.compile(pattern)
            except re.error:
                raise ValueError("a pattern is a regular expression") from None
        return value


Spec = Annotated[
    StringCheck
    | TextSimilarity
    | LabelModel
    | ScoreModel
    | PairwiseModel
    | ExactMatch
    | Labels
    | JsonSchema
    | Latency
    | Cost
    | Tokens
    | Refusal,
    Field(discriminator="type"),
]
_ALL: TypeAdapter[list[Spec]] = TypeAdapter(list[Spec])


def parse(given: Any, param: str = "testing_criteria") -> list[Spec]:
    """The criteria of a list as OpenAI's clients send it. Raises SixfoldError(INVALID_REQUEST)."""
    if not isinstance(given, list) or not given:
        raise SixfoldError(Reason.INVALID_REQUEST, "At least one criterion is required.", param=param)
    if len(given) > MAX_CRITERIA:
        raise SixfoldError(
            Reason.INVALID_REQUEST, f"There may be {MAX_CRITERIA} criteria at most.", param=param
        )
    for index, each in enumerate(given):
        kind = each.get("type") if isinstance(each, dict) else None
        if kind in ("python", "multi"):
            raise SixfoldError(
                Reason.UNSUPPORTED_PARAMETER,
                f"Criteria of the type '{kind}' are not offered.",
                param=f"{param}[{index}].type",
            )
    try:
        specs = _ALL.validate_python(given)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        raise SixfoldError(
            Reason.INVALID_REQUEST, _sentence(first["msg"]), param=_path(param, first["loc"])
        ) from None
    names = [spec.name for spec in specs]
    for index, name in enumerate(names):
        if name in names[:index] or name in RESERVED:
            raise SixfoldError(
                Reason.INVALID_REQUEST,
                "Criteria have names of their own, other than 'passed' and 'parameters'.",
                param=f"{param}[{index}].name",
            )
    return specs


def _path(param: str, loc: tuple[int | str, ...]) -> str:
    """`testing_criteria[1].labels`; the kind that pydantic puts second is left out."""
    steps = [step for place, step in enumerate(loc) if place != 1]
    return param + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


def _sentence(words: str) -> str:
    words = words.removeprefix("Value error, ")
    return words[:1].upper() + words[1:] + ("" if words.endswith(".") else ".")


def _json(value: Any) -> str:
    import json

    return json.dumps(value)
