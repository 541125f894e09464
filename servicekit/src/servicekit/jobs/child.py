"""The side of the process that works: `python -m servicekit.jobs.child`, started by a worker.

A handler is a plain function, named to the worker as `"package.module:function"`:

    def run(context: Context) -> Mapping[str, Any]:
        start = 0
        if context.resume is not None:
            start = load(context.resume.folder)
        for step in range(start, steps):
            ...
            context.progress(step / steps, {"loss": loss})
            if step % 50 == 0 or context.should_stop():
                context.checkpoint(step, save(context.workdir / "state"), {"loss": loss})
            if context.should_stop():
                raise Stopped
        return {"rows": 300}

It has no secrets: files come and go through the worker (`fetch`, `store`), and so does everything that needs
a service's identity (`call`). Its methods may be called from any thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import importlib
import json
import math
import os
import resource
import shutil
import signal
import sys
import tarfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from servicekit import telemetry
from servicekit.errors import Reason, SixfoldError
from servicekit.jobs.lines import MAX_LINE, decode, encode

_PR_SET_PDEATHSIG = 1
_BEAT_SECONDS = 1.0
_PROGRESS_SECONDS = 0.1
_STOP = "stop"


class JobFault(Exception):
    """The work failed for a reason that can be shown. Not tried again, unless `retry`."""

    def __init__(self, reason: str, message: str, *, retry: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry = retry


class Stopped(Exception):
    """Raise it once the work stands still because `should_stop()` said so."""


@dataclass(frozen=True, slots=True)
class Resume:
    """What the last checkpoint left."""

    step: int
    folder: Path
    """As it was given to `checkpoint`. A checkpoint of bytes is the file `data` in it."""
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in the object store."""

    key: str
    sha256: str
    bytes: int


