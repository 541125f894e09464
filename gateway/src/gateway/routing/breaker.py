"""A circuit breaker and a retry budget: what keeps trouble from spreading."""

from __future__ import annotations

import math
from collections import deque
from typing import Literal

from gateway.config.file import BreakerConfig, RetryConfig

State = Literal["closed", "half_open", "open"]


class Breaker:
    """Opens after `failures` within `window`; after `open` seconds lets one request try."""

    __slots__ = ("_failures", "_open_until", "_probing", "config")

    def __init__(self, config: BreakerConfig) -> None:
        self.config = config
        self._failures: deque[float] = deque()
        self._open_until = 0.0
        self._probing = False

    def state(self, now: float) -> State:
        """Where it stands."""
        if not self._open_until:
            return "closed"
        return "open" if now < self._open_until else "half_open"

    def opens_in(self, now: float) -> float:
        """Seconds until a request may try again."""
        return max(0.0, self._open_until - now)

    def allow(self, now: float) -> bool:
        """Whether a request may go; in the half-open state only one may until its outcome is known."""
        if not self._open_until:
            return True
        if now < self._open_until or self._probing:
            return False
        self._probing = True
        return True

    def success(self) -> None:
        """The target answered."""
        if self._open_until or self._failures:
            self._failures.clear()
            self._open_until = 0.0
        self._probing = False

    def failure(self, now: float) -> None:
        """The target failed."""
        self._failures.append(now)
        while self._failures and self._failures[0] <= now - self.config.window:
            self._failures.popleft()
        while len(self._failures) > self.config.failures:
            self._failures.popleft()
        if self._probing or len(self._failures) >= self.config.failures:
            self._open_until = now + self.config.open
        self._probing = False

    def unknown(self) -> None:
        """The request ended without saying anything about the target: its caller left."""
        self._probing = False


class RetryBudget:
    """Further attempts, as a share of the requests of about the last ten seconds.

    Both counts fade with a half-life of seven seconds, so there is no window edge to burst at.
    """

    __slots__ = ("_at", "_requests", "_retries")
    _SPAN = 10.0

    def __init__(self) -> None:
        self._at = 0.0
        self._requests = 0.0
        self._retries = 0.0

    def _fade(self, now: float) -> None:
        if now > self._at:
            kept = math.exp((self._at - now) / self._SPAN)
            self._requests *= kept
            self._retries *= kept
            self._at = now

    def request(self, now: float) -> None:
        """Counts a request's first attempt."""
        self._fade(now)
        self._requests += 1

    def take(self, config: RetryConfig, now: float) -> bool:
        """Spends one further attempt, if there is one left."""
        self._fade(now)
        if self._retries + 1 > max(config.floor, config.budget * self._requests):
            return False
        self._retries += 1
        return True
