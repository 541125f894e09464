"""Requests of the contract to the domain's words. What is outside the bounds is INVALID_REQUEST."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from servicekit.errors import Reason, SixfoldError
from sixfold.jobs.v1 import job_pb2
from sixfold.training.v1 import dataset_pb2
from sixfold.training.v1 import training_service_pb2 as pb
from training_service.datasets.build import Options
from training_service.datasets.rows import Kind, Part
from training_service.orders.types import (
    DatasetOrder,
    DatasetPart,
    FeedbackSource,
    FileSource,
    Source,
    TrainingOrder,
)
from training_service.trainers.plan import Method, Wishes

MAX_SOURCES = 64
MAX_PAIRS, MAX_KEY, MAX_TEXT = 16, 64, 512
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,255}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SUFFIX = re.compile(r"[A-Za-z0-9._-]{0,64}")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KINDS = {"correction", "thumbs", "score"}


def invalid(message: str, param: str) -> SixfoldError:
    """One field is wrong."""
    return SixfoldError(Reason.INVALID_REQUEST, message, param=param)


def request_id(given: str) -> str:
    """Of a call that changes something."""
    if not _REQUEST_ID.fullmatch(given):
        raise invalid("A request id has 1 to 128 letters, digits, '.', '_', ':' and '-'.", "request_id")
    return given


def named(given: str, param: str) -> str:
    """An id or a name; one that cannot be is NOT_FOUND, as one that is not."""
    if not _ID.fullmatch(given):
        raise SixfoldError(Reason.NOT_FOUND, "There is no such thing.", param=param)
    return given


def page(given: job_pb2.Page) -> tuple[int, str, bool]:
    """Limit, after, ascending."""
    if given.limit < 0 or len(given.after) > 128:
        raise invalid("A limit is positive, and 'after' an id.", "page")
    return min(given.limit or 20, 100), given.after, given.ascending


def metadata(given: Mapping[str, str]) -> dict[str, str]:
    """The caller's own notes."""
    if len(given) > MAX_PAIRS:
        raise invalid(f"At most {MAX_PAIRS} pairs are kept.", "metadata")
    for key, value in given.items():
        if not 1 <= len(key) <= MAX_KEY or len(value) > MAX_TEXT or "\0" in key + value:
            raise invalid(f"A key has 1 to {MAX_KEY} characters, a value {MAX_TEXT}.", "metadata")
    return dict(given)


def dataset_order(given: pb.CreateDatasetRequest, max_file_bytes: int) -> DatasetOrder:
    """What to make."""
    if not 1 <= len(given.name) <= 256 or "\0" in given.name:
        raise invalid("A name has 1 to 256 characters.", "name")
    if not 1 <= len(given.sources) <= MAX_SOURCES:
        raise invalid(f"1 to {MAX_SOURCES} sources are expected.", "sources")
    options = given.options
    for name in ("validation_share", "test_share"):
        if not 0 <= getattr(options, name) <= 0.5:
            raise invalid("A share is from 0 to 0.5.", f"options.{name}")
    return DatasetOrder(
        name=given.name,
        sources=[source(each, f"sources[{i}]", max_file_bytes) for i, each in enumerate(given.sources)],
        options=Options(
            kind=_kind(options.kind),
            validation=options.validation_share,
            test=options.test_share,
            seed=options.seed,
            keep_near_duplicates=options.keep_near_duplicates,
            strict=options.strict,
        ),
        keep_personal_data=options.keep_personal_data,
        metadata=metadata(given.metadata),
    )


