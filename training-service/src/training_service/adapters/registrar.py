"""Brings the registry's aliases to where releases stand. MLflow runs in a child, never in the service."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import quote
from uuid import uuid4

import orjson

from servicekit.errors import Reason, SixfoldError
from servicekit.logs import get_logger
from training_service import metrics
from training_service.adapters.moves import Moves, Standing
from training_service.orders.types import Model

_LONGEST_WAIT = 60.0
_POLL_SECONDS = 5.0
_QUICK = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
"""It is tried again out here."""
_log = get_logger("training_service.registry")


class Models(Protocol):
    """Who knows trained models."""

    async def model(self, tenant: str, name: str) -> Model:
        """MODEL_NOT_FOUND."""


class Registrar:
    """One in every process; the lease decides which of them works.

    A tracker that is away is tried again, ever more rarely: what waits is in the records. `seconds` is the
    longest run of one child.
    """

    def __init__(self, moves: Moves, models: Models, *, url: str, seconds: float) -> None:
        self._moves = moves
        self._models = models
        self._url = url
        self._seconds = seconds
        self._owner = uuid4().hex
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins, in a task of the running loop."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="registrar")

    def wake(self) -> None:
        """There is something to show."""
        self._woken.set()

    async def close(self) -> None:
        """A child in the middle is ended: what it did once is not done twice."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
            with contextlib.suppress(SixfoldError):
                await self._moves.yield_lead(self._owner)

    async def _run(self) -> None:
        failed = 0
        while True:
            self._woken.clear()
            try:
                failed = 0 if await self._step() else failed + 1
            except SixfoldError as error:
                failed += 1
                _log.warning("the registry cannot be brought up to date", reason=error.reason.value)
            except Exception as error:
                failed += 1
                _log.error("the registry cannot be brought up to date", exc_info=error)
            if failed:
                await asyncio.sleep(min(_LONGEST_WAIT, 2 ** min(failed, 10) / 2))
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._woken.wait()

    async def _step(self) -> bool:
        """Shows what waits. False when something of it must be tried again."""
        waiting = await self._moves.waiting()
        if not waiting or not await self._moves.lead(self._owner, self._seconds + 30):
            return True
        orders = []
        for standing in await self._moves.waiting():  # as it is now that nobody else writes
            order = await self._order(standing)
            if order is None:
                metrics.MOVES.labels("skipped").inc(len(standing.moves))
                await self._moves.shown(standing, registered=False)
            else:
                orders.append((standing, order))
        if not orders:
            return True
        done = await self._child([order for _, order in orders])
        for standing, order in orders:
            outcome = "shown" if order["name"] in done else "failed"
            metrics.MOVES.labels(outcome).inc(len(standing.moves))
            if order["name"] in done:
                await self._moves.shown(standing, registered=True)
        if len(done) < len(orders):
            _log.warning("the registry does not take aliases, trying on", names=len(orders) - len(done))
        return len(done) == len(orders)

    async def _order(self, standing: Standing) -> dict[str, Any] | None:
        """For the child; None where nothing was ever trained and tracked here under this name."""
        names = {standing.newest.champion, standing.newest.challenger}
        names |= {move.candidate for move in standing.moves}
        trained = {name: await self._trained(standing.tenant, name) for name in names if name}
        if not any(trained.values()) and not standing.registered:
            return None
        return {
            "name": registered_name(standing.tenant, standing.alias),
            "tags": {"sixfold.tenant": standing.tenant, "sixfold.alias": standing.alias},
            "moves": [
                {
                    "trained": trained[move.candidate],
                    "tags": {
                        "sixfold.release_id": move.release_id,
                        "sixfold.release_status": move.status,
                        "sixfold.policy": move.policy,
                        "sixfold.policy_sha256": move.policy_sha256,
                        "sixfold.approved_by": ", ".join(move.approved_by),
                    },
                }
                for move in standing.moves
            ],
            "champion": trained.get(standing.newest.champion),
            "challenger": trained.get(standing.newest.challenger),
        }

    async def _trained(self, tenant: str, name: str) -> Mapping[str, Any] | None:
        try:
            made = (await self._models.model(tenant, name)).made
        except SixfoldError as error:
            if error.reason is Reason.MODEL_NOT_FOUND:
                return None
            raise
        if not made.get("run_id"):
            return None
        wanted = ("model", "version", "run_id", "registered_name", "registered_version", "data_sha256")
        return {each: made[each] for each in wanted}

    async def _child(self, orders: Sequence[Mapping[str, Any]]) -> set[str]:
        """The names that the registry shows now as they are ordered."""
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "training_service.work.registry",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, **_QUICK},
        )
        told = b""
        try:
            async with asyncio.timeout(self._seconds):
                told, _ = await child.communicate(orjson.dumps({"url": self._url, "orders": orders}))
        except TimeoutError:
            _log.warning("the registry takes too long", seconds=self._seconds)
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        return set(told.decode().splitlines())


def registered_name(tenant: str, alias: str) -> str:
    """Of a released name. A tenant has no dot; what MLflow forbids in an alias is written as in URLs."""
    return f"{tenant}.{quote(alias, safe='')}"
