"""What has to be done so that a store has what the folders have.

A file is recognised by two attributes that it carries in the store: `path` and the `sha256` of its
content. So a lost disk or another machine changes nothing, and nothing is kept beside the store.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sixfold_cli.documents.pairs import Value
from sixfold_cli.documents.walk import Document, Seen, Skipped

_LONGEST = 512
"""Characters that an attribute may have."""
Entry = Mapping[str, Any]
"""A file of the store, as the API gives it."""


@dataclass(frozen=True)
class Task:
    """A document to upload."""

    document: Document
    attributes: Mapping[str, Value]
    older: tuple[str, ...] = ()
    """Ids of its older versions, to be deleted once this one is indexed."""
    useless: tuple[str, ...] = ()
    """Ids of those that could not be indexed themselves, to be deleted in any case."""


@dataclass
class Plan:
    """All of it. Sorted as the documents were found."""

    tasks: list[Task] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    """Paths."""
    relabel: dict[str, Mapping[str, Value]] = field(default_factory=dict)
    """File id to attributes, of files whose content is there already."""
    still_failed: list[tuple[str, Entry]] = field(default_factory=list)
    """(path, file) of files that cannot be read and have not changed since."""
    waiting: dict[str, str] = field(default_factory=dict)
    """File id to path, of files that an earlier run left on their way into the index."""
    delete: list[tuple[str, str]] = field(default_factory=list)
    """(path, file id) of leftovers, and of what is gone from the folders."""


def make_plan(
    found: Sequence[Seen],
    entries: Sequence[Entry],
    labels: Mapping[str, Value],
    *,
    prune: bool = False,
    retry: bool = False,
) -> Plan:
    """`labels` are the attributes that somebody asked for. `retry`: what could not be read is sent again."""
    plan = Plan()
    known: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if path := (entry.get("attributes") or {}).get("path"):
            known[str(path)].append(entry)
    for document in found:
        if isinstance(document, Document):
            _place(plan, document, known, labels, retry)
    if prune:
        _prune(plan, found, known)
    return plan


def _place(
    plan: Plan, document: Document, known: Mapping[str, list[Entry]], labels: Mapping[str, Value], retry: bool
) -> None:
    wanted = {**labels, "path": _short(document.path), "sha256": digest(document)}
    there = known.get(str(wanted["path"]), [])
    same = [each for each in there if each["attributes"].get("sha256") == wanted["sha256"]]
    kept = next((each for each in same if _worth_keeping(each, retry)), None)
    others = tuple(str(each["id"]) for each in there if each is not kept)
    if kept is None:
        useless = tuple(str(each["id"]) for each in there if each["status"] in ("failed", "cancelled"))
        older = tuple(identity for identity in others if identity not in useless)
        plan.tasks.append(Task(document, wanted, older, useless))
        return
    identity = str(kept["id"])
    if kept["status"] == "failed":
        plan.still_failed.append((document.path, kept))
    else:
        plan.unchanged.append(document.path)
        plan.delete += [(document.path, other) for other in others]
    if kept["status"] == "in_progress":
        plan.waiting[identity] = document.path
    if dict(kept["attributes"]) != wanted:
        plan.relabel[identity] = wanted


def _worth_keeping(entry: Entry, retry: bool) -> bool:
    """Whether the same content again would fare the same: it is in, on its way in, or cannot be read."""
    error = entry.get("last_error") or {}
    unreadable = entry["status"] == "failed" and error.get("code") in ("unsupported_file", "invalid_file")
    return entry["status"] in ("completed", "in_progress") or (unreadable and not retry)


def _prune(plan: Plan, found: Sequence[Seen], known: Mapping[str, list[Entry]]) -> None:
    """What carries the name of a folder that was walked and was not seen there."""
    seen = {_short(each.path) for each in found}
    tops = {each.path.split("/", 1)[0] + "/" for each in found if "/" in each.path}
    unreadable = tuple(e.path for e in found if isinstance(e, Skipped) and e.reason == "UNREADABLE")
    for path, entries in known.items():
        in_walk = any(path.startswith(top) for top in tops)
        if in_walk and path not in seen and not (unreadable and path.startswith(unreadable)):
            plan.delete += [(path, str(entry["id"])) for entry in entries]


def digest(document: Document) -> str:
    """SHA-256 of the content, hexadecimal."""
    with document.source.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _short(path: str) -> str:
    """As an attribute can hold it; what is longer ends in a hash of all of it."""
    if len(path) <= _LONGEST:
        return path
    return path[: _LONGEST - 17] + "~" + hashlib.sha256(path.encode("utf-8", "replace")).hexdigest()[:16]
