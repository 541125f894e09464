"""OpenAI's templates: `{{item.question}}`, `{{sample.output_text}}`, `{{sample.output_json.city}}`.

Nothing but names, dots and numbers in brackets: a template computes nothing. What a row puts in is text
and is never read as a template again, so a row cannot reach what it was not given.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from typing import Any

from eval_service.criteria.base import Sample, Unjudgeable

_PLACE = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
_PATH = re.compile(r"[A-Za-z_][\w-]*(?:\.[\w-]+|\[\d{1,6}\])*")
_STEP = re.compile(r"[\w-]+")
_ROOTS = ("item", "sample")
MAX_CHARS = 1_000_000


def check(template: str, roots: tuple[str, ...] = _ROOTS) -> None:
    """ValueError, with words for a person, for a template that can never be filled."""
    for place in _PLACE.findall(template):
        if not _PATH.fullmatch(place):
            raise ValueError("a place in a template is a path such as {{item.question}}")
        if _STEP.findall(place)[0] not in roots:
            raise ValueError("a template names " + " or ".join(f"{{{{{root}…}}}}" for root in roots))


def fill(template: str, values: Mapping[str, Any]) -> str:
    """The template with its places filled. Raises Unjudgeable(FIELD_MISSING) for one that has nothing."""
    filled = _PLACE.sub(lambda place: _text(look_up(place.group(1), values)), template)
    if len(filled) > MAX_CHARS:
        raise Unjudgeable("TOO_LARGE", f"A filled template has at most {MAX_CHARS:,} characters.")
    return filled


def look_up(path: str, values: Mapping[str, Any]) -> Any:
    """What lies under a path. Raises Unjudgeable(FIELD_MISSING)."""
    found: Any = values
    for step in _STEP.findall(path):
        if isinstance(found, Mapping) and step in found:
            found = found[step]
        elif isinstance(found, list) and step.isdigit() and int(step) < len(found):
            found = found[int(step)]
        else:
            raise Unjudgeable("FIELD_MISSING", f"There is no {path[:100]!r}.")
    return found


def values_of(item: Mapping[str, Any], sample: Sample | None = None) -> dict[str, Any]:
    """What templates may name. `sample.output_json` is there where the answer is JSON."""
    values: dict[str, Any] = {"item": item}
    if sample is not None:
        said: dict[str, Any] = {"output_text": sample.text, "model": sample.model}
        with contextlib.suppress(ValueError, RecursionError):
            said["output_json"] = json.loads(sample.text)
        values["sample"] = said
    return values


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
