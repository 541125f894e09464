"""Routes served as raw ASGI because their bodies stream, beside FastAPI's routes of the same paths."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

RawHandler = Callable[..., Awaitable[None]]


class RawRoute(NamedTuple):
    """One method of one path. The handler takes the exchange and, by keyword, what is `{named}`."""

    method: str
    path: str
    """Such as `/v1/uploads/{upload_id}/parts`."""
    handler: RawHandler


class RawRoutes:
    """Finds the route of a request. What none of them serves is somebody else's."""

    def __init__(self, routes: Iterable[RawRoute] = ()) -> None:
        self._plain: dict[tuple[str, str], RawRoute] = {}
        self._patterns: list[tuple[re.Pattern[str], RawRoute]] = []
        for route in routes:
            if "{" in route.path:
                pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(route.path))
                self._patterns.append((re.compile(pattern), route))
            else:
                self._plain[route.method, route.path] = route

    def find(self, method: str, path: str) -> tuple[RawRoute, dict[str, str]] | None:
        """The route, and what its path named."""
        if (plain := self._plain.get((method, path))) is not None:
            return plain, {}
        for pattern, route in self._patterns:
            if route.method == method and (found := pattern.fullmatch(path)) is not None:
                return route, found.groupdict()
        return None
