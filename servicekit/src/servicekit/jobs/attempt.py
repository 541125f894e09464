"""One attempt at a job: its process, its lease, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import orjson

from servicekit import telemetry
from servicekit.errors import Reason, SixfoldError, internal
from servicekit.jobs import metrics
from servicekit.jobs.jobs import Jobs
from servicekit.jobs.launchers.base import Launcher, LaunchFailed, Needs, Process
from servicekit.jobs.lines import decode, encode
from servicekit.jobs.types import Broke, Checkpoint, Claim, Done, Lost, Note, Outcome, Stood
from servicekit.logs import get_logger
from servicekit.objects import Objects

HostCall = Callable[[Claim, Mapping[str, Any]], Awaitable[Any]]
"""What a job's process may ask the service for. Arguments and answer are JSON; raises SixfoldError."""

Ended = Callable[[Claim, Outcome], None]
"""Hears how an attempt ended, once that is written. For figures: after a crash it may never come."""

_EXIT_SECONDS = 10.0
_NOTES = 200
_ASKING = 32
_log = get_logger("servicekit.jobs")
_tracer = telemetry.tracer("servicekit.jobs")


@dataclass(frozen=True, slots=True)
class WorkLimits:
    """What a worker takes on, and for how long it waits. Times are in seconds."""

    slots: int = 1
    """Jobs at once in this process."""
    lease_seconds: float = 15
    """So long a worker that was killed keeps its jobs."""
    beat_seconds: float = 1
    """Between two writes of progress; a job hears of a cancel within it."""
    sweep_seconds: float = 2
    """Between two looks for jobs whose event was lost, or whose pause is over."""
    stop_seconds: float = 15
    """For a checkpoint after being told to stop; then the process is killed."""
    silent_seconds: float = 120
    """A process that says nothing for so long is taken for stuck."""
    memory_bytes: int = 8 * 1024**3
    """Most for one job; what the order asks for cannot be more."""
    seconds: float = 86_400
    """Most for one job over all attempts; what the order asks for cannot be more."""
    checkpoint_bytes: int = 20 * 1024**3
    """Largest checkpoint or file that a job may store."""
    tenant_slots: int = 0
    """Jobs of one tenant at once, on all workers; 0 for no limit of its own."""


