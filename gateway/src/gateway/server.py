"""uvicorn, set up for this gateway."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import uvicorn

from gateway.http_protocol import HttpLimits, protocol_class
from gateway.settings import GatewaySettings

BACKLOG = 2048


class Server(uvicorn.Server):
    """A uvicorn server that leaves signals to the lifecycle."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing to capture."""
        yield


def make_server(app: Any, settings: GatewaySettings) -> Server:
    """A server for `app` with the HTTP limits of the settings."""
    limits = HttpLimits(settings.max_header_bytes, settings.header_seconds, settings.max_connections)
    return Server(
        uvicorn.Config(
            app,
            http=protocol_class(limits),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=max(1, round(settings.keep_alive_seconds)),
            timeout_graceful_shutdown=1,
            backlog=BACKLOG,
        )
    )
