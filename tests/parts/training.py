"""A real training-service process, and the gateway's way of talking to it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio

from parts.process import Process, free_port
from servicekit.bus import Event, open_bus
from servicekit.identity import ServiceIdentity
from servicekit.objects import Objects, open_objects
from servicekit.rpc import call_metadata, from_rpc_error, open_channel
from sixfold.jobs.v1 import job_pb2
from sixfold.training.v1 import dataset_pb2, training_service_pb2_grpc
from sixfold.training.v1 import training_service_pb2 as pb

ENDED = (job_pb2.JOB_STATUS_SUCCEEDED, job_pb2.JOB_STATUS_FAILED, job_pb2.JOB_STATUS_CANCELLED)


@dataclass
class TrainingProcess:
    """`home` outlives stop() and start(). Its base model is `tiny`, in the folder `base`."""

    home: Path
    key: bytes
    base: Path
    env: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    ops_port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        secret = self.home / "secrets" / "service.key"
        secret.parent.mkdir(parents=True, exist_ok=True)
        secret.write_text(self.key.hex())
        secret.chmod(0o600)
        self.process = Process(
            [sys.executable, "-m", "training_service"],
            log=self.home / "training-service.log",
            ready=self._ready,
            env={
                "SIXFOLD_HOME": str(self.home),
                "SIXFOLD_TRAINING_SERVICE_LISTEN": f"127.0.0.1:{self.port}",
                "SIXFOLD_TRAINING_SERVICE_OPS_LISTEN": f"127.0.0.1:{self.ops_port}",
                "SIXFOLD_TRAINING_SERVICE_MODEL_SERVICE": "127.0.0.1:9",
                "SIXFOLD_TRAINING_SERVICE_ADD_MODEL_SECONDS": "1",
                "SIXFOLD_TRAINING_SERVICE_BASES": json.dumps({"tiny": f"file://{self.base}"}),
                "SIXFOLD_TRAINING_SERVICE_CHECKPOINT_STEPS": "5",
                **self.env,
            },
            start_seconds=60,
            stop_seconds=60,
        )

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


class Training:
    """The gateway's side, for one tenant."""

    def __init__(self, service: TrainingProcess, tenant: str = "acme") -> None:
        self.service = service
        self.tenant = tenant
        self._identity = ServiceIdentity("gateway", service.key)
        self._channel: grpc.aio.Channel | None = None
        self.objects: Objects = open_objects(f"file://{service.home / 'objects'}")

    async def __aenter__(self) -> Training:
        self._channel = open_channel(f"127.0.0.1:{self.service.port}")
        self._stub = training_service_pb2_grpc.TrainingServiceStub(self._channel)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._channel is not None
        await self._channel.close()
        await self.objects.close()

    async def call(self, request: Any) -> Any:
        """The method is known by the request. A call that changes something gets a request id."""
        method = type(request).__name__.removesuffix("Request")
        if "request_id" in request.DESCRIPTOR.fields_by_name and not request.request_id:
            request.request_id = secrets.token_hex(8)
        metadata = call_metadata(self._identity, "training-service", self.tenant)
        try:
            return await getattr(self._stub, method)(
                request, timeout=30, metadata=metadata, wait_for_ready=True
            )
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None

    async def upload(self, content: bytes, filename: str = "rows.jsonl") -> dataset_pb2.DatasetSource:
        """As the gateway does: the bytes into the object store, the row's facts in the call."""

        async def chunks() -> AsyncIterator[bytes]:
            yield content

        file_id = f"file-{secrets.token_hex(12)}"
        stored = await self.objects.put(f"{self.tenant}/{file_id}", chunks(), limit=1 << 30)
        file = dataset_pb2.FileSource(
            id=file_id,
            filename=filename,
            sha256=hashlib.sha256(content).hexdigest(),
            object_key=stored.key,
            bytes=len(content),
        )
        return dataset_pb2.DatasetSource(file=file)

    async def read(self, key: str) -> bytes:
        return b"".join([piece async for piece in self.objects.read(key)])

    async def publish(self, topic: str, *events: Event) -> None:
        bus = open_bus(f"sqlite:///{self.service.home / 'bus.db'}", client="test")
        await bus.publish(topic, list(events))
        await bus.close()

    async def job(self, job_id: str) -> job_pb2.Job:
        job: job_pb2.Job = (await self.call(pb.GetJobRequest(job_id=job_id))).job
        return job

    async def ended(self, job_id: str, seconds: float = 240) -> job_pb2.Job:
        """The job once nothing follows."""
        end = time.monotonic() + seconds
        while (job := await self.job(job_id)).status not in ENDED:
            assert time.monotonic() < end, f"{job}\n{self.service.log()}"
            await asyncio.sleep(0.2)
        return job
