"""Servers from Debian packages, unpacked into a cache folder: no root, and nothing installed.

The folder is `$SIXFOLD_TEST_CACHE`, or `.cache/parts` in the clone.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

CLONE = Path(__file__).resolve().parents[2]
UPDATE_SECONDS = 120
DOWNLOAD_SECONDS = 180

_ODD_NAMES = {
    "libicui18n": "libicu{version}",
    "libicuuc": "libicu{version}",
    "libicudata": "libicu{version}",
    "libxml2": "libxml2",
    "libxslt": "libxslt1.1",
    "liblber-2.5": "libldap-2.5-0",
}
"""Libraries whose package is not called after them."""


class CannotGet(Exception):
    """Why a server cannot be had here, in plain words."""


def cache_folder() -> Path:
    return Path(os.environ.get("SIXFOLD_TEST_CACHE") or CLONE / ".cache" / "parts")


def unpacked(name: str, packages: Sequence[str], program: str) -> Path:
    """The folder that holds these packages, unpacked once; `program` is a pattern in it that must run."""
    root = cache_folder() / name
    with locked(name):
        if next(root.glob(program), None) is None:
            _get(root, packages, program)
    return root


def library_path(root: Path) -> dict[str, str]:
    """The environment in which a program of this folder finds the libraries that came with it."""
    found = {str(library.parent) for library in root.glob("usr/lib/**/*.so*")}
    found |= {str(library.parent) for library in root.glob("lib/**/*.so*")}
    return {"LD_LIBRARY_PATH": ":".join([*sorted(found), os.environ.get("LD_LIBRARY_PATH", "")]).rstrip(":")}


def _get(root: Path, packages: Sequence[str], program: str) -> None:
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise CannotGet(f"{root.name} is not installed, and there is no {tool} to get it with")
    shutil.rmtree(root, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=root.parent) as scratch:
        new = Path(scratch) / "root"
        for package in packages:
            _download_and_unpack(package, new)
        binary = next(new.glob(program), None)
        if binary is None:
            raise CannotGet(f"the packages {', '.join(packages)} hold no {program}")
        for _ in range(6):  # libraries need libraries
            missing = _missing_libraries(binary, new)
            if not missing:
                break
            for library in missing:
                _download_and_unpack(_package_of(library), new)
        else:
            raise CannotGet(f"libraries are missing: {', '.join(missing)}")
        new.chmod(0o755)
        new.rename(root)


def _download_and_unpack(package: str, root: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        # With the machine's lists first; where these are missing or too old, with fresh ones of our own.
        if _apt(["download", package], DOWNLOAD_SECONDS, folder) != 0:
            lists = _own_lists(cache_folder() / "apt")
            if _apt([*lists, "download", package], DOWNLOAD_SECONDS, folder) != 0:
                raise CannotGet(f"the package {package} cannot be downloaded")
        for archive in Path(folder).glob("*.deb"):
            subprocess.run(["dpkg", "-x", archive, root], check=True, capture_output=True, timeout=60)


@cache
def _own_lists(state: Path) -> list[str]:
    """Options that keep the package lists in this folder, which needs no root; fetched once a run."""
    for folder in ("lists/partial", "archives/partial"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    options = ["-o", f"Dir::State::lists={state}/lists", "-o", f"Dir::Cache={state}"]
    if _apt([*options, "update"], UPDATE_SECONDS, None) != 0:
        raise CannotGet("the package lists cannot be fetched")
    return options


def _apt(arguments: list[str], seconds: float, folder: str | None) -> int:
    sandbox = ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []
    try:
        return subprocess.run(
            ["apt-get", "-q", *sandbox, "-o", "Acquire::Retries=1", *arguments],
            cwd=folder,
            capture_output=True,
            timeout=seconds,
        ).returncode
    except subprocess.TimeoutExpired:
        return -1


def _missing_libraries(binary: Path, root: Path) -> list[str]:
    listing = subprocess.run(
        ["ldd", binary],
        env={**os.environ, **library_path(root)},
        capture_output=True,
        text=True,
        timeout=20,
    ).stdout
    return sorted(set(re.findall(r"(\S+) => not found", listing)))


def _package_of(library: str) -> str:
    """Debian's rule: `libjemalloc.so.2` is in libjemalloc2, `libfoo1.so.3` in libfoo1-3."""
    stem, _, version = library.partition(".so.")
    if stem in _ODD_NAMES:
        return _ODD_NAMES[stem].format(version=version)
    return f"{stem}-{version}" if stem[-1].isdigit() else f"{stem}{version}"


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Runs that start together do not unpack into each other."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
