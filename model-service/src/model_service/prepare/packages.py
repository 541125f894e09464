"""Weights that install as Python packages: find their files without importing them, and check them whole."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from model_service.prepare.progress import PrepareError


@dataclass(frozen=True, slots=True)
class WeightsPackage:
    """A distribution that carries a model."""

    distribution: str
    module: str
    pinned: str
    """The version that is known to be good, for advice."""

    @property
    def advice(self) -> str:
        """The command that puts it right."""
        return f"pip install --force-reinstall --no-deps {self.distribution}=={self.pinned}"

    def version(self) -> str | None:
        """The installed version, or None."""
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            return None

    def folder(self) -> Path:
        """Where its files lie. Importing it would run code that needs what we never install."""
        spec = importlib.util.find_spec(self.module)
        if spec is None or not spec.submodule_search_locations:
            raise PrepareError(f"The package {self.distribution} is not installed. Run: {self.advice}")
        return Path(next(iter(spec.submodule_search_locations)))

    def checked(self, file: Path) -> str:
        """The SHA-256 of one of its files, in hex. Raises PrepareError if the installer noted another."""
        try:
            with file.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256")
        except OSError:
            raise PrepareError(
                f"The package {self.distribution} lacks {file.name}. Run: {self.advice}"
            ) from None
        noted = self._noted(file)
        ours = base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
        if noted is not None and noted != ours:
            raise PrepareError(
                f"{file.name} of the package {self.distribution} is damaged. Run: {self.advice}"
            )
        return digest.hexdigest()

    def _noted(self, file: Path) -> str | None:
        try:
            files = importlib.metadata.files(self.distribution) or []
        except importlib.metadata.PackageNotFoundError:
            return None
        for entry in files:
            if entry.name == file.name and entry.hash is not None and Path(str(entry.locate())) == file:
                return entry.hash.value if entry.hash.mode == "sha256" else None
        return None
