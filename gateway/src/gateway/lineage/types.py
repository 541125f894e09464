"""A request that is over, as it is kept, and everything that can be told of its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gateway.feedback.types import Feedback
from gateway.jobs.releases_types import Release

MOST_PASSAGES = 64
"""That are kept of one request."""


class Passage(NamedTuple):
    """A passage that stood in the prompt."""

    file_id: str
    filename: str
    passage_id: str
    store_id: str
    score: float
    cited: bool
    """Whether the answer cites it."""


@dataclass(frozen=True, slots=True)
class Record:
    """One request for tokens or vectors, after its end. Never what was asked or answered."""

    tenant: str
    id: str
    """The x-request-id of the answer."""
    at: float
    """Its end, in Unix seconds."""
    operation: str
    requested_model: str
    model: str
    """Empty when no model came to answer."""
    version: str
    engine: str
    route: str
    release_id: str
    """The release that decided who answers to the name asked for; empty for none."""
    answer_id: str
    """The id that the answer itself carries; empty for vectors."""
    subject: str
    stream: bool
    cache: str
    status: int
    reason: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    passages: tuple[Passage, ...] = ()


@dataclass(frozen=True, slots=True)
class Model:
    """Who answered."""

    name: str
    version: str
    base: str
    """For a model that was trained here: what it was made from."""
    owner: str
    """The tenant whose model it is; empty for every tenant's."""


@dataclass(frozen=True, slots=True)
class Trained:
    """How a model came to be."""

    base: str
    """Name and version, "name@version"."""
    job_id: str
    run_id: str
    """The experiment tracker's."""
    method: str
    form: str
    dataset_id: str
    """Empty for rows out of a plain file."""
    data_sha256: str
    registered_name: str
    registered_version: str
    created_at: float
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Data:
    """What a model was trained on."""

    id: str
    name: str
    version: str
    rows: Mapping[str, int]
    sources: Sequence[Mapping[str, Any]]


class Evaluation(NamedTuple):
    """A run that a release was decided on."""

    run_id: str
    eval_id: str
    """Empty when the run is there no more."""
    model: str


@dataclass(frozen=True, slots=True)
class Lineage:
    """Everything that is known. None and nothing are answers: there is no such thing."""

    record: Record
    model: Model | None
    training: Trained | None
    dataset: Data | None
    release: Release | None
    evaluations: Sequence[Evaluation]
    feedback: Sequence[Feedback]
    warnings: Sequence[str]
    """What could not be asked, in sentences. It may be there all the same."""
