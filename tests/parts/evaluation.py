"""A real eval-service process, the gateway's way of talking to it, and a model that a test makes."""

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

from parts.fake_engine import EngineServer, Events, FakeEngine, card
from parts.process import Process, free_port
from servicekit.bus import Bus, Event, open_bus
from servicekit.identity import NO_TENANT, ServiceIdentity
from servicekit.objects import Objects, open_objects
from servicekit.rpc import call_metadata, from_rpc_error, open_channel
from sixfold.eval.v1 import eval_service_pb2 as pb
from sixfold.eval.v1 import eval_service_pb2_grpc
from sixfold.events.v1 import request_pb2
from sixfold.jobs.v1 import job_pb2
from sixfold.model.v1 import generation_pb2 as gen
from sixfold.model.v1 import model_service_pb2
from sixfold.training.v1 import dataset_pb2

SUCCEEDED, FAILED = job_pb2.JOB_STATUS_SUCCEEDED, job_pb2.JOB_STATUS_FAILED
CANCELLED = job_pb2.JOB_STATUS_CANCELLED
_FINAL = (SUCCEEDED, FAILED, CANCELLED)
Say = Callable[[str, model_service_pb2.GenerateRequest], str]


class Answering(FakeEngine):
    """Models by name: each says what its function makes of the last turn. A fixture sets `server`."""

    server: EngineServer

    def __init__(self, **models: Say) -> None:
        super().__init__(*(card(name) for name in models))
        self.say: dict[str, Say] = dict(models)
        for name in models:
            self.behaviours[name] = _behave


async def _behave(engine: FakeEngine, request: model_service_pb2.GenerateRequest) -> Events:
    assert isinstance(engine, Answering)
    last = request.messages[-1].content[0].text if request.messages else request.prompt
    if engine.pause:
        await asyncio.sleep(engine.pause)
    said = engine.say[request.model](last, request)
    by = gen.ServedBy(model=request.model, version=engine.version(request.model), engine="fake")
    yield gen.Delta(text=said, token_count=1, served_by=by)
    yield gen.Delta(finish_reason=gen.FINISH_REASON_STOP)
    yield gen.Usage(prompt_tokens=len(last.split()), completion_tokens=len(said.split()))


@dataclass
class EvalProcess:
    """`home` outlives stop() and start(). `model_port` is where model-service is thought to be."""

    home: Path
    key: bytes
    model_port: int
    env: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    ops_port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        secret = self.home / "secrets" / "service.key"
        secret.parent.mkdir(parents=True, exist_ok=True)
        secret.write_text(self.key.hex())
        secret.chmod(0o600)
        own = "SIXFOLD_EVAL_SERVICE_"
        self.process = Process(
            [sys.executable, "-m", "eval_service"],
            log=self.home / "eval-service.log",
            ready=self._ready,
            env={
                "SIXFOLD_HOME": str(self.home),
                f"{own}LISTEN": f"127.0.0.1:{self.port}",
                f"{own}OPS_LISTEN": f"127.0.0.1:{self.ops_port}",
                f"{own}MODEL_SERVICE": f"127.0.0.1:{self.model_port}",
                f"{own}JOB_LEASE_SECONDS": "4",
                f"{own}CHECKPOINT_SECONDS": "0.2",
                f"{own}ASK_TRIES": "2",
                f"{own}SLOTS": "2",
                **self.env,
            },
            start_seconds=60,
            stop_seconds=30,
        )

    def start(self) -> EvalProcess:
        self.process.start()
        return self

    def stop(self) -> None:
        self.process.stop()

    def kill(self) -> None:
        self.process.kill()

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ops_port}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ops_port}/readyz", timeout=2) as answer:
                return bool(json.loads(answer.read())["ready"])
        except OSError:
            return False


