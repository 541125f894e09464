"""Files and artifacts by URL: `file:///folder` on one machine, `s3://bucket/prefix` at scale, through fsspec.

An object lies under `<namespace>/<sha256 of its content>`. A namespace belongs to one thing (`<tenant>/<file
id>`): nothing is shared between namespaces, so deleting one needs no count of references.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from servicekit.objects.base import Place, Stored
from servicekit.objects.store import Objects

__all__ = ["Objects", "Stored", "open_objects"]


def open_objects(url: str, *, key: bytes | None = None, timeout: float = 10, threads: int = 8) -> Objects:
    """The object store that `url` names. Connects at the first use, so this neither waits nor fails.

    `s3://bucket/prefix` takes `?endpoint=http://host:9000&region=…&key=…&secret=…`; what is not there comes
    from the environment as for every AWS client (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
    `AWS_ENDPOINT_URL_S3`, …). `key` has 32 bytes; with it, objects are encrypted at rest, and those stored
    before are still read. `timeout` is in seconds, for one exchange with an S3 server, which is tried three
    times at most. `threads` bounds how many calls run at once.

    Raises ValueError for a URL that names no object store.
    """
    return Objects(_place(url, timeout, threads), key=key, threads=threads)


def _place(url: str, timeout: float, threads: int) -> Place:
    parts = urlsplit(url)
    if parts.scheme == "file":
        path = url.removeprefix("file://")  # as it is: a folder may have any name
        if not path.startswith("/") or not path.strip("/"):
            raise ValueError("an object store in a folder is file:///path/to/folder")
        from servicekit.objects.folder import Folder

        return Folder(Path(path))
    if parts.scheme == "s3":
        from servicekit.objects.s3 import S3  # its import takes a second: only when used

        options = {name: values[-1] for name, values in parse_qs(parts.query, strict_parsing=False).items()}
        return S3(parts.netloc, parts.path, options, timeout=timeout, connections=threads)
    raise ValueError(f"no object store for the scheme {parts.scheme!r}: use file:// or s3://")
