"""Objects in a bucket of an S3-speaking server, through s3fs."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from fsspec.asyn import sync_wrapper
from s3fs import S3FileSystem

from servicekit.objects.base import Full, Sink, Source
from servicekit.objects.names import INCOMING

_PART = 8 * 1024 * 1024
"""Bytes that a writer gathers before it sends them: S3 takes parts of 5 MB or more."""
_READ = 1024 * 1024
_TRIES = 3
_FULL = ("StorageFull", "QuotaExceeded", "XMinioStorageFull")
_OPTIONS = frozenset({"endpoint", "region", "key", "secret"})


class S3:
    """A `Place` under a prefix of a bucket that exists. An exchange has a time limit, and three tries."""

    def __init__(
        self, bucket: str, prefix: str, options: Mapping[str, str], *, timeout: float, connections: int
    ) -> None:
        if not bucket or set(options) - _OPTIONS:
            raise ValueError("an object store in S3 is s3://bucket/prefix?endpoint=…&region=…&key=…&secret=…")
        self._bucket = bucket
        self._root = "/".join(part for part in (bucket, prefix.strip("/")) if part)
        region = options.get("region")
        self._files = _BoundedS3(
            timeout * _TRIES,
            endpoint_url=options.get("endpoint"),
            key=options.get("key"),
            secret=options.get("secret"),
            client_kwargs={"region_name": region} if region else None,
            config_kwargs={
                "connect_timeout": timeout,
                "read_timeout": timeout,
                "retries": {"total_max_attempts": 1},  # s3fs counts the tries
                "max_pool_connections": connections * 2,
            },
            default_block_size=_PART,
            use_listings_cache=False,
            skip_instance_cache=True,
        )
        self._files.retries = _TRIES

    def create(self, name: str) -> Sink:
        return _S3Sink(self._files.open(self._path(name), "wb", block_size=_PART))

    def publish(self, temporary: str, name: str) -> None:
        self._files.cp_file(self._path(temporary), self._path(name))
        self.discard(temporary)

    def open(self, name: str) -> Source:
        source: Source = self._files.open(self._path(name), "rb", block_size=_READ, cache_type="readahead")
        return source

    def names(self, folder: str) -> Iterator[str]:
        # The slash keeps `file-10` out of `file-1`.
        for found in self._files.find(self._path(folder) + "/"):
            yield found.removeprefix(self._root + "/")

    def remove(self, folder: str) -> None:
        for name in self.names(folder):
            self.discard(name)

    def stale(self, seconds: float) -> Iterator[str]:
        before = time.time() - seconds
        folder = self._path(INCOMING) + "/"
        for path, found in self._files.find(folder, detail=True).items():
            if found["LastModified"].timestamp() < before:
                yield f"{INCOMING}/{path.rpartition('/')[2]}"
        for upload in self._unfinished(folder.removeprefix(self._bucket + "/")):
            if upload["Initiated"].timestamp() < before:
                self._files.call_s3(
                    "abort_multipart_upload",
                    Bucket=self._bucket,
                    Key=upload["Key"],
                    UploadId=upload["UploadId"],
                )
                yield f"{INCOMING}/{upload['Key'].rpartition('/')[2]}"

    def _unfinished(self, prefix: str) -> list[dict[str, Any]]:
        """Multipart uploads that nobody completed: a server keeps their parts, and lists them only here."""
        found = self._files.call_s3("list_multipart_uploads", Bucket=self._bucket, Prefix=prefix)
        return list(found.get("Uploads") or ())

    def discard(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self._files.rm_file(self._path(name))

    def check(self) -> None:
        self._files.call_s3("head_bucket", Bucket=self._bucket)

    def close(self) -> None:
        session = getattr(self._files, "_s3", None)
        if session is not None:
            S3FileSystem.close_session(self._files.loop, session)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"


class _S3Sink:
    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, data: bytes) -> None:
        with _room():
            self._file.write(data)

    def finish(self) -> None:
        with _room():
            self._file.close()

    def drop(self) -> None:
        if self._file.closed:
            return
        self._file.closed = True  # or its end would publish what is there
        with suppress(Exception):  # a server that is away keeps the parts; `stale` finds them
            self._file.discard()


class _BoundedS3(S3FileSystem):  # type: ignore[misc]
    """Bounds each call as a whole: the client waits without limit for a server's `100 Continue`."""

    def __init__(self, seconds: float, **options: Any) -> None:
        super().__init__(**options)
        self._seconds = seconds

    async def _call_s3(self, method: str, *args: Any, **kwargs: Any) -> Any:
        async with asyncio.timeout(self._seconds):
            return await super()._call_s3(method, *args, **kwargs)

    call_s3 = sync_wrapper(_call_s3)


@contextmanager
def _room() -> Iterator[None]:
    """A server without room says so in words of its own."""
    try:
        yield
    except Exception as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if full or any(word in str(error) for word in _FULL):
            raise Full from error
        raise
