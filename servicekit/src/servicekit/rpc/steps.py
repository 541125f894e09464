"""What every call goes through, outermost first: errors, telemetry, identity, deadline, limits.

A step is called with the call and with `proceed`, the steps inside it. Steps run once a call; the
messages of a stream do not pass them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc.aio
from opentelemetry import context as otel_context
from opentelemetry import trace

from servicekit import metrics, telemetry
from servicekit.errors import Code, Reason, SixfoldError, internal
from servicekit.identity import NO_TENANT, ServiceIdentity, set_caller
from servicekit.logs import bind, get_logger
from servicekit.rpc.deadline import set_deadline
from servicekit.rpc.limits import RpcLimits
from servicekit.rpc.metadata import REQUEST_ID, accept_request_id
from servicekit.rpc.status import abort

_log = get_logger("servicekit.rpc")
_tracer = telemetry.tracer("servicekit.rpc")

_ABORT_SECONDS = 2.0
"""A reader that stands still never takes the status; the handler does not wait for it longer than this."""


class Call:
    """One call on its way in."""

    __slots__ = ("context", "metadata", "method", "service", "started", "tenant", "work")

    def __init__(
        self, method: str, context: grpc.aio.ServicerContext[Any, Any], work: Callable[[], Awaitable[Any]]
    ) -> None:
        self.method = method
        self.context = context
        self.work = work
        self.metadata: Mapping[str, Any] = dict(context.invocation_metadata() or ())
        self.started = time.perf_counter()
        self.service = ""
        self.tenant = ""


Proceed = Callable[[Call], Awaitable[Any]]
Step = Callable[[Call, Proceed], Awaitable[Any]]


def compose(steps: tuple[Step, ...]) -> Proceed:
    """The steps as one function, the first outermost; innermost runs the handler."""

    async def work(call: Call) -> Any:
        return await call.work()

    proceed: Proceed = work
    for step in reversed(steps):
        proceed = _around(step, proceed)
    return proceed


def _around(step: Step, inner: Proceed) -> Proceed:
    def proceed(call: Call) -> Awaitable[Any]:
        return step(call, inner)

    return proceed


async def errors(call: Call, proceed: Proceed) -> Any:
    """Turns a failure into a status that says what may be said."""
    try:
        return await proceed(call)
    except SixfoldError as raised:
        error = raised
    except grpc.aio.AbortError:
        raise
    except Exception:
        _log.exception("call failed", method=call.method)
        error = internal()
    try:
        async with asyncio.timeout(_ABORT_SECONDS):
            await abort(call.context, error)
    except TimeoutError:
        _log.warning("caller does not read, its status is dropped", method=call.method)
        raise asyncio.CancelledError from None


async def telemetry_step(call: Call, proceed: Proceed) -> Any:
    """Names the request in logs, continues the trace, counts, and writes one line at the end."""
    bind(request_id=accept_request_id(call.metadata.get(REQUEST_ID)))
    metrics.RPC_IN_FLIGHT.inc()
    span = _start_span(call) if telemetry.enabled() else None
    code, reason = "OK", None
    try:
        return await proceed(call)
    except SixfoldError as error:
        code, reason = error.status.grpc.name, error.reason.value
        raise
    except asyncio.CancelledError:
        code, reason = "CANCELLED", Reason.CANCELLED.value
        raise
    except grpc.aio.AbortError:
        code = getattr(call.context.code(), "name", "UNKNOWN")
        raise
    except BaseException:
        code, reason = "INTERNAL", Reason.INTERNAL.value
        raise
    finally:
        took = time.perf_counter() - call.started
        metrics.RPC_IN_FLIGHT.dec()
        _duration_of(call.method, code).observe(took)
        if span is not None:
            _end_span(span, code, reason)
        facts = {"reason": reason} if reason else {}
        # a service's own looking around, many times a minute, is news only when it fails
        level = logging.DEBUG if call.tenant == NO_TENANT and code == "OK" else logging.INFO
        _log.log(
            level,
            "call",
            method=call.method,
            code=code,
            ms=round(took * 1000, 2),
            caller=call.service or "unknown",
            **facts,
        )


_durations: dict[tuple[str, str], Any] = {}


def _duration_of(method: str, code: str) -> Any:
    # keeping the child saves prometheus_client's lock and lookup; methods and codes are few
    child = _durations.get((method, code))
    if child is None:
        child = _durations[method, code] = metrics.RPC_DURATION.labels(method, code)
    return child


def _start_span(call: Call) -> trace.Span:
    service, _, method = call.method[1:].partition("/")
    headers = {k: call.metadata[k] for k in ("traceparent", "tracestate") if k in call.metadata}
    span = _tracer.start_span(
        call.method[1:],
        context=telemetry.extract(headers),
        kind=trace.SpanKind.SERVER,
        attributes={"rpc.system": "grpc", "rpc.service": service, "rpc.method": method},
    )
    otel_context.attach(trace.set_span_in_context(span))  # for this task, which ends with the call
    return span


def _end_span(span: trace.Span, code: str, reason: str | None) -> None:
    span.set_attribute("rpc.grpc.status_code", Code[code])
    if reason is not None:
        span.set_attribute("error.type", reason)
    if code in ("INTERNAL", "UNKNOWN", "UNAVAILABLE", "DEADLINE_EXCEEDED", "DATA_LOSS", "UNIMPLEMENTED"):
        span.set_status(trace.StatusCode.ERROR)
    span.end()


def identify(identity: ServiceIdentity) -> Step:
    """Checks the service token and names the caller."""

    async def step(call: Call, proceed: Proceed) -> Any:
        given = call.metadata.get("authorization")
        token = given[7:] if isinstance(given, str) and given[:7].lower() == "bearer " else ""
        caller = identity.verify(token)
        call.service, call.tenant = caller.service, caller.tenant
        set_caller(caller)
        bind(tenant=caller.tenant)
        return await proceed(call)

    return step


def deadline(limits: RpcLimits) -> Step:
    """Gives every call a deadline and ends the handler there."""

    async def step(call: Call, proceed: Proceed) -> Any:
        asked = call.context.time_remaining()
        seconds = limits.default_deadline if asked is None else min(asked, limits.max_deadline)
        set_deadline(seconds)
        timer = asyncio.timeout(seconds)
        try:
            async with timer:
                return await proceed(call)
        except TimeoutError:
            if not timer.expired():  # the handler's own, which it should have caught
                raise
            raise SixfoldError(
                Reason.DEADLINE_EXCEEDED, "The deadline passed before the answer was complete."
            ) from None

    return step


class Limits:
    """Counts the calls being served; refuses the one too many, and all new ones while `draining()`."""

    def __init__(self, max_concurrent: int, draining: Callable[[], bool]) -> None:
        self._max = max_concurrent
        self._draining = draining
        self._seconds = 0.1
        """Moving mean of how long a call takes, for a truthful retry time."""
        self.in_flight = 0
        self._idle = asyncio.Event()

    async def idle(self, seconds: float) -> bool:
        """Waits until no call is served; False if some still is after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                while self.in_flight:
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def step(self, call: Call, proceed: Proceed) -> Any:
        """Holds a place while the call runs."""
        if self._draining():
            raise SixfoldError(
                Reason.DRAINING, "The service is about to stop; another one answers.", retry_after=1.0
            )
        if self.in_flight >= self._max:
            wait = min(5.0, max(0.05, self._seconds / self._max))
            raise SixfoldError(
                Reason.QUEUE_FULL,
                "The service is serving as many calls as it can.",
                retry_after=wait,
                metadata={"limit": str(self._max)},
            )
        self.in_flight += 1
        began = time.perf_counter()
        try:
            return await proceed(call)
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self._idle.set()
            self._seconds += 0.05 * (time.perf_counter() - began - self._seconds)
