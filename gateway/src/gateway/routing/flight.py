"""One request's way through its targets.

Until the first piece of an answer has arrived, a target that fails is left for the next one. Afterwards
what was said stands, and a failure ends the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from gateway import metrics
from gateway.openai.pieces import Delta
from gateway.routing.ports import Answer, Embedded, PendingEmbedding
from gateway.routing.router import Candidate, Plan
from servicekit.errors import Reason, SixfoldError

FAILURES = frozenset(
    {
        Reason.ENGINE_FAILED,
        Reason.ENGINE_UNAVAILABLE,
        Reason.STREAM_INTERRUPTED,
        Reason.SERVICE_UNAVAILABLE,
        Reason.INTERNAL,
    }
)
"""What speaks against a target."""

MOVE_ON = FAILURES | {Reason.QUEUE_FULL, Reason.DRAINING, Reason.CONCURRENCY_LIMIT}
"""What another target may do better. A full queue is no fault: it does not open a breaker."""

_SAYS_NOTHING = (MOVE_ON - FAILURES) | {Reason.CANCELLED, Reason.DEADLINE_EXCEEDED}


class _Stoppable(Protocol):
    def stop(self, error: SixfoldError) -> None: ...


C = TypeVar("C", bound=_Stoppable)


class Flight(Generic[C]):
    """Tries the candidates of a plan. `stop` ends it from anywhere; `close` must be called at the end."""

    __slots__ = (
        "_clock", "_held", "_late", "_left", "_loop", "_start", "_stopped", "_timer",
        "attempts", "began", "call", "candidate", "plan", "trail",
    )  # fmt: skip

    def __init__(self, plan: Plan, start: Callable[[Candidate], C], clock: Callable[[], float]) -> None:
        self.plan = plan
        self.call: C | None = None
        self.candidate = plan.candidates[0]
        self.attempts = 0
        self.began = False
        self.trail: list[tuple[str, str]] = []
        """Each failed attempt: target and reason."""
        self._start = start
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._left = list(reversed(plan.candidates))
        self._timer: asyncio.TimerHandle | None = None
        self._late = False
        self._held = False
        self._stopped: SixfoldError | None = None

    def stop(self, error: SixfoldError) -> None:
        """Ends it: the running call is cancelled and whoever waits gets `error`."""
        if self._stopped is None:
            self._stopped = error
            if self.call is not None:
                self.call.stop(error)

    def close(self) -> None:
        """Lets go of a call that has not come to its end."""
        if self._held:
            if self.call is not None:
                self.call.stop(SixfoldError(Reason.CANCELLED, "The request ended."))
            self._release()
            self.candidate.target.breaker.unknown()

    def _next(self, why: SixfoldError | None) -> C:
        """Begins the next attempt, or raises the reason why there is none."""
        if self._stopped is not None:
            raise self._stopped
        now, plan = self._clock(), self.plan
        shut = 0.0
        while self._left:
            candidate = self._left.pop()
            breaker = candidate.target.breaker
            if self.attempts:
                if self.attempts >= plan.retry.attempts:
                    break
                if breaker.state(now) == "open":
                    continue
                if not plan.budget.take(plan.retry, now):
                    metrics.RETRIES_REFUSED.inc()
                    break
            if not breaker.allow(now):
                shut = min(shut or 3600.0, breaker.opens_in(now) or 1.0)
                metrics.attempt(candidate.target.name, "breaker_open")
                continue
            if not self.attempts:
                plan.budget.request(now)
            self.attempts += 1
            self.candidate = candidate
            candidate.target.in_flight += 1
            self._held = True
            self._late = False
            self.call = call = self._start(candidate)
            self._timer = self._loop.call_later(plan.first_token, self._on_late)
            return call
        if why is not None:
            raise why
        raise SixfoldError(
            Reason.ENGINE_UNAVAILABLE,
            "Every model that could answer has failed lately and is being left alone for a moment.",
            retry_after=shut or 1.0,
        )

    def _on_late(self) -> None:
        if self.call is not None and not self.began:
            self._late = True
            self.call.stop(
                SixfoldError(Reason.DEADLINE_EXCEEDED, "The model did not begin to answer in time.")
            )

    def _release(self) -> None:
        self._held = False
        self.candidate.target.in_flight -= 1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self) -> None:
        self.began = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _done(self) -> None:
        self._release()
        self.candidate.target.breaker.success()
        metrics.attempt(self.candidate.target.name, "ok")

    def _failed(self, error: SixfoldError) -> None:
        """Takes note of a failed attempt; raises `error` unless another target may be tried."""
        self._release()
        target = self.candidate.target
        breaker = target.breaker
        if error.reason in FAILURES or self._late:
            breaker.failure(self._clock())
        elif self._stopped is not None or error.reason in _SAYS_NOTHING:
            breaker.unknown()
        else:
            breaker.success()  # it told the caller what is wrong with the request: it is well
        reason = "FIRST_TOKEN_TIMEOUT" if self._late else error.reason.value
        metrics.attempt(target.name, reason.lower())
        self.trail.append((target.name, reason))
        self.call = None
        if self.began or self._stopped is not None or not (self._late or error.reason in MOVE_ON):
            raise error


class AnswerFlight(Flight[Answer]):
    """A flight for tokens."""

    __slots__ = ()

    async def read(self) -> Sequence[Delta] | None:
        """As Answer.read, over all targets."""
        call = self.call or self._next(None)
        while True:
            try:
                deltas = await call.read()
            except SixfoldError as error:
                self._failed(error)
                call = self._next(error)
                continue
            if deltas:
                if not self.began:
                    self._begin()
            elif deltas is None:
                self._done()
            return deltas

    def wake(self) -> None:
        """Makes `read` return an empty list."""
        if self.call is not None:
            self.call.wake()


class EmbeddingFlight(Flight[PendingEmbedding]):
    """A flight for vectors."""

    __slots__ = ()

    async def result(self) -> Embedded:
        """The vectors, from the first target that gives them."""
        call = self._next(None)
        while True:
            try:
                embedded = await call.result()
            except SixfoldError as error:
                self._failed(error)
                call = self._next(error)
                continue
            self._done()
            return embedded