def training_order(
    given: pb.TrainingSpec, max_file_bytes: int, *, priority: int = 0, notes: Mapping[str, str] | None = None
) -> TrainingOrder:
    """What to train."""
    if not _MODEL.fullmatch(given.base_model):
        raise SixfoldError(
            Reason.MODEL_NOT_FOUND, "There is no base model of this name to train.", param="spec.base_model"
        )
    if given.method not in [each.value for each in Method]:
        raise invalid("A method is 'supervised', 'full' or 'dpo'.", "spec.method")
    bounds: Sequence[tuple[str, float]] = (
        ("epochs", 100),
        ("batch_size", 256),
        ("learning_rate_multiplier", 100),
        ("beta", 10),
        ("lora_rank", 256),
        ("patience", 1000),
    )
    for name, most in bounds:
        number = getattr(given, name)
        if not math.isfinite(number) or not 0 <= number <= most:
            raise invalid(f"'{name}' is from 0 to {most:g}; 0 means auto.", f"spec.{name}")
    if not 0 <= given.seed < 1 << 31:
        raise invalid("A seed is from 0 to 2147483647.", "spec.seed")
    if not _SUFFIX.fullmatch(given.suffix):
        raise invalid("A suffix has at most 64 letters, digits, '.', '_' and '-'.", "spec.suffix")
    if not -10 <= priority <= 10:
        raise invalid("A priority is from -10 to 10.", "priority")
    validation = None
    if given.HasField("validation") and given.validation.WhichOneof("kind"):
        validation = _rows(given.validation, "spec.validation", max_file_bytes)
    return TrainingOrder(
        base=given.base_model,
        method=Method(given.method),
        training=_rows(given.training, "spec.training", max_file_bytes),
        validation=validation,
        wishes=Wishes(
            epochs=given.epochs,
            batch_size=given.batch_size,
            learning_rate_multiplier=given.learning_rate_multiplier,
            beta=given.beta,
            lora_rank=given.lora_rank,
            seed=given.seed,
            patience=given.patience,
        ),
        suffix=given.suffix,
        priority=priority,
        metadata=metadata(notes or {}),
    )


def source(given: dataset_pb2.DatasetSource, param: str, max_file_bytes: int) -> Source:
    """Where rows come from."""
    match given.WhichOneof("kind"):
        case "file":
            return _file(given.file, f"{param}.file", max_file_bytes)
        case "feedback":
            told = given.feedback
            if set(told.kinds) - _KINDS:
                raise invalid("Feedback is 'correction', 'thumbs' or 'score'.", f"{param}.feedback.kinds")
            if not (math.isfinite(told.since) and math.isfinite(told.until)) or len(told.model) > 256:
                raise invalid("Bounds are Unix seconds.", f"{param}.feedback")
            return FeedbackSource(list(told.kinds), told.since, told.until, told.model)
        case "dataset":
            if given.dataset.part not in ("", *(part.value for part in Part)):
                raise invalid("A part is 'train', 'validation' or 'test'.", f"{param}.dataset.part")
            return DatasetPart(named(given.dataset.dataset_id, f"{param}.dataset"), given.dataset.part)
    raise invalid("A source is a file, feedback or a data set.", param)


def _rows(given: dataset_pb2.DatasetSource, param: str, max_file_bytes: int) -> FileSource | DatasetPart:
    found = source(given, param, max_file_bytes)
    if isinstance(found, FeedbackSource):
        raise invalid("Make a data set of feedback first; it is trained on from there.", param)
    return found


def _file(given: dataset_pb2.FileSource, param: str, max_file_bytes: int) -> FileSource:
    if not _ID.fullmatch(given.id) or not 1 <= len(given.filename) <= 1024:
        raise invalid("A file has an id and a name.", param)
    if not _SHA256.fullmatch(given.sha256) or not 1 <= len(given.object_key) <= 1024:
        raise invalid("A file has a SHA-256 and a place.", param)
    if not 0 <= given.bytes <= max_file_bytes:
        raise invalid(f"A file has at most {max_file_bytes} bytes.", f"{param}.bytes")
    return FileSource(given.id, given.filename, given.sha256, given.object_key, given.bytes)


def _kind(given: str) -> Kind | None:
    if not given:
        return None
    if given not in [each.value for each in Kind]:
        raise invalid("A kind is 'supervised' or 'preference'.", "options.kind")
    return Kind(given)
