"""Requests of the contract to the domain's words. What is outside the bounds is INVALID_REQUEST."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from eval_service.adapters.records.audit import Wanted
from eval_service.batches.lines import ENDPOINTS
from eval_service.release.audit import ACTIONS
from servicekit.errors import Reason, SixfoldError
from sixfold.eval.v1 import eval_service_pb2 as pb
from sixfold.jobs.v1 import job_pb2
from sixfold.training.v1 import dataset_pb2

MAX_PAIRS, MAX_KEY, MAX_TEXT = 16, 64, 512
MAX_JSON = 900_000
MIN_OUTPUT_SECONDS, MAX_OUTPUT_SECONDS = 3600, 30 * 86_400
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,199}")
_ITEM_STATUS = ("", "pass", "fail")


@dataclass(frozen=True, slots=True)
class Paging:
    """The contract's defaults applied."""

    after: str
    limit: int
    ascending: bool


def invalid(message: str, param: str) -> SixfoldError:
    """A request outside the contract."""
    return SixfoldError(Reason.INVALID_REQUEST, message, param=param)


def request_id(given: str) -> str:
    """Of a call that changes something: it must have one."""
    if not _REQUEST_ID.fullmatch(given):
        raise invalid("A request id of 1 to 128 letters, digits and ._:- is required.", "request_id")
    return given


def named(given: str, param: str) -> str:
    """An id. One that cannot be anybody's is not looked for."""
    if not _ID.fullmatch(given):
        raise SixfoldError(Reason.NOT_FOUND, "There is no such thing.", param=param)
    return given


def alias(given: str, param: str = "alias") -> str:
    """A name that callers use, or a model's."""
    if not _ALIAS.fullmatch(given):
        raise invalid("A name has 1 to 200 letters, digits and ._:/-.", param)
    return given


def text(given: str, most: int, param: str) -> str:
    """For people."""
    if len(given) > most or "\0" in given:
        raise invalid(f"This has at most {most} characters.", param)
    return given


def page(given: job_pb2.Page) -> Paging:
    """Bounded."""
    if given.limit < 0:
        raise invalid("A limit is positive.", "page.limit")
    if given.after:
        named(given.after, "after")
    return Paging(given.after, min(given.limit or 20, 100), given.ascending)


def metadata(given: Mapping[str, str]) -> dict[str, str]:
    """The caller's own notes."""
    if len(given) > MAX_PAIRS or not all(0 < len(key) <= MAX_KEY for key in given):
        raise invalid(
            f"There may be {MAX_PAIRS} notes, with up to {MAX_KEY} characters in a name.", "metadata"
        )
    return {key: text(value, MAX_TEXT, f"metadata.{key}") for key, value in given.items()}


def json(given: bytes, param: str) -> Any:
    """INVALID_JSON for anything else, REQUEST_TOO_LARGE over the limit."""
    if len(given) > MAX_JSON:
        raise SixfoldError(
            Reason.REQUEST_TOO_LARGE,
            f"This has at most {MAX_JSON:,} bytes; larger data comes in a file.",
            param=param,
        )
    try:
        return orjson.loads(given)
    except orjson.JSONDecodeError:
        raise SixfoldError(Reason.INVALID_JSON, "This is no JSON.", param=param) from None


def file(given: dataset_pb2.FileSource, tenant: str, param: str, *, most: int) -> dict[str, Any]:
    """A file of this tenant. NOT_FOUND for anybody else's."""
    if not given.object_key.startswith(f"{tenant}/") or not _ID.fullmatch(given.id):
        raise SixfoldError(Reason.NOT_FOUND, "There is no such file.", param=param)
    if not _SHA256.fullmatch(given.sha256) or not given.object_key.endswith(f"/{given.sha256}"):
        raise invalid("The file's checksum is not that of its content.", param)
    if given.bytes > most:
        raise SixfoldError(Reason.REQUEST_TOO_LARGE, f"The file has more than {most:,} bytes.", param=param)
    return {
        "id": given.id,
        "filename": text(given.filename, 1024, param),
        "sha256": given.sha256,
        "object_key": given.object_key,
        "bytes": given.bytes,
    }


def endpoint(given: str) -> str:
    """Of a batch."""
    if given not in ENDPOINTS:
        raise invalid(f"Batches are for {', '.join(ENDPOINTS)}.", "endpoint")
    return given


def window_us(given: int, most_seconds: float) -> int:
    """0 means a day."""
    if given < 0 or given > most_seconds:
        raise invalid(f"A batch lives for at most {most_seconds:.0f} seconds.", "window_seconds")
    return (given or 86_400) * 1_000_000


def output_seconds(given: int) -> int:
    """0 says nothing."""
    if given and not MIN_OUTPUT_SECONDS <= given <= MAX_OUTPUT_SECONDS:
        raise invalid("What a batch leaves is kept for an hour to 30 days.", "output_expires_after.seconds")
    return given


def item_status(given: str) -> str:
    """Of the items that are listed."""
    if given not in _ITEM_STATUS:
        raise invalid("The status is 'pass' or 'fail'.", "status")
    return given


def run_ids(request: pb.CreateReleaseRequest) -> tuple[str, ...]:
    """Two an eval."""
    given = tuple(named(each, "run_ids") for each in request.run_ids)
    if not 2 <= len(given) <= 40 or len(set(given)) != len(given):
        raise invalid("Two different runs are given for each eval, 20 evals at most.", "run_ids")
    return given


def audited(request: pb.ListAuditRequest) -> Wanted:
    """Which lines of the audit."""
    if request.action and request.action not in ACTIONS:
        raise invalid(f"An action is one of {', '.join(ACTIONS)}.", "action")
    if not 0 <= request.until < 1e11:
        raise invalid("A time is in Unix seconds.", "until")
    return Wanted(
        alias=alias(request.alias) if request.alias else "",
        release_id=named(request.release_id, "release_id") if request.release_id else "",
        action=request.action,
        candidate=alias(request.candidate, "candidate") if request.candidate else "",
        until_us=round(request.until * 1e6),
    )
