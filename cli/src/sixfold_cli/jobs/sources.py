"""What a person names on the command line: a data set by id or name, a file here, a file there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sixfold_cli.client import Api
from sixfold_cli.errors import CliError, Exit

DATASETS = "/v1/datasets"
_ID = re.compile(r"(ds_|file-)[0-9a-f]{24}")
_ENDINGS = (".jsonl", ".json", ".csv", ".tsv", ".parquet")


@dataclass(frozen=True)
class Named:
    """One of the three."""

    kind: str
    """dataset | file | path"""
    value: str
    """The id, or the path."""
    name: str
    """For people."""


def look_up(api: Api, text: str) -> Named:
    """An id, a file here, or the newest data set of that name. CliError when it is none of them."""
    if found := _ID.fullmatch(text):
        return Named("dataset" if found[1] == "ds_" else "file", text, text)
    path = Path(text).expanduser()
    if path.is_file():
        return Named("path", str(path), path.name)
    if path.suffix.lower() in _ENDINGS or "/" in text:
        raise CliError(f"{text}: No such file.", reason="NO_SUCH_FILE", code=Exit.USAGE)
    found_set = newest_of(api, text)
    return Named("dataset", str(found_set["id"]), text)


def newest_of(api: Api, name: str) -> dict[str, Any]:
    """The newest data set of this name or id that can be used; else the newest at all. CliError for none."""
    if _ID.fullmatch(name) and name.startswith("ds_"):
        found: dict[str, Any] = api.call("GET", f"{DATASETS}/{name}")
        return found
    same = list(api.pages(f"{DATASETS}?name={quote(name, safe='')}"))
    same.sort(key=lambda each: float(each["created_at"]), reverse=True)
    usable = next((each for each in same if each["status"] == "succeeded"), None)
    if not same:
        raise CliError(
            f"there is no data set '{name}'.",
            "`sixfold datasets` lists them; `sixfold datasets create` makes one.",
            reason="NO_SUCH_DATASET",
        )
    return usable or same[0]


def upload(api: Api, path: Path, purpose: str) -> str:
    """The id of a file sent from here."""
    try:
        with path.open("rb") as file:
            return str(api.upload(path.name, file, purpose)["id"])
    except OSError as error:
        raise CliError(f"{path}: {error.strerror}.", reason="UNREADABLE", code=Exit.USAGE) from None


def training_file(api: Api, text: str) -> tuple[str, bool]:
    """What `fine_tuning.jobs` takes: an id, and whether it was sent from here just now."""
    named = look_up(api, text)
    if named.kind == "path":
        return upload(api, Path(named.value), "fine-tune"), True
    return named.value, False
