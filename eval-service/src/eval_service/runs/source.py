"""OpenAI's data sources: where a run's rows come from, and what is asked of a model for each."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from eval_service.criteria import templates
from eval_service.criteria.base import Ask, Unjudgeable
from eval_service.criteria.base import Turn as Said
from eval_service.criteria.specs import Turn
from servicekit.errors import Reason, SixfoldError

_ROLES = ("system", "developer", "user", "assistant")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Row(_Part):
    """One row: what is asked about, and the answer if it is there already."""

    item: dict[str, Any]
    sample: dict[str, Any] | None = None


class FileContent(_Part):
    """Rows in the request itself."""

    type: Literal["file_content"]
    content: list[Row] = Field(min_length=1, max_length=10_000)


class FileId(_Part):
    """Rows in a file of the tenant: JSON Lines."""

    type: Literal["file_id"]
    id: str = Field(min_length=1, max_length=64)


class DatasetRows(_Part):
    """Rows of a part of a data set of the tenant; `runs.learned` says what an item of them has.

    Ours: OpenAI has no such source. With `completions` a model is asked what the row asks. With `jsonl` the
    row's own answer is the sample, so that the data itself is judged.
    """

    type: Literal["dataset"]
    id: str = Field(min_length=1, max_length=64)
    part: Literal["train", "validation", "test"] = "test"


Rows = Annotated[FileContent | FileId | DatasetRows, Field(discriminator="type")]
Stored = (FileId, DatasetRows)
"""Rows that are read out of the object store."""


class ItemReference(_Part):
    """The turns are in the row."""

    type: Literal["item_reference"]
    item_reference: str = Field(min_length=1, max_length=200)

    @model_validator(mode="after")
    def _checked(self) -> ItemReference:
        templates.check(f"{{{{{self.item_reference}}}}}", ("item",))
        return self


class TurnTemplates(_Part):
    """The turns are written here, with places for the row."""

    type: Literal["template"]
    template: list[Turn] = Field(min_length=1, max_length=64)

    @model_validator(mode="after")
    def _checked(self) -> TurnTemplates:
        for turn in self.template:
            templates.check(turn.text, ("item",))
        return self


class SchemaFormat(_Part):
    """A JSON schema, as OpenAI names it."""

    name: str = Field(min_length=1, max_length=64)
    description: str = ""
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class Format(_Part):
    """The shape of an answer; `choice` is ours: one of these words."""

    type: Literal["text", "json_object", "json_schema", "choice"]
    json_schema: SchemaFormat | None = None
    choices: list[Annotated[str, Field(min_length=1, max_length=500)]] = Field(
        default_factory=list, max_length=1024
    )

    @model_validator(mode="after")
    def _whole(self) -> Format:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema is given with the type json_schema")
        if (self.type == "choice") != bool(self.choices):
            raise ValueError("choices are given with the type choice")
        return self


class SamplingParams(_Part):
    """How the model is asked."""

    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = None
    max_completion_tokens: int | None = Field(None, ge=1, le=1_000_000)
    max_completions_tokens: int | None = Field(None, ge=1, le=1_000_000)
    response_format: Format | None = None


class Jsonl(_Part):
    """Rows that hold their answers."""

    type: Literal["jsonl"]
    source: Rows


class Completions(_Part):
    """Rows that a model is asked about."""

    type: Literal["completions"]
    source: Rows
    model: str = Field(min_length=1, max_length=200)
    input_messages: Annotated[ItemReference | TurnTemplates, Field(discriminator="type")]
    sampling_params: SamplingParams = SamplingParams()


Source = Annotated[Jsonl | Completions, Field(discriminator="type")]
_SOURCE: TypeAdapter[Source] = TypeAdapter(Source)


class Config(_Part):
    """OpenAI's custom `data_source_config`: what rows look like."""

    type: Literal["custom"]
    item_schema: dict[str, Any] = Field(default_factory=dict)
    include_sample_schema: bool = False


def parse_source(given: Any) -> Source:
    """Raises SixfoldError: INVALID_REQUEST, or UNSUPPORTED_PARAMETER for kinds that are not offered."""
    kind = given.get("type") if isinstance(given, dict) else None
    if kind == "responses":
        raise _unsupported("Data sources of the type 'responses' are not offered; use 'completions'.")
    rows = given.get("source") if isinstance(given, dict) else None
    if isinstance(rows, dict) and rows.get("type") == "stored_completions":
        raise _unsupported("Stored completions are not offered as a source of rows.")
    try:
        return _SOURCE.validate_python(given)
    except ValidationError as error:
        raise _invalid(error, "data_source") from None


def parse_config(given: Any) -> Config:
    """Raises SixfoldError: INVALID_REQUEST, or UNSUPPORTED_PARAMETER for kinds that are not offered."""
    if isinstance(given, dict) and given.get("type") in ("logs", "stored_completions"):
        raise SixfoldError(
            Reason.UNSUPPORTED_PARAMETER,
            "Only data sources of the type 'custom' are offered.",
            param="data_source_config.type",
        )
    try:
        config = Config.model_validate(given)
    except ValidationError as error:
        raise _invalid(error, "data_source_config") from None
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(config.item_schema)
    except SchemaError:
        raise SixfoldError(
            Reason.INVALID_REQUEST, "This is no JSON Schema.", param="data_source_config.item_schema"
        ) from None
    return config


def ask_of(source: Completions, item: dict[str, Any], *, seed: int) -> Ask:
    """What the model is asked for this row. Raises Unjudgeable for a row that lacks what the turns name."""
    params = source.sampling_params
    form = params.response_format
    return Ask(
        turns=_turns(source, item),
        choices=tuple(form.choices) if form else (),
        schema=form.json_schema.schema_ if form and form.json_schema else None,
        json_object=form is not None and form.type == "json_object",
        temperature=params.temperature,
        top_p=params.top_p,
        seed=seed if params.seed is None else params.seed,
        max_tokens=params.max_completion_tokens or params.max_completions_tokens or 0,
    )


def _turns(source: Completions, item: dict[str, Any]) -> tuple[Said, ...]:
    values = templates.values_of(item)
    if isinstance(source.input_messages, TurnTemplates):
        return tuple(
            (turn.role, templates.fill(turn.text, values)) for turn in source.input_messages.template
        )
    found = templates.look_up(source.input_messages.item_reference, values)
    if isinstance(found, str):
        return (("user", found),)
    turns: list[Said] = []
    for each in found if isinstance(found, list) else []:
        role, content = (each.get("role"), each.get("content")) if isinstance(each, dict) else (None, None)
        if role not in _ROLES or not isinstance(content, str):
            raise Unjudgeable("INVALID_ROW", "The row's turns are no messages with role and text.")
        turns.append((role, content))
    if not turns:
        raise Unjudgeable("INVALID_ROW", "The row names no turns.")
    return tuple(turns)


def _unsupported(message: str) -> SixfoldError:
    return SixfoldError(Reason.UNSUPPORTED_PARAMETER, message, param="data_source.type")


def _invalid(error: ValidationError, param: str) -> SixfoldError:
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    kinds = ("jsonl", "completions", "file_content", "file_id", "dataset", "template", "item_reference")
    steps = [
        step
        for place, step in enumerate(first["loc"])
        # pydantic puts the kind of a union behind its field
        if not (step in kinds and (place == 0 or first["loc"][place - 1] in ("source", "input_messages")))
    ]
    path = param + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    words = first["msg"].removeprefix("Value error, ")
    return SixfoldError(Reason.INVALID_REQUEST, words[:1].upper() + words[1:] + ".", param=path)
