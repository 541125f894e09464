"""Models as a job's process reaches them: through the service, which has the identity."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from eval_service.criteria.base import Ask, Sample
from servicekit.errors import SixfoldError
from servicekit.jobs.child import Context, JobFault

ANSWER, EMBED, RESPOND, CARD, KEEP_BATCH = "answer", "embed", "respond", "card", "keep_batch"
"""The calls that the service answers to its jobs."""
R = TypeVar("R")


class JobModels:
    """`eval_service.criteria.base.Models`."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def answer(self, model: str, ask: Ask) -> Sample:
        """In a thread: the question crosses to the service and back."""
        told = await asyncio.to_thread(self._context.call, ANSWER, {"model": model, "ask": asdict(ask)})
        told["asked"] = tuple((role, text) for role, text in told["asked"])
        return Sample(**told)

    async def embed(self, model: str, texts: Sequence[str]) -> list[list[float]]:
        """In a thread."""
        found: list[list[float]] = await asyncio.to_thread(
            self._context.call, EMBED, {"model": model, "texts": list(texts)}
        )
        return found


def run_async(work: Callable[[], Awaitable[R]], *, threads: int) -> R:
    """Runs a job's work with enough threads for all that it asks at once.

    A service that is away, and stays away over all tries of a call, ends the attempt and not the job.
    """

    async def main() -> R:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(threads))
        return await work()

    # asyncio.run would wait for threads whose questions nobody needs any more, though the job shall stop.
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(main())
    except SixfoldError as error:
        raise JobFault(error.reason.value, error.message, retry=error.status.retryable) from None
    finally:
        loop.close()


def lines_of(path: Path) -> list[bytes]:
    """Of a file, without their ends."""
    return path.read_bytes().split(b"\n")
