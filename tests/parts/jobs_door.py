"""The workshop's service as a process: its relay, and orders over gRPC as training-service takes them.

Run as a module it serves: package, store, bus, folder, port and key file are the arguments. An order's
metadata says what its job counts: `steps`, `every`, `pace`.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import orjson

from parts.jobs import TESTS, Workshop
from parts.process import Process, answers
from servicekit.errors import Reason, SixfoldError
from servicekit.identity import ServiceIdentity, current_caller, load_key
from servicekit.jobs import NewJob, job_message
from servicekit.lifecycle import Lifecycle, run
from servicekit.rpc import RpcServer
from sixfold.training.v1 import training_service_pb2 as pb
from sixfold.training.v1 import training_service_pb2_grpc

KIND = "fine_tuning"


def door_process(package: Path, store: str, bus: str, folder: Path, port: int, key_file: Path) -> Process:
    """Not started. It listens on `port` again after every kill."""
    places = [package, store, bus, folder, port, key_file]
    return Process(
        [sys.executable, "-P", "-m", "parts.jobs_door", *map(str, places)],
        log=folder / "door.log",
        ready=lambda: answers(port),
        env={"PYTHONPATH": str(TESTS)},
        start_seconds=60,
    )


class Door(training_service_pb2_grpc.TrainingServiceServicer):
    """Row and event in one transaction, as every service does it."""

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop

    async def CreateTraining(
        self, request: pb.CreateTrainingRequest, context: Any
    ) -> pb.CreateTrainingResponse:
        tenant, told, wanted = current_caller().tenant, request.metadata, request.spec
        if not request.request_id:
            raise SixfoldError(Reason.INVALID_REQUEST, "A change has a request id.")
        spec = {
            "record": str(self._shop.record),
            "steps": int(told["steps"]),
            "every": int(told["every"]),
            "pace": float(told["pace"]),
            "model": f"ft:{wanted.base_model}:{tenant}::abc123",
            "base": wanted.base_model,
            "method": wanted.method,
            "training": {"kind": "dataset", "id": wanted.training.dataset.dataset_id},
            "validation": None,
            "wishes": {"seed": wanted.seed},
        }
        new = NewJob(
            KIND,
            tenant,
            orjson.dumps(spec),
            idempotency_key=request.request_id,
            max_attempts=20,
            metadata=dict(told),
        )
        async with self._shop.store.begin() as connection:
            job = await self._shop.jobs.create(connection, new)
        self._shop.jobs.announce()
        return pb.CreateTrainingResponse(job=job_message(job))

    async def GetJob(self, request: pb.GetJobRequest, context: Any) -> pb.GetJobResponse:
        job = await self._shop.jobs.get(current_caller().tenant, request.job_id)
        return pb.GetJobResponse(job=job_message(job))


async def main() -> int:
    package, store, bus, folder, port, key_file = sys.argv[1:]
    sys.path.insert(0, package)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    shop = await Workshop.open(store, bus, Path(folder))
    shop.relay.start()
    lifecycle = Lifecycle("training-service")
    identity = ServiceIdentity("training-service", load_key(Path(key_file)))
    server = RpcServer(
        f"127.0.0.1:{port}", service="training-service", identity=identity, lifecycle=lifecycle
    )
    server.add(
        training_service_pb2_grpc.add_TrainingServiceServicer_to_server,
        Door(shop),  # type: ignore[abstract]  # what it leaves out is not called
        "sixfold.training.v1.TrainingService",
    )
    await server.start()
    lifecycle.started()
    await stop.wait()
    await server.stop(1)
    await shop.close()
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
