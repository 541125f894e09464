"""The one folder that everything on this machine lives under: `SIXFOLD_HOME`."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from sixfold_cli.errors import CliError

_WORKSPACE = 'name = "sixfold-workspace"'


@dataclass(frozen=True)
class Home:
    """Paths under the home folder. `root` is absolute, so that children may run anywhere."""

    root: Path

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def jwt_key(self) -> Path:
        """The key that signs people's tokens: 64 hex characters."""
        return self.secrets / "jwt.key"

    @property
    def service_key(self) -> Path:
        """The key with which services sign tokens to one another: 64 hex characters."""
        return self.secrets / "service.key"

    @property
    def token(self) -> Path:
        """The first tenant's token, for the owner of this machine."""
        return self.root / "token"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """What lasts only as long as the processes: lock and state."""
        return self.root / "run"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def policies(self) -> Path:
        """What a model must show before it may take a name over, one YAML file a policy."""
        return self.root / "policies"

    def create(self, needed_gb: float = 1.0) -> None:
        """Makes the folders, for the owner only. CliError when that cannot be, or the disk is full."""
        try:
            for folder in (self.root, self.secrets, self.logs, self.run):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for folder in (self.root, self.secrets):
                folder.chmod(0o700)
        except OSError as error:
            raise CliError(
                f"{error.filename or self.root} cannot be made or opened: {error.strerror}.",
                "Choose a folder that is yours: SIXFOLD_HOME=/path/to/folder",
                reason="HOME_UNUSABLE",
            ) from None
        free = shutil.disk_usage(self.root).free / 1e9
        if free < needed_gb:
            raise CliError(
                f"the disk of {self.root} has {free:.2f} GB free; {needed_gb:g} GB are needed to start.",
                "Free some space, or choose another disk: SIXFOLD_HOME=/path/to/folder",
                reason="DISK_FULL",
            )


def find_home(given: Path | None = None) -> Home:
    """The home that was named, else the nearest `.sixfold` upwards, else one in the clone, else one here."""
    named = given or (Path(os.environ["SIXFOLD_HOME"]) if os.environ.get("SIXFOLD_HOME") else None)
    if named is not None:
        return Home(named.expanduser().absolute())
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / ".sixfold").is_dir() or _is_workspace(folder):
            return Home(folder / ".sixfold")
    return Home(here / ".sixfold")


def clone_of(path: Path) -> Path | None:
    """The clone of this project that a file lies in, if it does."""
    return next((folder for folder in path.resolve().parents if _is_workspace(folder)), None)


def _is_workspace(folder: Path) -> bool:
    try:
        return _WORKSPACE in (folder / "pyproject.toml").read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return False
