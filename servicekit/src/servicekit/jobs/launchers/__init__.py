"""Where job processes run, by URL."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from servicekit.jobs.launchers.base import Launcher, LaunchFailed, Needs, Process

__all__ = ["LaunchFailed", "Launcher", "Needs", "Process", "open_launcher"]


def open_launcher(url: str, *, folder: Path, environment: Mapping[str, str] | None = None) -> Launcher:
    """The launcher that `url` names. ValueError for one that names none.

    - `subprocess://`: processes of this machine; `?nice=5` lets everything else go first. `folder` is for
      their working folders, each removed behind its attempt.
    - `ray://local` or `ray://host:10001`: processes on the nodes of a Ray cluster, each with `?cpus=1&gpus=0`
      to itself. Needs the package `ray`.
    - `k8s:///namespace?image=…` and the like: pods of a Kubernetes cluster, see `k8s.address`.

    `environment` is what a process finds beside the few usual variables; nothing else is inherited.
    """
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    match parts.scheme:
        case "ray":
            from servicekit.jobs.launchers.ray import RayLauncher

            if not parts.netloc:
                raise ValueError("a Ray launcher is ray://local or ray://host:port")
            cpus, gpus = _number(options, "cpus", 1), _number(options, "gpus", 0)
            nice = _nice(options)
            return RayLauncher(parts.netloc, environment or {}, nice=nice, cpus=cpus, gpus=gpus)
        case "subprocess":
            from servicekit.jobs.launchers.subprocess import SubprocessLauncher

            return SubprocessLauncher(folder, environment or {}, nice=_nice(options))
        case "k8s" | "k8s+http":
            from servicekit.jobs.launchers.k8s.address import Address
            from servicekit.jobs.launchers.k8s.launcher import KubernetesLauncher

            return KubernetesLauncher(Address.parse(url), environment or {})
        case other:
            raise ValueError(f"no launcher for the scheme {other!r}: use subprocess://, ray:// or k8s://")


def _nice(options: dict[str, str]) -> int:
    text = options.pop("nice", "0")
    if options:
        raise ValueError(f"a launcher has no option {sorted(options)[0]!r}")
    if not text.isdecimal() or int(text) > 19:
        raise ValueError("the launcher's option nice is a number from 0 to 19")
    return int(text)


def _number(options: dict[str, str], name: str, default: float) -> float:
    try:
        value = float(options.pop(name, default))
    except ValueError:
        value = -1
    if not 0 <= value <= 1024:
        raise ValueError(f"the launcher's option {name} is a number from 0 to 1024")
    return value
