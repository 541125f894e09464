"""A batch: requests, answers, one file of each kind."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping
from typing import Any

import orjson

from eval_service.batches import lines as reading
from eval_service.batches.lines import Request
from eval_service.jobs.asking import KEEP_BATCH, RESPOND, lines_of, run_async
from eval_service.runs.work import work_off
from servicekit.errors import Reason, SixfoldError
from servicekit.jobs.child import Context, Stopped

_LATER = (Reason.SERVICE_UNAVAILABLE, Reason.DRAINING, Reason.ENGINE_UNAVAILABLE)
"""What is wrong with the service and not with a request: the attempt ends, and another goes on."""
Line = dict[str, Any]


def run(context: Context) -> Mapping[str, Any]:
    """The handler. What was answered is never asked again: lines are kept with every checkpoint."""
    path = context.workdir / "requests.jsonl"
    context.fetch(context.spec["input"]["object_key"], path)
    endpoint, most = context.spec["endpoint"], context.spec["max_requests"]
    requests, errors = reading.read(lines_of(path), endpoint, most=most)
    if errors:
        return {
            "status": "failed",
            "counts": {"total": 0, "completed": 0, "failed": 0},
            "errors": [error.told() for error in errors],
        }
    work = _Work(context, requests)
    run_async(work.answer, threads=context.spec["parallel"] + 2)
    return work.finish("expired" if work.late else "completed")


class _Work:
    def __init__(self, context: Context, requests: list[Request]) -> None:
        self._context = context
        self._spec = context.spec
        self._requests = requests
        self._lines: dict[int, Line] = {}
        self._kept_at = time.monotonic()
        self.late = False
        if context.resume is not None:
            for each in lines_of(context.resume.folder / "data"):
                if each:
                    line = orjson.loads(each)
                    self._lines[line.pop("index")] = line

    async def answer(self) -> None:
        """All requests that have no line yet, until the batch expires."""
        self._tell({})
        try:
            done = await work_off(
                [each for each in self._requests if each.index not in self._lines],
                self._ask,
                self._keep,
                parallel=self._spec["parallel"],
                stopped=self._stopped,
            )
        except SixfoldError:
            await asyncio.to_thread(self._checkpoint)
            raise
        if done or self.late:
            return
        if self._context.should_stop() == "cancel":
            # What was answered is the caller's: the files are kept though the job is called off.
            await asyncio.to_thread(lambda: self._tell(self.finish("cancelled")))
        else:
            await asyncio.to_thread(self._checkpoint)
        raise Stopped

    def finish(self, status: str) -> dict[str, Any]:
        """Writes both files, with a line for each request that was not reached."""
        missing = "batch_expired" if status == "expired" else "batch_cancelled"
        for request in self._requests:
            if request.index not in self._lines:
                words = f"This request could not be executed before the batch {status}."
                self._lines[request.index] = _line(request, error={"code": missing, "message": words})
        order = [self._lines[index] for index in sorted(self._lines)]
        good = [line for line in order if line["error"] is None and line["response"]["status_code"] == 200]
        bad = [line for line in order if line["error"] is not None or line["response"]["status_code"] != 200]
        files = {}
        for name, content in (("output", good), ("errors_file", bad)):
            if content:
                path = self._context.workdir / f"{name}.jsonl"
                path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in content))
                kept = self._context.store(path, f"{self._context.job_id}/{name}")
                files[name] = {"object_key": kept.key, "sha256": kept.sha256, "bytes": kept.bytes}
        counts = {"total": len(order), "completed": len(good), "failed": len(bad)}
        return {"status": status, "counts": counts, **files}

    async def _ask(self, request: Request) -> tuple[int, Line]:
        try:
            body = await asyncio.to_thread(
                self._context.call,
                RESPOND,
                {"endpoint": self._spec["endpoint"], "body": dict(request.body)},
            )
        except SixfoldError as error:
            if error.reason in _LATER:
                raise
            told = {
                "message": error.message,
                "type": error.status.openai_type,
                "param": error.param,
                "code": error.reason.value.lower(),
            }
            return request.index, _line(request, status=error.status.http, body={"error": told})
        return request.index, _line(request, status=200, body=body)

    async def _keep(self, done: tuple[int, Line]) -> None:
        index, line = done
        self._lines[index] = line
        good = sum(
            each["response"] is not None and each["response"]["status_code"] == 200
            for each in self._lines.values()
        )
        self._context.progress(
            len(self._lines) / len(self._requests),
            {"total": len(self._requests), "completed": good, "failed": len(self._lines) - good},
        )
        if time.monotonic() - self._kept_at >= self._spec["checkpoint_seconds"]:
            await asyncio.to_thread(self._checkpoint)

    def _checkpoint(self) -> None:
        resume = self._context.resume
        if len(self._lines) > (resume.step if resume is not None else 0):
            content = b"".join(
                orjson.dumps({**line, "index": index}) + b"\n" for index, line in sorted(self._lines.items())
            )
            self._context.checkpoint(len(self._lines), content)
        self._kept_at = time.monotonic()

    def _stopped(self) -> bool:
        self.late = self.late or time.time() >= self._spec["expires_at"]
        return self.late or self._context.should_stop() is not None

    def _tell(self, partial: Mapping[str, Any]) -> None:
        """The service hears how many requests there are, or what a batch that was called off leaves."""
        self._context.call(KEEP_BATCH, {"total": len(self._requests), "partial": dict(partial)})


def _line(
    request: Request,
    *,
    status: int = 0,
    body: Mapping[str, Any] | None = None,
    error: Mapping[str, str] | None = None,
) -> Line:
    made = secrets.token_hex(12)
    response = None if body is None else {"status_code": status, "request_id": f"req_{made}", "body": body}
    return {
        "id": f"batch_req_{made}",
        "custom_id": request.custom_id,
        "response": response,
        "error": error,
    }
