"""What jobs of the tests do. Runs in processes that a worker starts."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from servicekit.jobs.child import Context, JobFault, Stopped


def note(path: str, *facts: object) -> None:
    """One line in one write: whole, and behind all that were written before."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(handle, (" ".join(map(str, facts)) + "\n").encode())
    os.close(handle)


def count(context: Context) -> Mapping[str, Any]:
    """Counts to `steps`, keeps its place at every `every`th, and writes each step down under its fence."""
    spec, step = context.spec, 0
    if context.resume is not None:
        step = int((context.resume.folder / "place").read_text())
        assert step == context.resume.step
    state = context.workdir / "state"
    state.mkdir()

    def keep() -> None:
        (state / "place").write_text(str(step))
        context.checkpoint(step, state, {"step": step})

    note(spec["record"], context.job_id, context.fence, "begin", step)
    while step < spec["steps"]:
        if how := context.should_stop():
            if how == "pause":
                keep()
            raise Stopped
        time.sleep(spec.get("pace", 0.02))
        step += 1
        note(spec["record"], context.job_id, context.fence, "step", step)
        context.progress(step / spec["steps"], {"step": step})
        if step % spec.get("every", 5) == 0:
            keep()
        if step == spec.get("die_at") and context.attempt <= spec.get("die_times", 100):
            os.kill(os.getpid(), signal.SIGKILL)
    note(spec["record"], context.job_id, context.fence, "end", step)
    return {"steps": step}


def fail(context: Context) -> Mapping[str, Any]:
    """Fails as it is told to."""
    context.event("info", "about to fail", {"attempt": context.attempt})
    match context.spec["how"]:
        case "fault":
            raise JobFault("BAD_ROW", "Line 7 is no JSON.")
        case "crash":
            raise ZeroDivisionError("card 4929 0000 0000 0001")
        case "exit":
            os._exit(3)
        case "nonsense":
            return {"x": object()}
        case "memory":
            block = bytearray(400 * 1024**2)
            block[::4096] = b"x" * len(block[::4096])
            time.sleep(60)
        case "time":
            time.sleep(60)
        case "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            note(context.spec["record"], context.job_id, context.fence, "begin", 0)
            time.sleep(600)
        case "full":
            (context.workdir / "checkpoint-1.tar").symlink_to("/dev/full")
            context.checkpoint(1, b"x" * 100_000)
        case "grandchild":
            if os.fork() == 0:
                time.sleep(600)
                os._exit(0)
            raise ZeroDivisionError
    return {}


def files(context: Context) -> Mapping[str, Any]:
    """Reads, stores, asks, and looks at what it was given."""
    path = context.workdir / "input"
    context.fetch(context.spec["key"], path)
    (context.workdir / "output").write_bytes(path.read_bytes().upper())
    stored = context.store(context.workdir / "output", "results")
    seen = {}
    for key in context.spec["forbidden"]:
        try:
            context.fetch(key, context.workdir / "stolen")
            seen[key] = "read"
        except Exception as error:
            seen[key] = getattr(error, "reason", type(error).__name__)
    try:
        context.call("refuse")
    except Exception as error:
        seen["refuse"] = f"{getattr(error, 'reason', '')}"
    return {
        "key": stored.key,
        "answer": context.call("double", {"number": 21}),
        "environment": sorted(os.environ),
        "home": Path.home() == context.workdir,
        "seen": seen,
        "traceparent": context.traceparent,
        "lead": os.getpgrp() == os.getpid(),
        "print": print("this must not get between the lines"),
    }
