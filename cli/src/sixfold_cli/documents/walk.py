"""Finds the documents under the paths that somebody names, and says what it leaves out and why."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sixfold_cli.errors import CliError, Exit

_ENDINGS = """
    pdf docx docm dotx dotm pptx pptm ppsx potx xlsx xlsm xltx epub html htm xhtml xml md markdown mdx
    csv tsv tab json geojson ipynb jsonl ndjson eml mht mhtml txt text log rst adoc org srt vtt
    c cc cpp h hpp cs css go java js jsx ts tsx kt lua m php pl proto py pyi r rb rs scala sh sql swift tex
    toml yaml yml ini cfg conf diff patch
"""
KINDS = frozenset(_ENDINGS.split())
"""Endings of what can be read. A file that is named itself is sent whatever it is called."""


@dataclass(frozen=True)
class Document:
    """A file to bring into a store."""

    source: Path
    path: str
    """What it is known by in the store: the folder that was named, and the way from there; with slashes."""
    size: int
    """Bytes."""


@dataclass(frozen=True)
class Skipped:
    """Something that is not brought in. `reason` is for programs, `message` for people."""

    path: str
    reason: str
    message: str


Seen = Document | Skipped


def find(
    paths: Sequence[Path], *, recursive: bool = True, max_bytes: int, name: str | None = None
) -> list[Seen]:
    """Everything under the paths, in order. `name` replaces a folder's own. CliError for an unknown path."""
    found: list[Seen] = []
    for path in paths:
        try:
            is_folder = stat.S_ISDIR(path.stat().st_mode)
        except OSError as error:
            raise CliError(
                f"{path}: {error.strerror}.", "Name files or folders.", reason="NO_SUCH_FILE", code=Exit.USAGE
            ) from None
        if is_folder:
            top = path.resolve()
            found += _folder(top, name or top.name, top, recursive, max_bytes)
        else:
            found.append(_file(path, name or path.name, max_bytes, named=True))
    _refuse_twins(found)
    return found


def _folder(top: Path, shown: str, folder: Path, recursive: bool, max_bytes: int) -> Iterator[Seen]:
    try:
        entries = sorted(os.scandir(folder), key=lambda each: each.name)
    except OSError as error:
        yield Skipped(f"{shown}/", "UNREADABLE", f"cannot be read: {error.strerror}")
        return
    for entry in entries:
        path = f"{shown}/{entry.name}" if shown else entry.name
        inside = Path(entry.path)
        if entry.name.startswith("."):
            yield Skipped(path + "/" * entry.is_dir(), "HIDDEN", "hidden")
        elif entry.is_symlink():
            yield Skipped(path, "LINK", _where_to(inside, top))
        elif entry.is_dir():
            if recursive:
                yield from _folder(top, path, inside, recursive, max_bytes)
            else:
                yield Skipped(path + "/", "FOLDER", "a folder, and --no-recursive was given")
        else:
            yield _file(inside, path, max_bytes, named=False)


def _where_to(link: Path, top: Path) -> str:
    """Links are never followed: out of the tree they lead to what nobody named, inside it to the same."""
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):
        return "a link that leads nowhere"
    return "a link to what is here anyway" if target.is_relative_to(top) else "a link out of the folder"


def _file(source: Path, path: str, max_bytes: int, *, named: bool) -> Seen:
    try:
        facts = source.stat()
        readable = os.access(source, os.R_OK)
    except OSError as error:
        return Skipped(path, "UNREADABLE", f"cannot be read: {error.strerror}")
    if not stat.S_ISREG(facts.st_mode):
        return Skipped(path, "NO_FILE", "neither a file nor a folder")
    if not readable:
        return Skipped(path, "UNREADABLE", "cannot be read: Permission denied")
    if not named and source.suffix[1:].lower() not in KINDS:
        return Skipped(
            path, "UNSUPPORTED", f"not a kind of document that is read ({source.suffix or 'no ending'})"
        )
    if facts.st_size == 0:
        return Skipped(path, "EMPTY", "empty")
    if facts.st_size > max_bytes:
        return Skipped(
            path, "TOO_LARGE", f"{facts.st_size / 1e6:.0f} MB, and {max_bytes / 1e6:.0f} MB are taken"
        )
    return Document(source, path, facts.st_size)


def _refuse_twins(found: Sequence[Seen]) -> None:
    """Two files must not be one in the store: each run would replace the other."""
    known: dict[str, Path] = {}
    for each in found:
        if isinstance(each, Document):
            other = known.setdefault(each.path, each.source)
            if other.resolve() != each.source.resolve():
                raise CliError(
                    f"{other} and {each.source} would both be '{each.path}' in the store.",
                    "Bring them in one by one, with --as NAME for one of the folders.",
                    reason="SAME_NAME",
                    code=Exit.USAGE,
                )
