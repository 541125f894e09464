"""A model's folder, made whole or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_service.models.cards import is_whole, read_card
from model_service.prepare.progress import PrepareError

_MARGIN = 64 << 20  # left free for logs and the database


def is_current(folder: Path, *, source: str | None, recipe: str) -> bool:
    """Whether the folder holds the whole model, made from this source in this way.

    Without a source (its package is gone) a whole folder is good enough.
    """
    prepared = read_card(folder)
    if prepared is None or not is_whole(folder, prepared):
        return False
    return source is None or (prepared.card.source == source and prepared.recipe == recipe)


@contextmanager
def locked(models: Path) -> Iterator[None]:
    """Only one process prepares under `models` at a time; the others wait."""
    models.mkdir(parents=True, exist_ok=True)
    with (models / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def fresh_folder(target: Path, *, needs: int) -> Iterator[Path]:
    """A temporary folder beside `target` that takes its place on success and is removed otherwise.

    `needs` is the room in bytes that the work takes. Raises PrepareError when the disk is full, or
    the place cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target)
        _check_room(target.parent, needs)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise _cannot_write(target, error) from error
    try:
        yield work
        _replace(work, target)
    except OSError as error:
        raise _cannot_write(target, error) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def link_or_copy(source: Path, target: Path) -> None:
    """Bring a file in: a second name for it where the file system can, a copy otherwise."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _check_room(folder: Path, needs: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needs + _MARGIN:
        raise PrepareError(
            f"The disk is too full for the model: {(needs + _MARGIN) >> 20} MB are needed under {folder}, "
            f"{free >> 20} MB are free. Make room, or set SIXFOLD_HOME to another disk."
        )


def _sweep(target: Path) -> None:
    """Remove what a killed attempt left behind."""
    for left in target.parent.glob(f".{target.name}.*"):
        shutil.rmtree(left, ignore_errors=True)


def _replace(work: Path, target: Path) -> None:
    work.chmod(0o755)
    if target.exists():
        old = work.with_name(work.name + ".old")
        target.rename(old)
        work.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    else:
        work.rename(target)


def _cannot_write(target: Path, error: OSError) -> PrepareError:
    why = error.strerror or type(error).__name__
    return PrepareError(
        f"Cannot write the model to {target}: {why}. Make room, or set SIXFOLD_HOME to another place."
    )
