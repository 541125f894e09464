"""An S3-speaking server in a process of its own (moto's), with an empty bucket for whoever asks."""

from __future__ import annotations

import secrets
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
from s3fs import S3FileSystem

from parts.process import PartFailed, Process, free_port
from parts.report import ran, skip_part


class S3Server:
    """A server on a free port of the loopback address. It keeps everything in memory: stopping empties it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sixfold-s3-"))
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.files: Any = S3FileSystem(
            endpoint_url=self.endpoint,
            key="test",
            secret="test",
            client_kwargs={"region_name": "us-east-1"},
            use_listings_cache=False,
            skip_instance_cache=True,
        )
        """A client of the tests' own."""
        self._process = Process(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
            log=self.folder / "s3.log",
            ready=self._answers,
            env={"PYTHONUNBUFFERED": "1"},
        )

    def start(self) -> None:
        self._process.start()

    def pause(self) -> None:
        self._process.pause()

    def resume(self) -> None:
        self._process.resume()

    def new_bucket(self) -> str:
        """The URL of an object store in an empty bucket."""
        bucket = f"sixfold-{secrets.token_hex(6)}"
        self.files.call_s3("create_bucket", Bucket=bucket)
        return f"s3://{bucket}/some/prefix?endpoint={self.endpoint}&region=us-east-1&key=test&secret=test"

    def keys(self, url: str) -> list[str]:
        """Everything in the bucket of that URL, unfinished uploads too."""
        bucket = url.removeprefix("s3://").partition("/")[0]
        whole = self.files.call_s3("list_objects_v2", Bucket=bucket).get("Contents") or []
        parts = self.files.call_s3("list_multipart_uploads", Bucket=bucket).get("Uploads") or []
        return [str(item["Key"]) for item in (*whole, *parts)]

    def remove(self) -> None:
        self._process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.endpoint}/moto-api/data.json", timeout=2, trust_env=False).is_success
        except httpx.HTTPError:
            return False


def start_s3() -> S3Server:
    """A new server that runs. Skips when there is none to be had."""
    try:
        import moto  # noqa: F401
    except ImportError:
        skip_part("s3", "moto is not installed")
    server = S3Server()
    try:
        server.start()
    except PartFailed as error:
        skip_part("s3", str(error).splitlines()[0])
    ran("s3")
    return server
