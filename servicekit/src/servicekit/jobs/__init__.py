"""Work that outlives every process that does it.

An order is a row and its `job.created` event in one transaction. A worker claims the row with a lease and a
fence, runs the work in a process of its own, and writes what comes of it under that fence: a worker that was
taken for dead can write nothing any more. `servicekit.jobs.child` is the side of the process that works.

    async with store.begin() as connection:
        job = await jobs.create(connection, NewJob("fine_tuning", tenant, spec, idempotency_key=request_id))
    jobs.announce()

    worker = Worker(jobs, bus, objects, {"fine_tuning": "training_service.jobs.train:run"}, …)
    worker.start(); …; await worker.close()

A service's own migration makes the tables: `jobs.create_tables(op)` beside `outbox.create_tables(op)`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from servicekit.jobs.jobs import Jobs
    from servicekit.jobs.messages import checkpoint_message, event_message, job_message
    from servicekit.jobs.tables import create_tables, drop_tables
    from servicekit.jobs.types import (
        Broke,
        Checkpoint,
        Claim,
        Done,
        Job,
        JobEvent,
        Lost,
        NewJob,
        Note,
        Outcome,
        Status,
        Steer,
        Stood,
    )
    from servicekit.jobs.worker import Ended, HostCall, Worker, WorkLimits

_WHERE = {
    "jobs": ("Jobs",),
    "messages": ("checkpoint_message", "event_message", "job_message"),
    "tables": ("create_tables", "drop_tables"),
    "types": (
        *("Broke", "Checkpoint", "Claim", "Done", "Job", "JobEvent", "Lost", "NewJob", "Note", "Outcome"),
        *("Status", "Steer", "Stood"),
    ),
    "worker": ("Ended", "HostCall", "WorkLimits", "Worker"),
}


def __getattr__(name: str) -> Any:
    """Loads what is asked for when it is: a job's process needs `child`, and neither records nor bus."""
    for module, names in _WHERE.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "Broke",
    "Checkpoint",
    "Claim",
    "Done",
    "Ended",
    "HostCall",
    "Job",
    "JobEvent",
    "Jobs",
    "Lost",
    "NewJob",
    "Note",
    "Outcome",
    "Status",
    "Steer",
    "Stood",
    "WorkLimits",
    "Worker",
    "checkpoint_message",
    "create_tables",
    "drop_tables",
    "event_message",
    "job_message",
]
