"""Chat and completions: authenticate, scope, parse, route, limits, cache, generate, stream, settle."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import orjson

from gateway import metrics
from gateway.api.exchange import JSON, Disconnected, Exchange, Header
from gateway.api.hot import grounding
from gateway.api.hot.deps import (
    HotDeps,
    asker_of,
    ends_at,
    identify,
    left_until,
    plan_of,
    route_of,
    served_headers,
)
from gateway.api.hot.spans import generation_span
from gateway.api.hot.streaming import EVENT_STREAM, Stream
from gateway.caching.exact import key_of, use_of
from gateway.events.completion import Completion
from gateway.grounding.flight import CitedFlight, ToldFlight
from gateway.grounding.ground import Grounded
from gateway.identity.principal import Principal, require
from gateway.identity.roles import SEARCH_READ
from gateway.openai.answer import Gathered
from gateway.openai.chunks import Writer
from gateway.openai.pieces import FINISH_REASONS, Delta, ServedBy, Usage
from gateway.openai.request import Generation
from gateway.routing.flight import AnswerFlight
from gateway.routing.ports import Answer, Asker
from gateway.routing.router import Candidate, Plan
from servicekit import telemetry
from servicekit.errors import Reason, SixfoldError

_UNSAID_TOKENS = 512
"""Tokens reserved for an answer whose length the caller left open."""
_CONTENT = ("messages", "prompt", "input", "instructions", "tools", "response_format", "text")
"""Fields of a request that say what was asked, of whichever endpoint."""
_BYTES_A_TOKEN = 4
"""Of a request's body. Reserving is a guess on the high side for text; the real usage is settled."""


class Shape(Protocol):
    """What differs between the endpoints."""

    operation: str
    """The name in telemetry: "chat", "text_completion" or "responses"."""
    capability: str
    prefix: str
    """Of an answer's id."""
    cites_at_once: bool
    """Whether citations are streamed as sentences end, or all with the end of the answer."""

    def write(self, record: dict[str, Any], run: Run) -> bytes:
        """The body of a whole answer."""
        ...

    def chunks(self, by: ServedBy, run: Run) -> Writer:
        """What writes the events of a stream."""
        ...


class GenerationEndpoint:
    """One endpoint for tokens."""

    def __init__(self, deps: HotDeps, shape: Shape, parse: Callable[[bytes], Generation]) -> None:
        self._deps = deps
        self._shape = shape
        self._parse = parse

    async def __call__(self, exchange: Exchange) -> None:
        """Answers one request."""
        deps, shape = self._deps, self._shape
        exchange.completion = Completion(shape.operation)
        principal = await identify(exchange, deps.authenticator, "chat:write")
        raw = await exchange.body(deps.limits.max_body, deps.limits.body_seconds)
        await generate(deps, shape, exchange, principal, self._parse(raw), len(raw))


