"""Ids of stores, files, batches and jobs. What cannot be one is not found, and nobody is asked."""

from __future__ import annotations

import re

from gateway.openai import fields
from servicekit.errors import Reason, SixfoldError

STORE, FILE, BATCH = "vs_", "file-", "vsfb_"
TUNING, DATASET = "ftjob-", "ds_"
EVAL, RUN, ITEM = "eval_", "evalrun_", "outputitem_"
REQUESTS, RELEASE = "batch_", "rel_"
_KINDS = {
    STORE: "vector store",
    FILE: "file",
    BATCH: "batch",
    TUNING: "fine-tuning job",
    DATASET: "data set",
    EVAL: "eval",
    RUN: "run",
    ITEM: "output item",
    REQUESTS: "batch",
    RELEASE: "release",
}
_DIGITS = re.compile(r"[0-9a-f]{24}")


def is_id(prefix: str, value: str) -> bool:
    """Whether `value` is well formed."""
    return value.startswith(prefix) and _DIGITS.fullmatch(value, len(prefix)) is not None


def check_id(prefix: str, value: str, param: str | None = None) -> str:
    """`value`, if it can be an id of this kind. Raises NOT_FOUND, as for one that is not there."""
    if not is_id(prefix, value):
        raise not_found(prefix, value, param)
    return value


def check_cursor(prefix: str, value: str | None, param: str) -> str:
    """A list's cursor, empty when there is none. Raises INVALID_REQUEST."""
    if not value:
        return ""
    if not is_id(prefix, value):
        raise fields.invalid(param, f"is no id of a {_KINDS[prefix]}.")
    return value


def not_found(prefix: str, value: str, param: str | None = None) -> SixfoldError:
    """It is not there, or not this tenant's: nobody can tell which."""
    shown = f"'{value}'" if len(value) <= 64 and value.isprintable() and value.isascii() else "asked for"
    return SixfoldError(
        Reason.NOT_FOUND,
        f"The {_KINDS[prefix]} {shown} does not exist or you do not have access to it.",
        param=param,
    )
