"""A real retrieval-service process, and the gateway's way of talking to it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio

from parts.process import Process, free_port
from servicekit.identity import ServiceIdentity
from servicekit.objects import Objects, open_objects
from servicekit.rpc import call_metadata, from_rpc_error, open_channel
from sixfold.retrieval.v1 import retrieval_service_pb2 as pb
from sixfold.retrieval.v1 import retrieval_service_pb2_grpc, search_pb2, store_pb2

IN_PROGRESS = store_pb2.FILE_STATUS_IN_PROGRESS
COMPLETED = store_pb2.FILE_STATUS_COMPLETED
FAILED = store_pb2.FILE_STATUS_FAILED
CANCELLED = store_pb2.FILE_STATUS_CANCELLED


@dataclass
class RetrievalProcess:
    """`home` outlives stop() and start(). `model_port` is where model-service is thought to be."""

    home: Path
    key: bytes
    model_port: int
    env: Mapping[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    """A command that runs the service: `prlimit …`, say."""
    port: int = field(default_factory=free_port)
    ops_port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        secret = self.home / "secrets" / "service.key"
        secret.parent.mkdir(parents=True, exist_ok=True)
        secret.write_text(self.key.hex())
        secret.chmod(0o600)
        self.process = self._process()

    def _process(self) -> Process:
        return Process(
            [*self.prefix, sys.executable, "-m", "retrieval_service"],
            log=self.home / "retrieval-service.log",
            ready=self._ready,
            env={
                "SIXFOLD_HOME": str(self.home),
                "SIXFOLD_RETRIEVAL_SERVICE_LISTEN": f"127.0.0.1:{self.port}",
                "SIXFOLD_RETRIEVAL_SERVICE_OPS_LISTEN": f"127.0.0.1:{self.ops_port}",
                "SIXFOLD_RETRIEVAL_SERVICE_MODEL_SERVICE": f"127.0.0.1:{self.model_port}",
                "SIXFOLD_RETRIEVAL_SERVICE_RETRY_FIRST_SECONDS": "0.2",
                "SIXFOLD_RETRIEVAL_SERVICE_RETRY_LONGEST_SECONDS": "1",
                "SIXFOLD_RETRIEVAL_SERVICE_SWEEP_SECONDS": "0.5",
                "SIXFOLD_RETRIEVAL_SERVICE_MIN_FREE_BYTES": "0",
                **self.env,
            },
            start_seconds=60,
            stop_seconds=30,
        )

    def start(self) -> RetrievalProcess:
        self.process.env = {**self.process.env, **self.env}
        self.process.args = [*self.prefix, sys.executable, "-m", "retrieval_service"]
        self.process.start()
        return self

    def stop(self) -> None:
        self.process.stop()

    def kill(self) -> None:
        self.process.kill()

    def log(self, lines: int = 40) -> str:
        return self.process.tail(lines)

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ops_port}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ops_port}/readyz", timeout=2) as answer:
                return bool(json.loads(answer.read())["ready"])
        except OSError:
            return False


class Retrieval:
    """The gateway's side, for one tenant: files into the object store, calls with a service token."""

    def __init__(self, service: RetrievalProcess, tenant: str = "acme") -> None:
        self.service = service
        self.tenant = tenant
        self._identity = ServiceIdentity("gateway", service.key)
        self._channel: grpc.aio.Channel | None = None
        self.objects: Objects = open_objects(f"file://{service.home / 'objects'}")

    async def __aenter__(self) -> Retrieval:
        self._channel = open_channel(f"127.0.0.1:{self.service.port}")
        self._stub = retrieval_service_pb2_grpc.RetrievalServiceStub(self._channel)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._channel is not None
        await self._channel.close()
        await self.objects.close()

    async def call(self, request: Any, *, traceparent: str = "") -> Any:
        """The method is known by the request. A call that changes something gets a request id."""
        method = type(request).__name__.removesuffix("Request")
        if "request_id" in request.DESCRIPTOR.fields_by_name and not request.request_id:
            request.request_id = secrets.token_hex(8)
        metadata = call_metadata(self._identity, "retrieval-service", self.tenant)
        if traceparent:
            metadata = (*metadata, ("traceparent", traceparent))
        try:
            return await getattr(self._stub, method)(
                request, timeout=30, metadata=metadata, wait_for_ready=True
            )
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None

    async def upload(
        self, content: bytes, filename: str = "notes.txt", file_id: str = ""
    ) -> store_pb2.FileRef:
        """As the gateway keeps a file."""
        file_id = file_id or f"file-{secrets.token_hex(12)}"

        async def chunks() -> AsyncIterator[bytes]:
            yield content

        stored = await self.objects.put(f"{self.tenant}/{file_id}", chunks(), limit=1 << 30)
        assert stored.sha256 == hashlib.sha256(content).hexdigest()
        return store_pb2.FileRef(
            id=file_id,
            filename=filename,
            bytes=stored.bytes,
            sha256=stored.sha256,
            object_key=stored.key,
            created_at=int(time.time()),
        )

    async def store(self, name: str = "docs", **fields: Any) -> str:
        response = await self.call(pb.CreateStoreRequest(name=name, **fields))
        return str(response.store.id)

    async def add(
        self,
        store_id: str,
        *files: store_pb2.FileRef,
        batch: bool = False,
        attributes: Mapping[str, str | float | bool] | None = None,
        **cut: int,
    ) -> pb.AddFilesResponse:
        to_add = [
            pb.FileToAdd(
                file=file,
                attributes={key: attribute(value) for key, value in (attributes or {}).items()},
                chunking=store_pb2.ChunkingStrategy(is_static=bool(cut), **cut),
            )
            for file in files
        ]
        response: pb.AddFilesResponse = await self.call(
            pb.AddFilesRequest(store_id=store_id, files=to_add, batch=batch)
        )
        return response

    async def file(self, store_id: str, file_id: str) -> store_pb2.StoreFile:
        response = await self.call(pb.GetFileRequest(store_id=store_id, file_id=file_id))
        found: store_pb2.StoreFile = response.file
        return found

    async def ended(self, store_id: str, file_id: str, seconds: float = 60) -> store_pb2.StoreFile:
        """The file when its way has ended, well or not."""

        async def look() -> store_pb2.StoreFile | None:
            found = await self.file(store_id, file_id)
            return None if found.status == IN_PROGRESS else found

        found: store_pb2.StoreFile = await until(look, seconds, self.service.log)
        return found

    async def search(self, store_id: str, query: str, **fields: Any) -> pb.SearchResponse:
        response: pb.SearchResponse = await self.call(
            pb.SearchRequest(store_ids=[store_id], queries=[query], **fields)
        )
        return response

    async def found(self, store_id: str, query: str, **fields: Any) -> list[str]:
        """Files of the hits, the best first, each once."""
        response = await self.search(store_id, query, **fields)
        return list(dict.fromkeys(hit.file_id for hit in response.hits))


async def until(
    look: Callable[[], Awaitable[Any]], seconds: float = 60, explain: Callable[[], str] = lambda: ""
) -> Any:
    """What `look` gives, once it gives something."""
    end = time.monotonic() + seconds
    while True:
        found = await look()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"it did not happen within {seconds} s\n{explain()}")
        await asyncio.sleep(0.1)


def attribute(value: str | float | bool) -> store_pb2.AttributeValue:
    if isinstance(value, bool):
        return store_pb2.AttributeValue(flag=value)
    if isinstance(value, str):
        return store_pb2.AttributeValue(text=value)
    return store_pb2.AttributeValue(number=value)


def where(key: str, value: str | float | bool, operator: str = "EQ") -> search_pb2.Filter:
    """A filter of one comparison."""
    return search_pb2.Filter(
        comparison=search_pb2.Comparison(key=key, operator=f"OPERATOR_{operator}", values=[attribute(value)])
    )