async def generate(
    deps: HotDeps,
    shape: Shape,
    exchange: Exchange,
    principal: Principal,
    request: Generation,
    size: int,
    identifier: str = "",
) -> None:
    """Answers a parsed request whose body had `size` bytes; `identifier` names the answer."""
    if request.search is not None:
        require(principal, SEARCH_READ)
    completion = exchange.completion
    assert completion is not None
    completion.requested_model, completion.stream = request.model, request.stream
    plan = await plan_of(deps, request.model, shape.capability, exchange, principal)
    completion.release_id = plan.release_id
    end = ends_at(exchange, plan, deps.limits)
    card = plan.candidates[0].card
    prompt = size // _BYTES_A_TOKEN
    wanted = (request.max_tokens or _UNSAID_TOKENS) * request.n
    reserved = prompt + min(wanted, (card.context_tokens or wanted) * request.n)
    ticket = await deps.admission.admit(principal, card.name, reserved)
    exchange.extra += ticket.headers
    run = Run(deps, shape, exchange, request, plan, end, identifier)
    run.keeps_content = deps.router.config.learning.keeps(principal.tenant)
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
        self,
        deps: HotDeps,
        shape: Shape,
        exchange: Exchange,
        request: Generation,
        plan: Plan,
        end: float,
        identifier: str = "",
    ) -> None:
        self.deps = deps
        self.shape = shape
        self.exchange = exchange
        self.request = request
        self.plan = plan
        self.end = end
        self.grounded: Grounded | None = None
        """What the answer stands on, when it must stand on documents."""
        self.cited: set[str] = set()
        """Passages that a kept answer cites."""
        self.identifier = identifier or f"{shape.prefix}{secrets.token_hex(12)}"
        self.created = int(time.time())
        self.pieces = 0
        self.usage: Usage | None = None
        self.cache = "bypass"
        self.flight: AnswerFlight | None = None
        self.first: float | None = None
        """Seconds from the request to the first piece."""
        self.finish: dict[int, str] = {}
        """Why each choice ended."""
        self.keeps_content = False
        """Whether the event of this request carries its messages and its answer."""

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
        completion.cache, completion.answer_id = self.cache, self.identifier
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
        if self.grounded is not None:
            grounding.note(self.exchange, self.grounded, self.flight, self.cited)

    def tokens_used(self, prompt: int) -> int:
        """What the request cost; an estimate where the engine could not say."""
        if self.usage is not None:
            return self.usage.prompt_tokens + self.usage.completion_tokens
        return prompt + self.pieces if self.pieces else 0

    async def answer(self, asker: Asker) -> None:
        """Answers from the cache, from a request that is being answered already, or from a model."""
        deps, request, plan = self.deps, self.request, self.plan
        use = use_of(
            plan.cache,
            deterministic=request.deterministic,
            cache_control=self.exchange.headers.get(b"cache-control"),
        )
        body: Mapping[str, Any] = request.body
        if request.search is not None:
            self.grounded = grounded = await self._ground(request, asker)
            body = {**body, "passages": grounded.key}
            use = "bypass" if grounded.told else use
        key = ""
        if use != "bypass":
            card = plan.candidates[0].card
            key = key_of(asker.tenant, card, self.shape.operation, body, request.extra)
            if use == "both":
                record = await deps.cache.get(key)
                if record is None and not request.stream:
                    record = await deps.cache.join(key, left_until(self.end))
                if record is not None:
                    await self._replay(record)
                    return
            self.cache = "miss"
        metrics.CACHE.labels(self.cache).inc()
        self.flight = flight = self._new_flight(asker)
        leads = use == "both" and deps.cache.lead(key)
        record = None
        stop_watching = self.exchange.watch(self._left)
        try:
            gathered = Gathered() if key or not request.stream or self.keeps_content else None
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

    async def _ground(self, request: Generation, asker: Asker) -> Grounded:
        """Searches before anything is said; a client that leaves ends the search."""
        searching = asyncio.ensure_future(
            grounding.search(
                self.deps.grounder, self.exchange, request, self.plan, asker, left_until(self.end)
            )
        )
        left = False

        def gone() -> None:
            nonlocal left
            left = searching.cancel()

        stop_watching = self.exchange.watch(gone)
        try:
            return await searching
        except asyncio.CancelledError:
            if left:
                raise Disconnected from None
            raise
        finally:
            searching.cancel()
            stop_watching()

    def _new_flight(self, asker: Asker) -> AnswerFlight:
        plan, grounded = self.plan, self.grounded
        if grounded is None:
            return AnswerFlight(plan, self._starter(self.request, asker), time.monotonic)
        if grounded.told:
            return ToldFlight(plan, grounded.told, time.monotonic)
        return CitedFlight(
            plan,
            self._starter(grounded.request, asker),
            time.monotonic,
            grounded.evidence,
            marks=grounded.marks,
            at_once=self.shape.cites_at_once,
            closest=grounded.closest,
        )

    def _starter(self, request: Generation, asker: Asker) -> Callable[[Candidate], Answer]:
        end = self.end

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
        body = self.shape.write(record, self)
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
            if self.keeps_content:
                self._keep_content(gathered.record())
        if flight.attempts:
            total = self.exchange.elapsed
            metrics.operation(self.shape.operation, by.model).done(
                total=total,
                first=self.first if self.request.stream else None,
                called=total,
                prompt=usage.prompt_tokens,
                completion=usage.completion_tokens,
            )
        if self.grounded is not None:
            grounding.count(flight)
        facts = self.exchange.facts
        facts["model"] = by.model
        facts["prompt_tokens"], facts["completion_tokens"] = usage.prompt_tokens, usage.completion_tokens
        if flight.attempts > 1:
            facts["attempts"] = flight.attempts
        self.note()

    def _keep_content(self, record: dict[str, Any]) -> None:
        if (completion := self.exchange.completion) is not None:
            asked = {name: value for name, value in self.request.body.items() if name in _CONTENT}
            completion.content = orjson.dumps({**asked, "answer": record["choices"]})

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
        if self.grounded is not None:
            self.cited = grounding.cited_in(record)
        self.note()
        if self.keeps_content:
            self._keep_content(record)
        if (completion := self.exchange.completion) is not None:
            completion.model, completion.model_version, completion.engine = by
            completion.route = route_of(self.plan, None)
        self.exchange.facts["model"], self.exchange.facts["cache"] = by.model, "hit"
        headers: list[Header] = served_headers(self.plan, None, by, "hit")
        if self.request.stream:
            writer = self.shape.chunks(by, self)
            await self.exchange.start(200, [*EVENT_STREAM, *headers])
            await self.exchange.write(writer.replay(record), more=False)
        else:
            body = self.shape.write(record, self)
            await self.exchange.respond(200, body, [JSON, *headers])