class Evaluation:
    """The gateway's side, for one tenant."""

    def __init__(self, service: EvalProcess, tenant: str) -> None:
        self.service = service
        self.tenant = tenant
        self._identity = ServiceIdentity("gateway", service.key)
        self._channel: grpc.aio.Channel | None = None
        self.objects: Objects = open_objects(f"file://{service.home / 'objects'}")
        self.bus: Bus = open_bus(f"sqlite:///{service.home / 'bus.db'}")

    async def __aenter__(self) -> Evaluation:
        self._channel = open_channel(f"127.0.0.1:{self.service.port}")
        self.stub = eval_service_pb2_grpc.EvalServiceStub(self._channel)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._channel is not None
        await self._channel.close()
        await self.objects.close()
        await self.bus.close()

    async def call(self, request: Any) -> Any:
        """The method is known by the request. A call that changes something gets a request id."""
        method = type(request).__name__.removesuffix("Request")
        if "request_id" in request.DESCRIPTOR.fields_by_name and not request.request_id:
            request.request_id = secrets.token_hex(8)
        metadata = call_metadata(self._identity, "eval-service", self.tenant)
        try:
            return await getattr(self.stub, method)(
                request, timeout=60, metadata=metadata, wait_for_ready=True
            )
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None

    def watch(self, *, everybody: bool = False) -> Any:
        """The stream of routes."""
        tenant = NO_TENANT if everybody else self.tenant
        metadata = call_metadata(self._identity, "eval-service", tenant)
        return self.stub.WatchRoutes(pb.WatchRoutesRequest(), timeout=120, metadata=metadata)

    async def upload(self, content: bytes, filename: str = "rows.jsonl") -> dataset_pb2.FileSource:
        """As the gateway keeps a file."""
        file_id = f"file-{secrets.token_hex(12)}"

        async def chunks() -> AsyncIterator[bytes]:
            yield content

        stored = await self.objects.put(f"{self.tenant}/{file_id}", chunks(), limit=1 << 30)
        return dataset_pb2.FileSource(
            id=file_id,
            filename=filename,
            sha256=hashlib.sha256(content).hexdigest(),
            object_key=stored.key,
            bytes=stored.bytes,
        )

    async def make_eval(self, *criteria: dict[str, Any], schema: dict[str, Any] | None = None) -> str:
        """Its id."""
        config = {"type": "custom", "item_schema": schema or {}}
        made = await self.call(
            pb.CreateEvalRequest(
                name="intents",
                data_source_config_json=json.dumps(config).encode(),
                testing_criteria_json=json.dumps(list(criteria)).encode(),
            )
        )
        return str(made.eval.id)

    async def start_run(self, eval_id: str, model: str, rows: list[dict[str, Any]], **source: Any) -> Any:
        """Rows in a file, asked of a model."""
        content = b"".join(json.dumps({"item": row}).encode() + b"\n" for row in rows)
        return await self.start_file(eval_id, model, content, **source)

    async def start_file(self, eval_id: str, model: str, content: bytes, **source: Any) -> Any:
        file = await self.upload(content)
        template = [{"type": "message", "role": "user", "content": "{{item.text}}"}]
        given = {
            "type": "completions",
            "source": {"type": "file_id", "id": file.id},
            "model": model,
            "input_messages": {"type": "template", "template": template},
            **source,
        }
        made = await self.call(
            pb.CreateRunRequest(
                eval_id=eval_id, name=model, data_source_json=json.dumps(given).encode(), file=file
            )
        )
        return made.run

    async def ended(self, run: Any, seconds: float = 90) -> Any:
        """The run, once nothing follows."""

        async def done() -> Any:
            request = pb.GetRunRequest(eval_id=run.eval_id, run_id=run.id)
            found = (await self.call(request)).run
            return found if found.job.status in _FINAL else None

        return await until(done, seconds)

    async def release(self, release_id: str) -> Any:
        return (await self.call(pb.GetReleaseRequest(release_id=release_id))).release

    async def publish(self, topic: str, type: str, message: Any, subject: str, *, times: int = 1) -> None:
        """The same event, as often as it may be delivered."""
        event = Event.new(type, message, source="gateway", subject=subject, tenant=self.tenant)
        await self.bus.publish(topic, [event] * times)

    async def answered(self, alias: str, model: str, *, good: bool | None = None, times: int = 1) -> str:
        """A request of this tenant, and what a person thought of it."""
        request_id = f"req-{secrets.token_hex(8)}"
        told = request_pb2.RequestCompleted(
            request_id=request_id, requested_model=alias, model=model, status=200, cache="miss"
        )
        await self.publish("sixfold.requests", "request.completed", told, request_id, times=times)
        if good is not None:
            thumb = request_pb2.FeedbackGiven(
                feedback_id=f"fb-{secrets.token_hex(8)}",
                request_id=request_id,
                kind="thumbs",
                value=1 if good else -1,
            )
            await self.publish("sixfold.feedback", "feedback.given", thumb, request_id, times=times)
        return request_id


async def until(check: Callable[[], Awaitable[Any]], seconds: float = 60) -> Any:
    """What `check` gives, once that is something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := await check():
            return found
        await asyncio.sleep(0.1)
    raise AssertionError("it did not happen in time")
