"""An order's sources to rows, within a job."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from servicekit.errors import Reason, SixfoldError
from servicekit.jobs.child import Context, JobFault
from training_service.datasets.card import SourceNote
from training_service.datasets.faults import RowFault
from training_service.datasets.feedback import to_feedback_row
from training_service.datasets.read import read_file
from training_service.datasets.rows import Kind, Part, Place, Row
from training_service.datasets.shapes import Limits

Found = Row | RowFault


def read_source(
    context: Context, source: Mapping[str, Any], kind: Kind | None
) -> tuple[list[Found], SourceNote]:
    """Its rows in order, and what the card says of it."""
    match source["kind"]:
        case "file":
            found = list(_file(context, source["object_key"], source["filename"]))
            return found, SourceNote(source["filename"], source["sha256"], len(found))
        case "dataset":
            found = []
            for part, key in sorted(source["parts"].items()):
                belongs = Part(part) if source["named"] else None
                for each in _file(context, key, f"{source['id']}-{part}.jsonl"):
                    found.append(replace(each, part=belongs) if isinstance(each, Row) else each)
            return found, SourceNote(source["id"], source["version"], len(found))
    found = list(_feedback(context, source, kind))
    digest = hashlib.sha256(b"\n".join(each.written() for each in found if isinstance(each, Row)))
    return found, SourceNote("feedback", digest.hexdigest(), len(found), licence="the tenant's own")


def _file(context: Context, key: str, name: str) -> Iterator[Found]:
    path = context.workdir / f"source-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    try:
        context.fetch(key, path)
    except SixfoldError as error:
        if error.reason is Reason.NOT_FOUND:
            raise JobFault("FILE_NOT_FOUND", f"The file {name} does not exist any more.") from None
        raise
    yield from read_file(path, name, Limits())


def _feedback(context: Context, source: Mapping[str, Any], kind: Kind | None) -> Iterator[Found]:
    """Of several corrections of one answer, the last."""
    wanted = {name: source[name] for name in ("kinds", "since", "until", "model")}
    by_request: dict[str, Mapping[str, Any]] = {}
    after: list[Any] = []
    while True:
        page = context.call("feedback", {**wanted, "after": after})
        for item in page["items"]:
            by_request.pop(item["request_id"], None)
            by_request[item["request_id"]] = item
        after = page["after"]
        if not after:
            break
    for number, item in enumerate(by_request.values(), 1):
        yield to_feedback_row(item, kind, Place("feedback", number), Limits())
