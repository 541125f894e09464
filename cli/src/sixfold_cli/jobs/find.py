"""Which path a job lies under, by its id; all jobs in one list; and how they are steered."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from sixfold_cli.client import Api
from sixfold_cli.errors import CliError, Exit

TUNING = "/v1/fine_tuning/jobs"
_PATHS = {"ftjob-": TUNING, "batch_": "/v1/batches", "ds_": "/v1/datasets", "rel_": "/v1/releases"}
_RUN = "evalrun_"
_STEERABLE = {
    "ftjob-": ("cancel", "pause", "resume"),
    _RUN: ("cancel",),
    "batch_": ("cancel",),
}
_INSTEAD = {
    "ds_": "`sixfold datasets delete` removes a data set.",
    "rel_": "`sixfold models rollback ALIAS` takes a release back.",
}


def path_of(api: Api, identity: str) -> str:
    """Where the job is. CliError for what is no id of a job, and for a run that is in no eval."""
    prefix = _prefix(identity)
    if prefix != _RUN:
        return f"{_PATHS[prefix]}/{quote(identity, safe='')}"
    for each in newest(api, "/v1/evals?order=desc"):  # a run is found under its eval alone
        path = f"/v1/evals/{each['id']}/runs/{quote(identity, safe='')}"
        try:
            api.call("GET", path)
        except CliError as error:
            if error.status != 404:
                raise
        else:
            return path
    raise CliError(
        f"there is no eval run '{identity}'.", "`sixfold jobs` lists the newest.", reason="NOT_FOUND"
    )


def steer(api: Api, identity: str, what: str) -> dict[str, Any]:
    """Cancels, pauses or resumes; the job as it stands then."""
    prefix = _prefix(identity)
    if what not in _STEERABLE.get(prefix, ()):
        can = ", ".join(_STEERABLE.get(prefix, ())) or "none of this"
        raise CliError(
            f"'{identity}' cannot be told to {what}.",
            _INSTEAD.get(prefix, f"It can be told to {can}."),
            reason="CANNOT_STEER",
            code=Exit.USAGE,
        )
    steered: dict[str, Any] = api.change("POST", f"{path_of(api, identity)}/{what}")
    return steered


def newest_jobs(api: Api, limit: int) -> tuple[list[dict[str, Any]], list[str]]:
    """The newest of all kinds together, and the kinds that are not to be had here, with the reason."""
    found: list[dict[str, Any]] = []
    missing: list[str] = []
    kinds = {"training": TUNING, "batches": "/v1/batches", "data sets": "/v1/datasets?order=desc"}
    for word, path in kinds.items():
        try:
            found += newest(api, path, limit)
        except CliError as error:
            missing.append(_not_here(word, error))
    try:
        for each in newest(api, "/v1/evals?order=desc", limit):
            found += newest(api, f"/v1/evals/{each['id']}/runs?order=desc", limit)
    except CliError as error:
        missing.append(_not_here("eval runs", error))
    found.sort(key=lambda each: float(each["created_at"]), reverse=True)
    return found[:limit], missing


def newest(api: Api, path: str, limit: int = 100) -> Iterator[dict[str, Any]]:
    """At most so many of a list."""
    return itertools.islice(api.pages(path), limit)


def _not_here(word: str, error: CliError) -> str:
    """Raises what is no matter of one kind alone."""
    if error.status not in (403, 404, 503):
        raise error
    return f"{word}: {error.message}"


def _prefix(identity: str) -> str:
    for prefix in (*_PATHS, _RUN):
        if identity.startswith(prefix):
            return prefix
    raise CliError(
        f"'{identity}' is no id of a job.",
        "`sixfold jobs` lists them: ftjob-…, evalrun_…, batch_…, ds_….",
        reason="NO_SUCH_JOB",
        code=Exit.USAGE,
    )
