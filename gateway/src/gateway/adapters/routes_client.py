"""Released names from the eval service: one stream, opened again whenever it ends."""

from __future__ import annotations

import asyncio

from gateway.adapters.h2.channel import Channel
from gateway.releases.routes import Released, Releases
from servicekit.errors import SixfoldError
from servicekit.identity import NO_TENANT, ServiceIdentity
from servicekit.logs import get_logger
from servicekit.rpc import call_metadata
from sixfold.eval.v1 import eval_service_pb2 as pb
from sixfold.eval.v1 import release_pb2

AUDIENCE = "eval-service"
_WATCH = b"/sixfold.eval.v1.EvalService/WatchRoutes"
_STREAM_SECONDS = 600.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
_log = get_logger("gateway.releases")


class RoutesClient:
    """Keeps `releases` as the eval service has them; while that is away, as it had them last."""

    def __init__(self, channel: Channel, identity: ServiceIdentity, releases: Releases) -> None:
        self._channel = channel
        self._identity = identity
        self._releases = releases
        self.trouble: str | None = "not_asked"
        """Why the stream ended the last time; None while it runs."""

    async def run(self) -> None:
        """Listens until cancelled."""
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._listen()
            except SixfoldError as error:
                if self.trouble is None or self.trouble == "not_asked":
                    _log.warning("released names are not heard of", reason=error.reason.value)
                pause = _FIRST_PAUSE if self.trouble is None else min(2 * pause, _LONGEST_PAUSE)
                self.trouble = error.reason.value.lower()
            except Exception:
                _log.exception("listening to released names failed")
                self.trouble = "failed"
                pause = _LONGEST_PAUSE
            await asyncio.sleep(pause)

    async def _listen(self) -> None:
        """One stream, always from the beginning: what comes first is all there is."""
        metadata = call_metadata(self._identity, AUDIENCE, NO_TENANT)
        request = pb.WatchRoutesRequest().SerializeToString()
        call = self._channel.call(_WATCH, metadata, request, _STREAM_SECONDS)
        while (messages := await call.read()) is not None:
            for raw in messages[-1:]:  # each holds everything
                told = pb.WatchRoutesResponse.FromString(raw)
                self._releases.take(_released(route) for route in told.routes)
                self.trouble = None

    async def close(self) -> None:
        """Ends the connection."""
        await self._channel.close()


def _released(route: release_pb2.Route) -> Released:
    return Released(
        alias=route.alias,
        tenant=route.tenant,
        champion=route.champion,
        candidate=route.candidate,
        share=route.share,
        salt=route.salt,
        release_id=route.release_id,
    )
