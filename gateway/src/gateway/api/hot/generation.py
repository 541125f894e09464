"""Chat and completions: authenticate, scope, parse, route, limits, cache, generate, stream, settle."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway import metrics
from gateway.api.exchange import JSON, Exchange, Header
from gateway.api.hot.deps import HotDeps, asker_of, ends_at, identify, left_until, route_of, served_headers
from gateway.api.hot.spans import generation_span
from gateway.api.hot.streaming import EVENT_STREAM, Stream
from gateway.caching.exact import key_of, use_of
from gateway.events.completion import Completion
from gateway.openai.answer import Gathered
from gateway.openai.chunks import ChunkWriter
from gateway.openai.pieces import FINISH_REASONS, Delta, ServedBy, Usage
from gateway.openai.request import Generation
from gateway.routing.flight import AnswerFlight
from gateway.routing.ports import Answer
from gateway.routing.router import Candidate, Plan
from servicekit import telemetry
from servicekit.errors import Reason, SixfoldError

_UNSAID_TOKENS = 512
"""Tokens reserved for an answer whose length the caller left open."""
_BYTES_A_TOKEN = 4
"""Of a request's body. Reserving is a guess on the high side for text; the real usage is settled."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What differs between the two endpoints."""

    operation: str
    """The name in telemetry: "chat" or "text_completion"."""
    capability: str
    prefix: str
    parse: Callable[[bytes], Generation]
    write: Callable[[dict[str, Any], str, int, str], bytes]
    chunks: Callable[[str, int, ServedBy, bool, str], ChunkWriter]


class GenerationEndpoint:
    """One endpoint for tokens."""

    def __init__(self, deps: HotDeps, shape: Shape) -> None:
        self._deps = deps
        self._shape = shape

    async def __call__(self, exchange: Exchange) -> None:
        """Answers one request."""
        deps, shape = self._deps, self._shape
        completion = exchange.completion = Completion(shape.operation)
        principal = await identify(exchange, deps.authenticator, "chat:write")
        raw = await exchange.body(deps.limits.max_body, deps.limits.body_seconds)
        request = shape.parse(raw)
        completion.requested_model, completion.stream = request.model, request.stream
        plan = deps.router.plan(request.model, shape.capability, exchange.request_id)
        end = ends_at(exchange, plan, deps.limits)
        card = plan.candidates[0].card
        prompt = len(raw) // _BYTES_A_TOKEN
        wanted = (request.max_tokens or _UNSAID_TOKENS) * request.n
        reserved = prompt + min(wanted, (card.context_tokens or wanted) * request.n)
        ticket = await deps.admission.admit(principal, card.name, reserved)
        exchange.extra += ticket.headers
        run = Run(deps, shape, exchange, request, plan, end)
        try:
            with generation_span(shape.operation, request, exchange) as span:
                completion.traceparent = telemetry.traceparent() or ""
                await run.answer(asker_of(principal, exchange))
                span.done(run)
        finally:
            run.note()
            await ticket.settle(run.tokens_used(prompt))