class Context:
    """What a handler knows and may do."""

    def __init__(self, channel: _Channel, start: Mapping[str, Any], resume: Resume | None) -> None:
        self._channel = channel
        self.job_id = str(start["job"])
        self.kind = str(start["kind"])
        self.tenant = str(start["tenant"])
        self.attempt = int(start["attempt"])
        self.fence = int(start["fence"])
        """Of this attempt; greater than that of every earlier one."""
        self.spec: Any = json.loads(start["spec"])
        """What was asked for."""
        self.metadata: Mapping[str, str] = start["metadata"]
        self.workdir = Path(start["workdir"])
        """A folder for this attempt alone; removed behind it."""
        self.resume = resume
        """Where to go on, or None at the beginning."""
        self.traceparent = str(start["traceparent"])
        """Of the order's trace."""
        self._told_at = float("-inf")
        self._archives = 0

    def progress(self, fraction: float, metrics: Mapping[str, float] | None = None) -> None:
        """How far it is, 0 to 1, and its newest figures. Cheap: call it at every step."""
        now = time.monotonic()
        if now - self._told_at < _PROGRESS_SECONDS and fraction < 1:
            return
        self._told_at = now
        line = {"t": "progress", "fraction": min(1.0, max(0.0, fraction)), "metrics": _figures(metrics)}
        self._channel.send(line)

    def event(
        self,
        level: str,
        message: str,
        data: Mapping[str, Any] | None = None,
        *,
        type: str = "message",
    ) -> None:
        """A line for the job's diary, which its owner reads. `level` is "info", "warn" or "error"."""
        if level not in ("info", "warn", "error") or type not in ("message", "metrics"):
            raise ValueError("an event's level is info, warn or error, its type message or metrics")
        line = {"t": "event", "level": level, "message": message[:2000], "type": type, "at": time.time()}
        self._channel.send(line | {"data": dict(data)} if data else line)

    def checkpoint(self, step: int, state: Path | bytes, metrics: Mapping[str, float] | None = None) -> str:
        """Keeps a folder (or bytes) from which the work can go on; returns its id once it is durable.

        `step` counts steps done and grows. Raises JobFault("DISK_FULL", retry=True) where there is no room.
        """
        self._archives += 1
        name = f"checkpoint-{self._archives}.tar"
        path = self.workdir / name
        try:
            with no_room("The checkpoint"):
                _pack(path, state)
            ask = {"what": "checkpoint", "step": step, "file": name, "metrics": _figures(metrics)}
            return str(self._channel.ask(ask))
        finally:
            path.unlink(missing_ok=True)

    def should_stop(self) -> str | None:
        """None, or "pause" (make a checkpoint, then raise Stopped), or "cancel" (just raise Stopped)."""
        return self._channel.stop

    def fetch(self, key: str, path: Path) -> None:
        """Writes an object of this tenant to `path`, in `workdir`. SixfoldError NOT_FOUND and so on."""
        with no_room("A file that the job reads"):
            self._channel.ask({"what": "fetch", "key": key, "file": self._inside(path)})

    def store(self, path: Path, namespace: str) -> StoredFile:
        """Keeps a file of `workdir` in the object store under `<tenant>/<namespace>`."""
        answer = self._channel.ask({"what": "store", "file": self._inside(path), "namespace": namespace})
        return StoredFile(str(answer["key"]), str(answer["sha256"]), int(answer["bytes"]))

    def call(self, name: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """Asks the service for something that needs its identity; `name` is one of the worker's `calls`.

        Arguments and answer are JSON. Raises the SixfoldError that the service raised.
        """
        return self._channel.ask({"what": "call", "name": name, "arguments": dict(arguments or {})})

    def _inside(self, path: Path) -> str:
        return str(path.resolve().relative_to(self.workdir.resolve()))


Handler = Callable[[Context], Mapping[str, Any] | None]


@contextlib.contextmanager
def no_room(what: str) -> Iterator[None]:
    """A full disk inside the block becomes a JobFault that is tried again."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise JobFault("DISK_FULL", f"{what} found no room on the disk.", retry=True) from None


class _Channel:
    """Lines to and from the worker. When it is gone, so is this process, with all that it started."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self._source = source
        self._sink = sink
        self._lock = threading.Lock()
        self._asked: dict[int, Future[Any]] = {}
        self._number = 0
        self.stop: str | None = None

    def start(self) -> None:
        threading.Thread(target=self._read, name="job-reader", daemon=True).start()
        threading.Thread(target=self._beat, name="job-beat", daemon=True).start()

    def first(self) -> Mapping[str, Any]:
        line = self._source.readline(MAX_LINE)
        if not line:
            _end()
        return decode(line)

    def send(self, line: Mapping[str, Any]) -> None:
        data = encode(line)
        try:
            with self._lock:
                self._sink.write(data)
                self._sink.flush()
        except OSError:
            _end()

    def ask(self, question: Mapping[str, Any]) -> Any:
        answer: Future[Any] = Future()
        with self._lock:
            self._number += 1
            number = self._number
            self._asked[number] = answer
        self.send({"t": "ask", "id": number, **question})
        return answer.result()

    def _beat(self) -> None:
        while True:
            time.sleep(_BEAT_SECONDS)
            self.send({"t": "beat"})

    def _read(self) -> None:
        while line := self._source.readline(MAX_LINE):
            try:
                said = decode(line)
                self._take(said)
            except (ValueError, KeyError):
                break
        _end()

    def _take(self, said: Mapping[str, Any]) -> None:
        if said["t"] == _STOP:
            self.stop = str(said["how"])
        elif said["t"] == "answer":
            with self._lock:
                waiting = self._asked.pop(int(said["id"]))
            if fault := said.get("error"):
                waiting.set_exception(_error(fault))
            else:
                waiting.set_result(said.get("value"))


def _error(fault: Mapping[str, Any]) -> Exception:
    if fault.get("retry") is not None:
        return JobFault(fault["reason"], fault["message"], retry=bool(fault["retry"]))
    return SixfoldError(Reason(fault["reason"]), fault["message"], metadata=fault.get("metadata"))


def _figures(metrics: Mapping[str, float] | None) -> dict[str, float]:
    """Those that JSON can say: a loss that is not a number is left out."""
    return {name: float(value) for name, value in (metrics or {}).items() if math.isfinite(value)}


def _pack(path: Path, state: Path | bytes) -> None:
    with tarfile.open(path, "w") as archive:
        if isinstance(state, bytes):
            scratch = path.with_suffix(".data")
            try:
                scratch.write_bytes(state)
                archive.add(scratch, arcname="data")
            finally:
                scratch.unlink(missing_ok=True)
        else:
            for item in sorted(state.iterdir()):
                archive.add(item, arcname=item.name)


def _unpack(start: Mapping[str, Any]) -> Resume | None:
    given = start.get("resume")
    if given is None:
        return None
    workdir = Path(start["workdir"])
    folder = workdir / "resume"
    archive = workdir / str(given["file"])
    with no_room("The checkpoint to go on from"), tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
    archive.unlink()
    return Resume(int(given["step"]), folder, given["metrics"])


def _end() -> NoReturn:
    """Ends this process and everything in its group, at once: nobody listens any more."""
    if os.getpid() == os.getpgrp():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _die_with(parent: int) -> None:
    """Linux ends this process with the worker, even in a computation that lets no thread run."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        _end()


@contextlib.contextmanager
def _span(start: Mapping[str, Any]) -> Iterator[None]:
    """The order's trace goes on here, where traces are recorded."""
    if start["telemetry"] in ("", "off"):
        yield
        return
    shutdown = telemetry.configure_tracing(f"{start['service']}-job", str(start["telemetry"]))
    try:
        with telemetry.tracer("servicekit.jobs").start_as_current_span(
            f"run {start['kind']}",
            context=telemetry.extract({"traceparent": str(start["traceparent"])}),
            attributes={"sixfold.job.id": str(start["job"]), "sixfold.attempt": int(start["attempt"])},
            record_exception=False,
        ):
            yield
    finally:
        shutdown()


def _work(channel: _Channel, start: Mapping[str, Any]) -> Mapping[str, Any]:
    """Runs the handler; says how it ended."""
    try:
        with _span(start):
            context = Context(channel, start, _unpack(start))
            module, _, name = str(start["handler"]).partition(":")
            handler: Handler = getattr(importlib.import_module(module), name)
            return {"t": "done", "result": dict(handler(context) or {})}
    except Stopped:
        return {"t": "stopped"}
    except JobFault as fault:
        return {"t": "fault", "reason": fault.reason, "message": fault.message, "retry": fault.retry}
    except SixfoldError as error:
        retry = error.status.retryable
        return {"t": "fault", "reason": error.reason.value, "message": error.message, "retry": retry}
    except MemoryError:
        message = "The job needs more memory than there is."
        return {"t": "fault", "reason": "MEMORY_LIMIT", "message": message, "retry": False}
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            message = "The job found no room on the disk."
            return {"t": "fault", "reason": "DISK_FULL", "message": message, "retry": True}
        return _crash(error)
    except BaseException as error:
        return _crash(error)


def _crash(error: BaseException) -> Mapping[str, Any]:
    """The exception's type and its places in the code, without its words, which may quote data."""
    frames = traceback.extract_tb(error.__traceback__)[-12:]
    where = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
    return {"t": "crash", "error": type(error).__name__, "where": where}


def main() -> None:
    """The process: its first line says what to do, its last one what came of it."""
    parent = int(sys.argv[1])
    _die_with(parent)
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # Whatever a library prints must not get between the lines.
    os.dup2(2, 1)
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the worker decides
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    channel = _Channel(source, sink)
    start = channel.first()
    with contextlib.suppress(OSError):
        os.nice(int(start.get("nice", 0)))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # before the service that started it
    channel.start()
    channel.send({"t": "ready"})
    ended = _work(channel, start)
    try:
        channel.send(ended)
    except ValueError:
        message = "What came out is too large or is not JSON."
        channel.send({"t": "fault", "reason": "INVALID_RESULT", "message": message, "retry": False})
    shutil.rmtree(Path(start["workdir"]), ignore_errors=True)
    os._exit(0)  # threads and atexit handlers of libraries have nothing more to say


if __name__ == "__main__":
    main()
