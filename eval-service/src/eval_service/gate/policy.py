"""A policy: one YAML file, read when a release is asked for and kept with it by its SHA-256."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from servicekit.errors import Reason, SixfoldError

MAX_BYTES = 65_536
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
Require = Literal["better", "not_worse"]
Metric = Literal["feedback", "errors"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rule(_Part):
    """One thing to show, by a paired test on the same items."""

    name: str = Field(min_length=1, max_length=100)
    criterion: str = Field(min_length=1, max_length=100)
    require: Require
    margin: float = Field(0.0, ge=0)
    """better: by more than this. not_worse: by less than this."""
    relative: bool = False
    """Whether the margin is a share of the champion's mean."""
    unknown: Literal["refuse", "pass"] = "refuse"
    """What it means that nothing was measured."""


class Approvals(_Part):
    """Who must say yes."""

    people: int = Field(0, ge=0, le=20)
    role: str = Field("admin", min_length=1, max_length=64)
    not_requester: bool = False


class Step(_Part):
    """A share of requests, until so many answers of the candidate are judged."""

    share: float = Field(gt=0, lt=1)
    answers: int = Field(ge=1)


class Guard(_Part):
    """Something that may not get worse while the canary runs."""

    metric: Metric
    margin: float = Field(0.0, ge=0, le=1)


class CanaryRule(_Part):
    """How a share of the traffic decides."""

    metric: Metric = "feedback"
    require: Require = "better"
    margin: float = Field(0.0, ge=0, le=1)
    alpha: float = Field(0.05, gt=0, le=0.5)
    steps: list[Step] = Field(min_length=1, max_length=20)
    most_answers: int = Field(5000, ge=1, le=20_000)
    guards: list[Guard] = Field(default_factory=list, max_length=4)

    @model_validator(mode="after")
    def _rising(self) -> CanaryRule:
        shares = [step.share for step in self.steps]
        if shares != sorted(shares):
            raise ValueError("shares rise from step to step")
        return self


class Policy(_Part):
    """All of it."""

    minimum_items: int = Field(50, ge=1)
    alpha: float = Field(0.05, gt=0, le=0.5)
    rules: list[Rule] = Field(min_length=1, max_length=50)
    approvals: Approvals = Approvals()
    canary: CanaryRule | None = None
    """None promotes as soon as gate and people agree."""

    @model_validator(mode="after")
    def _names(self) -> Policy:
        if len({rule.name for rule in self.rules}) != len(self.rules):
            raise ValueError("rules have names of their own")
        if not any(rule.require == "better" for rule in self.rules):
            raise ValueError("at least one rule requires something better: an equal model changes nothing")
        return self


def parse(text: str) -> Policy:
    """Raises SixfoldError(INVALID_REQUEST) that names the place at fault."""
    try:
        given = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError):
        raise SixfoldError(Reason.INVALID_REQUEST, "The policy is no YAML.", param="policy") from None
    try:
        return Policy.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(step) for step in first["loc"]) or "the policy"
        message = first["msg"].removeprefix("Value error, ")
        raise SixfoldError(
            Reason.INVALID_REQUEST, f"The policy is not valid at {where}: {message}.", param="policy"
        ) from None


def read(folder: Path, name: str) -> tuple[Policy, str]:
    """The policy of this name, and its text. NOT_FOUND for one that is not there.

    "default" is what comes with the service, unless the folder has its own.
    """
    if not _NAME.fullmatch(name):
        raise SixfoldError(Reason.NOT_FOUND, "There is no such policy.", param="policy")
    path = folder / f"{name}.yaml"
    if not path.is_file():
        if name != "default":
            raise SixfoldError(Reason.NOT_FOUND, "There is no such policy.", param="policy")
        path = Path(__file__).with_name("default.yaml")
    if path.stat().st_size > MAX_BYTES:
        raise SixfoldError(
            Reason.INVALID_REQUEST, f"A policy has at most {MAX_BYTES:,} bytes.", param="policy"
        )
    text = path.read_text(encoding="utf-8", errors="replace")
    return parse(text), text


def digest(text: str) -> str:
    """By which a release remembers the policy that it was decided by."""
    return hashlib.sha256(text.encode()).hexdigest()