class Run:
    """One request on its way. `usage` is set once it is known; `pieces` counts what was passed on."""

    def __init__(
        self, deps: HotDeps, shape: Shape, exchange: Exchange, request: Generation, plan: Plan, end: float
    ) -> None:
        self.deps = deps
        self.shape = shape
        self.exchange = exchange
        self.request = request
        self.plan = plan
        self.end = end
        self.identifier = f"{shape.prefix}{secrets.token_hex(12)}"
        self.created = int(time.time())
        self.pieces = 0
        self.usage: Usage | None = None
        self.cache = "bypass"
        self.flight: AnswerFlight | None = None
        self.first: float | None = None
        """Seconds from the request to the first piece."""
        self.finish: dict[int, str] = {}
        """Why each choice ended."""

    @property
    def echo(self) -> str:
        """What is put before every answer."""
        return (self.request.prompt or "") if self.request.echo else ""

    def took(self, deltas: Sequence[Delta]) -> None:
        """Takes note of pieces that arrived."""
        self.pieces += len(deltas)
        for delta in deltas:
            if delta.finish_reason:
                self.finish[delta.choice_index] = FINISH_REASONS.get(delta.finish_reason, "stop")

    def note(self) -> None:
        """Tells what is known by now to whoever follows this request."""
        completion = self.exchange.completion
        if completion is None:
            return
        completion.cache = self.cache
        if self.flight is not None:
            by = self.served_by(self.flight)
            completion.model, completion.model_version, completion.engine = by
            completion.route = route_of(self.plan, self.flight)
        if self.usage is not None:
            completion.prompt_tokens = self.usage.prompt_tokens
            completion.completion_tokens = self.usage.completion_tokens
        else:
            completion.completion_tokens = self.pieces
        if self.request.stream and self.first is not None:
            completion.first_token_seconds = self.first
        completion.finish_reasons = [self.finish[index] for index in sorted(self.finish)]

    def tokens_used(self, prompt: int) -> int:
        """What the request cost; an estimate where the engine could not say."""
        if self.usage is not None:
            return self.usage.prompt_tokens + self.usage.completion_tokens
        return prompt + self.pieces if self.pieces else 0

    async def answer(self, asker: Any) -> None:
        """Answers from the cache, from a request that is being answered already, or from a model."""
        deps, request, plan = self.deps, self.request, self.plan
        use = use_of(
            plan.cache,
            deterministic=request.deterministic,
            cache_control=self.exchange.headers.get(b"cache-control"),
        )
        key = ""
        if use != "bypass":
            card = plan.candidates[0].card
            key = key_of(asker.tenant, card, self.shape.operation, request.body, request.extra)
            if use == "both":
                record = await deps.cache.get(key)
                if record is None and not request.stream:
                    record = await deps.cache.join(key, left_until(self.end))
                if record is not None:
                    await self._replay(record)
                    return
            self.cache = "miss"
        metrics.CACHE.labels(self.cache).inc()
        self.flight = flight = AnswerFlight(plan, self._starter(asker), time.monotonic)
        leads = use == "both" and deps.cache.lead(key)
        record = None
        stop_watching = self.exchange.watch(self._left)
        try:
            gathered = Gathered() if key or not request.stream else None
            if request.stream:
                await Stream(self, flight, gathered).run()
            else:
                assert gathered is not None
                await self._whole(flight, gathered)
            if gathered is not None and key and gathered.complete():
                record = gathered.record()
                by, card = self.served_by(flight), plan.candidates[0].card
                # another target's answer, or a newer version's, would stand under a name that is not its own
                if (by.model, by.version) == (card.name, card.version):
                    deps.cache.keep(key, record, plan.cache)
        finally:
            if leads:
                deps.cache.led(key, record)
            flight.close()
            stop_watching()

    def _starter(self, asker: Any) -> Callable[[Candidate], Answer]:
        request, end = self.request, self.end

        def start(candidate: Candidate) -> Answer:
            return candidate.client.generate(request, candidate.card.name, asker, left_until(end))

        return start

    def _left(self) -> None:
        if self.flight is not None:
            self.flight.stop(SixfoldError(Reason.CANCELLED, "The client left."))

    async def _whole(self, flight: AnswerFlight, gathered: Gathered) -> None:
        """Gathers the answer and sends it at once."""
        limit = self.deps.limits.max_answer
        while (deltas := await flight.read()) is not None:
            if self.first is None and deltas:
                self.first = self.exchange.elapsed
            self.took(deltas)
            gathered.add(deltas)
            if gathered.size > limit:
                raise SixfoldError(Reason.ENGINE_FAILED, "The answer is larger than this server passes on.")
        self.ended(flight, gathered)
        record = gathered.record()
        body = self.shape.write(record, self.identifier, self.created, self.echo)
        headers = served_headers(self.plan, flight, gathered.served_by, self.cache)
        await self.exchange.respond(200, body, [JSON, *headers])

    def ended(self, flight: AnswerFlight, gathered: Gathered | None) -> None:
        """Takes note of a complete answer."""
        call = flight.call
        assert call is not None
        usage = self.usage = call.usage or Usage()
        by = self.served_by(flight)
        if gathered is not None:
            gathered.usage, gathered.served_by = usage, by
        total = self.exchange.elapsed
        metrics.operation(self.shape.operation, by.model).done(
            total=total,
            first=self.first if self.request.stream else None,
            called=total,
            prompt=usage.prompt_tokens,
            completion=usage.completion_tokens,
        )
        facts = self.exchange.facts
        facts["model"] = by.model
        facts["prompt_tokens"], facts["completion_tokens"] = usage.prompt_tokens, usage.completion_tokens
        if flight.attempts > 1:
            facts["attempts"] = flight.attempts
        self.note()

    def served_by(self, flight: AnswerFlight) -> ServedBy:
        """Who answers: as the service says, otherwise as its card says."""
        said = flight.call.served_by if flight.call is not None else None
        card = flight.candidate.card
        return said if said is not None and said.model else ServedBy(card.name, card.version, card.engine)

    async def _replay(self, record: dict[str, Any]) -> None:
        """Gives a kept answer, in the shape that this request asked for."""
        self.cache = "hit"
        metrics.CACHE.labels("hit").inc()
        by = ServedBy(*record["served_by"])
        self.usage = Usage()  # nothing was spent
        self.finish = {index: choice["finish"] or "stop" for index, choice in enumerate(record["choices"])}
        self.note()
        if (completion := self.exchange.completion) is not None:
            completion.model, completion.model_version, completion.engine = by
            completion.route = route_of(self.plan, None)
        self.exchange.facts["model"], self.exchange.facts["cache"] = by.model, "hit"
        headers: list[Header] = served_headers(self.plan, None, by, "hit")
        if self.request.stream:
            writer = self.shape.chunks(
                self.identifier, self.created, by, self.request.include_usage, self.echo
            )
            await self.exchange.start(200, [*EVENT_STREAM, *headers])
            await self.exchange.write(writer.replay(record), more=False)
        else:
            body = self.shape.write(record, self.identifier, self.created, self.echo)
            await self.exchange.respond(200, body, [JSON, *headers])