class Attempt:
    """Runs from `run` to its end. `release` makes it stop early, for another worker to go on."""

    def __init__(
        self,
        jobs: Jobs,
        claim: Claim,
        launcher: Launcher,
        objects: Objects,
        handler: str,
        limits: WorkLimits,
        calls: Mapping[str, HostCall],
        telemetry_url: str,
        ended: Ended = lambda claim, outcome: None,
    ) -> None:
        self._jobs = jobs
        self._claim = claim
        self._launcher = launcher
        self._objects = objects
        self._handler = handler
        self._limits = limits
        self._calls = calls
        self._telemetry_url = telemetry_url
        self._ended = ended
        self._memory = min(claim.memory_bytes or limits.memory_bytes, limits.memory_bytes)
        self._seconds = min(claim.seconds or limits.seconds, limits.seconds)
        now = time.monotonic()
        self._began = self._counted = self._heard = now
        self._lease_until = now + limits.lease_seconds * 0.8
        self._progress: float | None = None
        self._metrics: Mapping[str, float] | None = None
        self._notes: list[Note] = []
        self._told = ""
        self._told_at = 0.0
        self._wanted = ""
        self._releasing = False
        self._gone = False
        self._nudged = asyncio.Event()
        self._guard: asyncio.TimerHandle | None = None
        self._losing: asyncio.Future[None] | None = None
        self._process: Process | None = None
        self._started = False
        self._ready = False
        self._word: Outcome | None = None
        """What the process said last, or why it was killed."""
        self._lost = False
        self._asking: set[asyncio.Task[None]] = set()

    def release(self) -> None:
        """The worker is about to end: the job makes a checkpoint and goes back into the queue."""
        self._releasing = True
        self._nudged.set()

    async def run(self) -> None:
        """Works the claim off. Raises nothing but a cancel, which leaves the job to its lease."""
        claim = self._claim
        parent = telemetry.extract({"traceparent": claim.traceparent}) if claim.traceparent else None
        with _tracer.start_as_current_span(
            f"job {claim.kind}",
            context=parent,
            record_exception=False,
            set_status_on_exception=False,
            attributes={"sixfold.job.id": claim.id, "sixfold.attempt": claim.attempt},
        ) as span:
            metrics.RUNNING.labels(claim.kind).inc()
            _log.info("job begins", job=claim.id, kind=claim.kind, attempt=claim.attempt, fence=claim.fence)
            ended = "lost"
            try:
                outcome = await self._work()
                if not self._lost:
                    ended = await self._finish(outcome)
                    self._tell_end(outcome)
            except Lost:
                pass
            finally:
                seconds = time.monotonic() - self._began
                metrics.RUNNING.labels(claim.kind).dec()
                metrics.RUNNING_SECONDS.labels(claim.kind).observe(seconds)
                if ended != "lost":  # whoever takes the job back counts those
                    metrics.ATTEMPTS.labels(claim.kind, ended).inc()
                span.set_attribute("sixfold.job.ended", ended)
                _log.info(
                    "job attempt ended", job=claim.id, kind=claim.kind, ended=ended, seconds=round(seconds, 3)
                )

    def _tell_end(self, outcome: Outcome) -> None:
        try:
            self._ended(self._claim, outcome)
        except Exception as error:  # the job has ended all the same
            _log.warning("a job's end was not counted", job=self._claim.id, exc_info=error)

    async def _work(self) -> Outcome:
        name = f"{self._claim.id}-{self._claim.fence}"
        # The lease is kept from here on, however long it takes until there is a process.
        self._rely_until(self._lease_until)
        watching = asyncio.create_task(self._watch(), name=f"watch {name}")
        code = 0
        try:
            self._process = process = await self._launcher.launch(name, self._needs())
            if await self._start(process):
                await self._listen(process)
                code = await self._exit(process)
        except LaunchFailed as failed:
            return self._word or Broke(failed.reason, failed.message)
        except SixfoldError as error:
            return self._word or Broke(error.reason.value, error.message, retry=error.status.retryable)
        finally:
            # The lease is watched until the process is gone: nobody else may begin before.
            if self._process is not None:
                await self._process.close()
            for task in list(self._asking):
                task.cancel()
            await asyncio.gather(*self._asking, return_exceptions=True)
            # Not cancelled: what it is writing must be written or not, and not perhaps.
            self._gone = True
            self._nudged.set()
            await watching
            if self._guard is not None:
                self._guard.cancel()
        if self._word is None:
            self._word = self._died(code)
        return self._word

    def _needs(self) -> Needs:
        claim = self._claim
        left = max(1.0, self._seconds - claim.ran_seconds)
        return Needs(claim.id, claim.kind, claim.tenant, self._memory, left)

    def _rely_until(self, until: float) -> None:
        """A timer of its own: a database that is silent may hold up even the end of asking it."""
        self._lease_until = until
        if self._guard is not None:
            self._guard.cancel()
        if not self._gone:
            loop = asyncio.get_running_loop()
            self._guard = loop.call_later(until - time.monotonic(), self._lose)

    def _lose(self) -> None:
        self._lost = True
        self._losing = asyncio.ensure_future(self._kill())

    @property
    def _goes_on(self) -> bool:
        return self._word is None and not self._lost

    async def _kill(self) -> None:
        if self._process is not None:
            await self._process.kill()

    async def _start(self, process: Process) -> bool:
        """Says what to do; False when the job was taken away or called off meanwhile."""
        claim, resume = self._claim, None
        if claim.checkpoint is not None and self._goes_on:
            resume = {
                "file": "resume.tar",
                "step": claim.checkpoint.step,
                "metrics": dict(claim.checkpoint.metrics),
            }
            await process.place("resume.tar", self._objects.read(claim.checkpoint.object_key))
        if not self._goes_on:
            return False
        self._started = True
        self._heard = time.monotonic()
        await process.send(
            encode(
                {
                    "t": "start",
                    "job": claim.id,
                    "kind": claim.kind,
                    "tenant": claim.tenant,
                    "attempt": claim.attempt,
                    "fence": claim.fence,
                    "handler": self._handler,
                    "spec": claim.spec.decode(),
                    "metadata": dict(claim.metadata),
                    "workdir": process.workdir,
                    "resume": resume,
                    "nice": process.nice,
                    "traceparent": telemetry.traceparent() or claim.traceparent,
                    "telemetry": self._telemetry_url,
                    "service": self._jobs.source,
                }
            )
        )
        return True

    async def _listen(self, process: Process) -> None:
        """Takes what the process says, until it ends."""
        while True:
            try:
                line = await process.read()
                if not line:
                    return
                self._heard = time.monotonic()
                said = decode(line)
                if await self._take(process, said):
                    return
            except (ValueError, KeyError, TypeError):
                self._word = self._word or Broke(
                    "BAD_WORDS", "The job's process said what nobody understands."
                )
                await process.kill()
                return

    async def _take(self, process: Process, said: Mapping[str, Any]) -> bool:
        """True once the process has said its last word."""
        match said["t"]:
            case "beat":
                pass
            case "ready":
                self._ready = True
            case "progress":
                self._progress = float(said["fraction"])
                if said["metrics"]:
                    self._metrics = {str(name): float(value) for name, value in said["metrics"].items()}
            case "event":
                self._note(said)
            case "ask":
                if len(self._asking) >= _ASKING:
                    raise ValueError("too many questions at once")
                task = asyncio.create_task(self._answer(process, said))
                self._asking.add(task)
                task.add_done_callback(self._asking.discard)
            case _:
                self._last_word(said)
                return True
        return False

    def _last_word(self, said: Mapping[str, Any]) -> None:
        word: Outcome
        match said["t"]:
            case "done":
                word = Done(orjson.dumps(said["result"]))
            case "stopped":
                word = Stood(self._told or "release")
            case "fault":
                word = Broke(str(said["reason"])[:64], str(said["message"])[:2000], retry=bool(said["retry"]))
            case "crash":
                error = str(said["error"])[:64]
                _log.warning("job crashed", job=self._claim.id, error=error, where=said["where"][-6:])
                word = Broke("CRASHED", f"The job's process failed with {error}.")
            case _:
                raise ValueError("no such word")
        self._word = self._word or word

    def _note(self, said: Mapping[str, Any]) -> None:
        if len(self._notes) < _NOTES:  # between two writes; a flood is cut short
            data = orjson.dumps(said["data"]) if said.get("data") is not None else b""
            at = float(said["at"])
            self._notes.append(Note(str(said["message"]), str(said["level"]), str(said["type"]), data, at))

    async def _answer(self, process: Process, said: Mapping[str, Any]) -> None:
        answer: dict[str, Any] = {"t": "answer", "id": int(said["id"])}
        try:
            answer["value"] = await self._do(process, said)
            line = encode(answer)
        except Lost:
            self._lost = True
            await process.kill()
            return
        except LaunchFailed as failed:
            line = _refusal(said, failed.reason, failed.message, retry=True)
        except SixfoldError as error:
            full = said.get("what") == "checkpoint" and error.status.retryable
            retry = True if full else None
            line = _refusal(said, error.reason.value, error.message, retry=retry)
        except FileNotFoundError:
            line = _refusal(said, Reason.NOT_FOUND.value, "The job's folder has no such file.")
        except (PermissionError, KeyError, ValueError, TypeError):
            line = _refusal(said, Reason.INVALID_REQUEST.value, "The job asked for what cannot be.")
        except Exception as error:
            _log.exception("a job's question failed", job=self._claim.id, exc_info=error)
            line = _refusal(said, Reason.INTERNAL.value, internal().message)
        await process.send(line)

    async def _do(self, process: Process, said: Mapping[str, Any]) -> Any:
        tenant = self._claim.tenant
        match said["what"]:
            case "checkpoint":
                return await self._keep(process, said)
            case "fetch":
                key = str(said["key"])
                if not key.startswith(f"{tenant}/"):
                    raise SixfoldError(Reason.NOT_FOUND, "The stored object does not exist.")
                await process.place(str(said["file"]), self._objects.read(key))
                return None
            case "store":
                namespace = f"{tenant}/{said['namespace']}"
                content = process.open(str(said["file"]))
                stored = await self._objects.put(namespace, content, limit=self._limits.checkpoint_bytes)
                return {"key": stored.key, "sha256": stored.sha256, "bytes": stored.bytes}
            case "call":
                if said["name"] not in self._calls:
                    raise ValueError("no such call")
                return await self._calls[said["name"]](self._claim, said["arguments"])
            case _:
                raise ValueError("no such question")

    async def _keep(self, process: Process, said: Mapping[str, Any]) -> str:
        claim = self._claim
        id = f"ckpt_{uuid4().hex[:24]}"
        namespace = f"{claim.tenant}/{claim.id}/{id}"
        content = process.open(str(said["file"]))
        stored = await self._objects.put(namespace, content, limit=self._limits.checkpoint_bytes)
        figures = {str(name): float(value) for name, value in said["metrics"].items()}
        kept = Checkpoint(id, time.time(), int(said["step"]), figures, stored.key)
        try:
            gone = await self._jobs.keep_checkpoint(claim, kept)
        except Lost:
            with contextlib.suppress(SixfoldError):
                await self._objects.delete(namespace)
            raise
        metrics.CHECKPOINTS.labels(claim.kind).inc()
        metrics.CHECKPOINT_BYTES.labels(claim.kind).inc(stored.bytes)
        for old in gone:
            with contextlib.suppress(SixfoldError):  # what stays lies in the job's namespace
                await self._objects.delete(old.object_key.rpartition("/")[0])
        return id

    async def _watch(self) -> None:
        """Keeps the lease, tells the process what is asked, and ends one that goes over its limits."""
        try:
            while not self._gone and await self._look():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._limits.beat_seconds):
                        await self._nudged.wait()
                if not self._gone:
                    self._nudged.clear()
        except Exception as error:  # without a lease nobody may work
            _log.error("a job's lease cannot be kept", job=self._claim.id, exc_info=error)
            self._lost = True
            await self._kill()

    async def _look(self) -> bool:
        """False once the process was ended."""
        if not await self._beat():
            await self._kill()
            return False
        if wanted := self._wanted or ("release" if self._releasing else ""):
            await self._tell(wanted)
        why: Outcome | None = self._over()
        if why is None and self._told and time.monotonic() - self._told_at > self._limits.stop_seconds:
            why = Stood(self._told)
        if why is None:
            return True
        self._word = self._word or why
        await self._kill()
        return False

    async def _beat(self) -> bool:
        """False once the job is not ours any more."""
        asked = time.monotonic()
        notes, self._notes = self._notes, []
        progress, self._progress = self._progress, None
        figures, self._metrics = self._metrics, None
        try:
            wanted = await self._jobs.heartbeat(
                self._claim,
                self._limits.lease_seconds,
                progress=progress,
                metrics=figures,
                notes=notes,
                ran_seconds=asked - self._counted,
            )
        except Lost:
            self._lost = True
            return False
        except SixfoldError:
            # Kept for the next time, if there is one before the lease is nearly over.
            self._notes = notes + self._notes
            self._progress = self._progress if self._progress is not None else progress
            self._metrics = self._metrics or figures
            return not self._lost
        self._counted = asked
        if not self._lost:
            self._rely_until(asked + self._limits.lease_seconds * 0.8)
        self._wanted = wanted
        return True

    def _over(self) -> Broke | None:
        now = time.monotonic()
        if self._process is not None and self._process.memory() > self._memory:
            mebibytes = math.ceil(self._memory / 1024**2)
            return Broke(
                "MEMORY_LIMIT", f"The job needs more than its {mebibytes:,} MiB of memory.", retry=False
            )
        if self._claim.ran_seconds + now - self._began > self._seconds:
            return Broke(
                "TIME_LIMIT", f"The job took longer than its {self._seconds:,g} seconds.", retry=False
            )
        if self._started and now - self._heard > self._limits.silent_seconds:
            return Broke("STUCK", "The job's process said nothing for too long.")
        return None

    async def _tell(self, how: str) -> None:
        if how == self._told or self._told == "cancel":
            return
        if not self._told:
            self._told_at = time.monotonic()
        self._told = how
        if self._started and self._process is not None:
            await self._process.send(encode({"t": "stop", "how": "pause" if how == "release" else how}))
        else:
            self._word = self._word or Stood(how)  # before it began

    async def _exit(self, process: Process) -> int:
        try:
            async with asyncio.timeout(_EXIT_SECONDS):
                return await process.wait()
        except TimeoutError:
            await process.kill()
            return await process.wait()

    def _died(self, code: int) -> Broke:
        if not self._ready:
            return Broke("LAUNCH_FAILED", "The job's process did not come up.")
        if code < 0:
            return Broke("KILLED", f"The job's process was ended by signal {-code}.")
        return Broke("CRASHED", f"The job's process ended without a word, with exit code {code}.")

    async def _finish(self, outcome: Outcome) -> str:
        """Writes the end, however often it takes while the lease holds."""
        wait = 0.1
        while True:
            try:
                if not await self._beat():  # the newest figures
                    raise Lost
                await self._jobs.finish(self._claim, outcome, notes=self._notes)
            except SixfoldError:
                if time.monotonic() + wait > self._lease_until:
                    raise Lost from None
                await asyncio.sleep(wait)
                wait = min(2.0, wait * 2)
                continue
            match outcome:
                case Done():
                    return "done"
                case Broke():
                    return "broke"
                case Stood(how):
                    return how


def _refusal(said: Mapping[str, Any], reason: str, message: str, *, retry: bool | None = None) -> bytes:
    return encode(
        {"t": "answer", "id": said["id"], "error": {"reason": reason, "message": message, "retry": retry}}
    )
