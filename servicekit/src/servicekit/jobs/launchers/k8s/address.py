"""A launcher's URL for Kubernetes, read.

- `k8s:///jobs?image=…`: the namespace `jobs` of the cluster in which this process runs.
- `k8s://host:6443/jobs?image=…&token_file=…&ca_file=…`: that of another one.
- `k8s+http://127.0.0.1:8001/jobs?image=…`: through `kubectl proxy` on this machine.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_IMAGE = re.compile(r"[\w][\w./:@-]{0,500}")
_SECRET = re.compile(r"([A-Za-z_][A-Za-z0-9_]*):([a-z0-9][a-z0-9.-]*)/([-._a-zA-Z0-9]+)")
_PASSWORD = re.compile(r"://[^/\s@\"]+:[^/\s@\"]+@")


@dataclass(frozen=True, slots=True)
class Secret:
    """A variable whose value the cluster keeps."""

    variable: str
    name: str
    key: str


@dataclass(frozen=True, slots=True)
class Address:
    """Where jobs go, and what every one of them gets."""

    api: str
    """The API server's URL, without a slash at its end."""
    namespace: str
    image: str
    """Has the service's package, and `python` on its path."""
    token_file: Path | None
    ca_file: Path | None
    cpus: float
    gpus: int
    disk_gib: float
    """Of the working folder."""
    user: int
    """The user's id in the pod; never 0."""
    start_seconds: float
    """For a place in the cluster and the image."""
    silent_seconds: float
    """A process whose worker has not been heard of for so long ends. Less than the lease."""
    pull_secret: str
    """Of the registry that has the image."""
    secrets: tuple[Secret, ...]

    @classmethod
    def parse(cls, url: str) -> Address:
        """ValueError, without the URL, for one that leads nowhere."""
        parts = urlsplit(url)
        given = parse_qsl(parts.query, keep_blank_values=True)
        options = dict(given)
        namespace = parts.path.strip("/")
        if parts.username or parts.password:
            raise ValueError("a Kubernetes launcher's token is in a file: token_file=…")
        if not _NAME.fullmatch(namespace):
            raise ValueError("a Kubernetes launcher names a namespace: k8s:///namespace?image=…")
        many = {name for name in options if name != "secret" and [n for n, _ in given].count(name) > 1}
        if many:
            raise ValueError(f"the launcher's option {sorted(many)[0]} is given twice")
        options.pop("secret", None)
        secrets = tuple(_secret(value) for name, value in given if name == "secret")
        image = options.pop("image", "")
        if not _IMAGE.fullmatch(image):
            raise ValueError("a Kubernetes launcher needs image=…, with the service's package in it")
        api, token_file, ca_file = _server(parts.scheme, parts.netloc, options)
        address = cls(
            api=api,
            namespace=namespace,
            image=image,
            token_file=token_file,
            ca_file=ca_file,
            cpus=_number(options, "cpus", 1, 0.01, 1024),
            gpus=int(_number(options, "gpus", 0, 0, 64)),
            disk_gib=_number(options, "disk", 20, 0.1, 65536),
            user=int(_number(options, "user", 10001, 1, 2**31 - 1)),
            start_seconds=_number(options, "start", 120, 1, 86_400),
            silent_seconds=_number(options, "silent", 5, 0.5, 600),
            pull_secret=options.pop("pull", ""),
            secrets=secrets,
        )
        if address.pull_secret and not _NAME.fullmatch(address.pull_secret):
            raise ValueError("the launcher's option pull is a secret's name")
        if options:
            raise ValueError(f"a Kubernetes launcher has no option {sorted(options)[0]!r}")
        return address


def check_environment(values: dict[str, str]) -> None:
    """A manifest can be read by many: ValueError, with the variable's name alone, for one with a password."""
    for name, value in values.items():
        if _PASSWORD.search(value):
            raise ValueError(f"{name} holds a password: keep it in the cluster, secret={name}:NAME/KEY")


def _server(scheme: str, netloc: str, options: dict[str, str]) -> tuple[str, Path | None, Path | None]:
    token, ca = options.pop("token_file", ""), options.pop("ca_file", "")
    if scheme == "k8s+http":
        if netloc.rpartition(":")[0] not in ("127.0.0.1", "localhost", "[::1]"):
            raise ValueError("k8s+http:// is for a proxy on this machine: tokens need TLS")
        return f"http://{netloc}", Path(token) if token else None, None
    if netloc:
        if not token:
            raise ValueError("a cluster elsewhere asks for a token: token_file=…")
        return f"https://{netloc}", Path(token), Path(ca) if ca else None
    host, port = (
        os.environ.get("KUBERNETES_SERVICE_HOST", ""),
        os.environ.get("KUBERNETES_SERVICE_PORT", "443"),
    )
    if not host:
        raise ValueError("k8s:/// is for a process in a cluster; elsewhere: k8s://host:port/namespace")
    host = f"[{host}]" if ":" in host else host
    return f"https://{host}:{port}", Path(token) if token else _ACCOUNT / "token", _ACCOUNT / "ca.crt"


def _secret(text: str) -> Secret:
    found = _SECRET.fullmatch(text)
    if found is None:
        raise ValueError("the launcher's option secret is VARIABLE:NAME/KEY")
    return Secret(found[1], found[2], found[3])


def _number(options: dict[str, str], name: str, default: float, least: float, most: float) -> float:
    try:
        value = float(options.pop(name, default))
    except ValueError:
        value = least - 1
    if not least <= value <= most:
        raise ValueError(f"the launcher's option {name} is a number from {least:g} to {most:g}")
    return value
