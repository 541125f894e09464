"""Trained models out of the object store, converted in a child process: it takes memory and every core."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from contextlib import aclosing
from pathlib import Path

import orjson

from model_service.models.trained import Addition
from model_service.prepare.handover import ARCHIVE, Task, write_task
from servicekit.errors import Reason, SixfoldError
from servicekit.logs import get_logger
from servicekit.objects import Objects

log = get_logger(__name__)

_LONGEST_LINE = 1 << 16


class ChildPreparer:
    """`model_service.models.additions.Preparer`."""

    def __init__(self, objects: Objects, root: Path, *, limit: int, seconds: float) -> None:
        """`root` is where it works; `limit` bounds an archive in bytes, `seconds` one conversion."""
        self._objects = objects
        self._root = root
        self._limit = limit
        self._seconds = seconds

    async def prepare(self, addition: Addition, base: Path, target: Path) -> None:
        """See the port."""
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".work.", dir=self._root) as temporary:
                work = Path(temporary)
                async with asyncio.timeout(self._seconds):
                    await self._fetch(addition.object_key, work / ARCHIVE)
                    task = Task(
                        str(base),
                        str(target),
                        addition.form,
                        addition.name,
                        addition.version,
                        self._limit,
                    )
                    write_task(work, task)
                    await self._convert(work)
        except TimeoutError as error:
            raise SixfoldError(
                Reason.DEADLINE_EXCEEDED, "The model took longer to convert than is allowed."
            ) from error
        except OSError as error:
            raise _no_room() from error

    async def _fetch(self, key: str, path: Path) -> None:
        """The store checks the digest, which is the key's last part."""
        size = 0
        try:
            with path.open("xb") as file:
                async with aclosing(self._objects.read(key)) as pieces:
                    async for piece in pieces:
                        size += len(piece)
                        if size > self._limit:
                            raise SixfoldError(
                                Reason.REQUEST_TOO_LARGE,
                                f"The artifact is larger than {self._limit} bytes.",
                                param="object_key",
                            )
                        await asyncio.to_thread(file.write, piece)
        except ValueError:
            raise SixfoldError(
                Reason.INVALID_REQUEST, "This is not the key of an object.", param="object_key"
            ) from None
        except SixfoldError as error:
            if error.reason is Reason.NOT_FOUND:
                raise SixfoldError(
                    Reason.NOT_FOUND, "The artifact does not exist.", param="object_key"
                ) from None
            raise

    async def _convert(self, work: Path) -> None:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "model_service.prepare.trained",
            str(work),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
            limit=_LONGEST_LINE,
        )
        assert child.stdout is not None
        try:
            line = await child.stdout.readline()
            code = await child.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await child.wait()
        try:
            fault = orjson.loads(line)["fault"]
        except (orjson.JSONDecodeError, KeyError):
            log.error("converting a trained model broke off", exit_code=code)
            raise SixfoldError(Reason.INTERNAL, "Converting the model broke off.") from None
        if fault is None:
            return
        if fault["kind"] == "artifact":
            raise SixfoldError(Reason.INVALID_REQUEST, fault["text"], param="object_key")
        if fault["kind"] == "base":
            raise SixfoldError(Reason.UNSUPPORTED_PARAMETER, fault["text"], param="base")
        log.error("a trained model cannot be converted", why=fault["text"])
        raise SixfoldError(Reason.SERVICE_UNAVAILABLE, "The model cannot be converted here at the moment.")


def _no_room() -> SixfoldError:
    return SixfoldError(Reason.SERVICE_UNAVAILABLE, "There is no room to take the model in.")
