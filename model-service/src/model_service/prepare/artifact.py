"""The archive that a training leaves, unpacked with suspicion: it came through other hands."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

from model_service.prepare.lora import CONFIG, WEIGHTS, BadArtifact

_MOST_FILES = 256
_LARGEST_JSON = 16 << 20
MANIFEST = "manifest.json"


def unpack(archive: Path, target: Path, *, form: str, limit: int) -> Path:
    """Bring the weights of this form and their config.json into `target`; returns the folder they are in.

    Files lie at the top or in one folder; of several folders, the one that holds this form counts. `limit`
    is in bytes, unpacked. Raises BadArtifact.
    """
    try:
        with tarfile.open(archive, "r:") as tar:
            members = _members(tar, limit)
            manifest = members.pop(MANIFEST, None)
            if manifest is None:
                raise BadArtifact(f"The artifact has no {MANIFEST}.")
            _check_manifest(_json(tar, manifest), form)
            for name, member in _wanted(members, form).items():
                file = tar.extractfile(member)
                assert file is not None  # a regular file
                with file, (target / name).open("wb") as out:
                    while block := file.read(1 << 20):
                        out.write(block)
    except (tarfile.TarError, EOFError, UnicodeError):
        raise BadArtifact("The artifact is not a whole tar archive.") from None
    return target


def _members(tar: tarfile.TarFile, limit: int) -> dict[str, tarfile.TarInfo]:
    """Regular files by their path, all sizes together within the limit."""
    found: dict[str, tarfile.TarInfo] = {}
    size = 0
    for member in tar:
        if member.isdir():
            continue
        path = member.name.removeprefix("./")
        parts = path.split("/")
        if not member.isreg() or len(parts) > 2 or any(part in ("", ".", "..") for part in parts):
            raise BadArtifact("The artifact holds something other than files in one folder.")
        size += member.size
        if len(found) >= _MOST_FILES or size > limit:
            raise BadArtifact(f"The artifact is larger than {limit} bytes or {_MOST_FILES} files.")
        found[path] = member
    return found


def _wanted(members: dict[str, tarfile.TarInfo], form: str) -> dict[str, tarfile.TarInfo]:
    for folder in sorted({path.rpartition("/")[0] for path in members}):
        inside = {
            path.rpartition("/")[2]: member
            for path, member in members.items()
            if path.rpartition("/")[0] == folder
        }
        if form == "lora" and {CONFIG, WEIGHTS} <= inside.keys():
            return {name: inside[name] for name in (CONFIG, WEIGHTS)}
        weights = [name for name in inside if name.endswith(".safetensors") and name != WEIGHTS]
        if form == "full" and weights and "config.json" in inside:
            return {name: inside[name] for name in ("config.json", *weights)}
    wanted = f"{CONFIG} with {WEIGHTS}" if form == "lora" else "config.json with .safetensors files"
    raise BadArtifact(f"The artifact has no {wanted}.")


def _json(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Any:
    file = tar.extractfile(member)
    if file is None or member.size > _LARGEST_JSON:
        raise BadArtifact(f"The artifact's {MANIFEST} cannot be read.")
    try:
        with file:
            return json.loads(file.read())
    except (ValueError, RecursionError):
        raise BadArtifact(f"The artifact's {MANIFEST} cannot be read.") from None


def _check_manifest(manifest: Any, form: str) -> None:
    if not isinstance(manifest, dict):
        raise BadArtifact(f"The artifact's {MANIFEST} is not a JSON object.")
    if manifest.get("form", form) != form:
        raise BadArtifact(f"The artifact's {MANIFEST} names another form.")
