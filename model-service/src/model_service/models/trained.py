"""Models that were trained here, as they lie on disk: remembered, so that a restart has them again.

`<root>/<id>/model.json` says what a model is; the folder beside it, named for its artifact, holds it as the
engine reads it. model.json is written last and removed first: without it a folder is a leftover.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from model_service.engines.types import Origin
from servicekit.logs import get_logger

log = get_logger(__name__)

_RECORD = "model.json"
_REMEMBERED = 32
_TAIL = re.compile(r"[A-Za-z0-9._-]{0,64}:[0-9a-f]{6,16}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
FORMS = ("lora", "full")


@dataclass(frozen=True, slots=True)
class Addition:
    """What is to be taken in."""

    name: str
    base: str
    form: str
    """One of `FORMS`."""
    object_key: str
    version: str
    origin: Origin
    request_id: str = ""

    @property
    def artifact(self) -> str:
        """SHA-256 of the archive."""
        return self.origin.artifact_sha256


@dataclass(frozen=True, slots=True)
class Trained:
    """A model that was taken in."""

    name: str
    version: str
    form: str
    base_version: str
    """Version of the base whose weights are in it."""
    origin: Origin
    requests: tuple[str, ...] = ()
    """Ids of the requests that made it what it is, the latest last."""

    def asked_by(self, request_id: str) -> Trained:
        """The same, with one more request remembered."""
        if not request_id or request_id in self.requests:
            return self
        return replace(self, requests=(*self.requests, request_id)[-_REMEMBERED:])


def is_name(name: str, base: str, tenant: str) -> bool:
    """Whether a model of this base may have this name: it says whose it is, so no two tenants' can meet."""
    start = f"ft:{base}:{tenant}:"
    return name.startswith(start) and _TAIL.fullmatch(name.removeprefix(start)) is not None


def is_sha256(text: str) -> bool:
    """Hexadecimal, lower case."""
    return _SHA256.fullmatch(text) is not None


def is_version(text: str) -> bool:
    """What a card may call its version."""
    return _VERSION.fullmatch(text) is not None


class TrainedFolders:
    """The models under one root. Blocking: call it from a thread."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    def weights(self, trained: Trained) -> Path:
        """The folder that the engine reads."""
        return self._place(trained.name) / self._inner(trained)

    def read_all(self) -> list[Trained]:
        """Every model that is remembered; what a killed addition left behind is removed."""
        found = []
        for folder in self._folders():
            trained = _read(folder / _RECORD)
            if trained is None or self._place(trained.name) != folder:
                shutil.rmtree(folder, ignore_errors=True)
                continue
            self._keep_only(folder, self._inner(trained))
            found.append(trained)
        return found

    def write(self, trained: Trained) -> None:
        """Remember it; durable on return. Its folder must be there."""
        record = self._place(trained.name) / _RECORD
        part = record.with_name(f".{_RECORD}.part")
        with part.open("w", encoding="utf-8") as file:
            json.dump(asdict(trained), file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        part.replace(record)
        _sync(record.parent)

    def forget(self, name: str) -> None:
        """From now on a restart does not have it. Its folder stays until `clear`."""
        folder = self._place(name)
        (folder / _RECORD).unlink(missing_ok=True)
        if folder.exists():
            _sync(folder)

    def clear(self, name: str, *, keep: Trained | None = None) -> None:
        """Remove what lies there of a model, but not what belongs to `keep`."""
        folder = self._place(name)
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            self._keep_only(folder, self._inner(keep))

    def _place(self, name: str) -> Path:
        return self._root / hashlib.sha256(name.encode()).hexdigest()[:24]

    @staticmethod
    def _inner(trained: Trained) -> str:
        text = f"{trained.origin.artifact_sha256} {trained.form} {trained.base_version} {trained.version}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _folders(self) -> Iterator[Path]:
        try:
            yield from sorted(path for path in self._root.iterdir() if path.is_dir())
        except FileNotFoundError:
            return

    @staticmethod
    def _keep_only(folder: Path, name: str) -> None:
        for path in list(folder.iterdir()):
            if path.name in (name, _RECORD):
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _read(path: Path) -> Trained | None:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        raw["origin"] = Origin(**raw["origin"])
        raw["requests"] = tuple(raw["requests"])
        return Trained(**raw)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        log.error("record of a trained model cannot be read", file=path.name)
        return None


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
