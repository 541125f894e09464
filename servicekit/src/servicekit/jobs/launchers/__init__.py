"""Where job processes run, by URL."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from servicekit.jobs.launchers.base import Launcher, LaunchFailed, Process

__all__ = ["LaunchFailed", "Launcher", "Process", "open_launcher"]


def open_launcher(url: str, *, folder: Path, environment: Mapping[str, str] | None = None) -> Launcher:
    """The launcher that `url` names. ValueError for one that names none.

    `subprocess://` starts processes of this machine; `?nice=5` lets everything else go first. `folder` is
    for their working folders, each removed behind its attempt. `environment` is what a process finds beside
    the few usual variables; nothing else is inherited.
    """
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    match parts.scheme:
        case "subprocess":
            from servicekit.jobs.launchers.subprocess import SubprocessLauncher

            return SubprocessLauncher(folder, environment or {}, nice=_nice(options))
        case other:
            raise ValueError(f"no launcher for the scheme {other!r}: use subprocess://")


def _nice(options: dict[str, str]) -> int:
    text = options.pop("nice", "0")
    if options:
        raise ValueError(f"a launcher has no option {sorted(options)[0]!r}")
    if not text.isdecimal() or int(text) > 19:
        raise ValueError("the launcher's option nice is a number from 0 to 19")
    return int(text)
