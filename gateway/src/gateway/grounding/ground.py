"""From a question and the stores that it names to the prompt that a model is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from gateway.config.file import GroundingConfig
from gateway.grounding.budget import no_room, room_for_passages
from gateway.grounding.citing import Evidence
from gateway.grounding.closest import Closest
from gateway.grounding.frame import FRAME, frame_text, passage_text, place
from gateway.grounding.nothing import sentence
from gateway.grounding.passages import Source, choose
from gateway.grounding.query import queries_of, text_of
from gateway.openai import fields
from gateway.openai.request import FileSearch, Generation, Message
from gateway.retrieval.ports import Retrieval
from gateway.retrieval.types import Found, Hit
from gateway.routing.ports import Asker
from gateway.routing.router import Candidate, Plan
from servicekit.errors import Reason, SixfoldError

_COUNT_SECONDS = 2.0
_A_PICTURE = 1024
"""Tokens that a part of a turn may take which is not text. Engines do not say."""
_PASSED_ON = frozenset(
    {
        Reason.NOT_FOUND, Reason.INVALID_REQUEST, Reason.UNSUPPORTED_PARAMETER, Reason.PERMISSION_DENIED,
        Reason.QUEUE_FULL, Reason.SERVICE_UNAVAILABLE, Reason.DRAINING, Reason.CANCELLED,
    }
)  # fmt: skip


@dataclass(slots=True)
class Grounded:
    """What a search found, and what became of it."""

    queries: list[str]
    found: Found
    request: Generation
    """The request as the model gets it."""
    sources: list[Source]
    """What stands in its prompt; empty when the documents do not answer."""
    told: str
    """What is said in that case, without asking a model."""
    marks: bool
    """Whether `[2]` in the answer is a reference."""
    support: float
    closest: Closest | None = None
    """What quotes the documents where the answer stands on none of them."""

    @property
    def evidence(self) -> Evidence:
        """The passages to cite."""
        return Evidence(self.sources, support=self.support)

    @property
    def key(self) -> list[Any]:
        """What the answer stands on, for the cache: another passage, or another text, is another question."""
        passages = [
            [hit.store_id, hit.file_id, hit.passage.id, hit.filename, hit.passage.text]
            for source in self.sources
            for hit in source.hits
        ]
        return [FRAME, self.marks, self.support, self.closest is not None, passages]


class Grounder:
    """Searches, chooses, and writes prompts. `config` follows gateway.yaml."""

    def __init__(self, retrieval: Retrieval, config: GroundingConfig) -> None:
        self._retrieval = retrieval
        self._config = config

    def use(self, config: GroundingConfig) -> None:
        """Follows a changed file."""
        self._config = config

    async def ground(self, request: Generation, plan: Plan, asker: Asker, seconds: float) -> Grounded:
        """The request with its passages. Raises SixfoldError before any model has been asked.

        A search that fails is SERVICE_UNAVAILABLE, never an answer without passages.
        """
        config, search = self._config, request.search
        assert search is not None
        assert request.messages is not None
        queries = queries_of(request.messages)
        if not queries:
            raise fields.invalid("messages", "no user turn has any text to search for.")
        found = await self._search(search, queries, asker, min(seconds, config.search_seconds))
        grounded = Grounded(queries, found, request, [], "", False, config.support)
        if not found.relevant or not found.hits:
            grounded.told = sentence(_question(request.messages), config.nothing_found)
            return grounded
        tight = min(plan.candidates, key=self._context)
        parameters = tight.card.parameters
        small = 0 < parameters < config.small_model
        # A mark in JSON would be data of somebody's.
        grounded.marks = request.format is None
        marks = grounded.marks and not small
        if grounded.marks and small and config.quote_closest:
            grounded.closest = Closest(_question(request.messages))
        most = config.small_passages if small else config.max_passages
        grounded.sources = await self._choose(request, found.hits, tight, asker, most=most, marks=marks)
        grounded.request = replace(
            request, messages=place(request.messages, grounded.sources, marks=marks), search=None
        )
        return grounded

    async def _search(
        self, search: FileSearch, queries: Sequence[str], asker: Asker, seconds: float
    ) -> Found:
        try:
            return await self._retrieval.search(
                asker,
                search.store_ids,
                queries,
                max_results=search.max_results,
                filter=search.filter,
                threshold=search.threshold,
                weight=search.weight,
                deadline=seconds,
            )
        except SixfoldError as error:
            if error.reason in _PASSED_ON:
                raise
            raise SixfoldError(
                Reason.SERVICE_UNAVAILABLE, "The documents cannot be searched at the moment.", retry_after=1
            ) from error

    async def _choose(
        self,
        request: Generation,
        hits: Sequence[Hit],
        candidate: Candidate,
        asker: Asker,
        *,
        most: int,
        marks: bool,
    ) -> list[Source]:
        config, context = self._config, self._context(candidate)
        messages = request.messages or []
        said = "\n".join([*map(text_of, messages), *_schemas(request)])
        # Numbers and neighbours come later; what each passage takes by itself is no less.
        passages = [passage_text(Source(len(hits), (hit,)), marks=marks) for hit in hits]
        counts = await self._count(candidate, [said, frame_text(marks=marks), *passages], asker)
        pictures = sum(not isinstance(part, str) for turn in messages for part in turn.content)
        room = room_for_passages(
            request,
            counts[0] + _A_PICTURE * pictures,
            context=context,
            frame=counts[1],
            answer=config.answer_tokens,
            most=config.max_tokens,
        )
        chosen = choose(hits, [count + 1 for count in counts[2:]], room=room, most=most)
        if not chosen:
            raise no_room(context)
        return chosen

    async def _count(self, candidate: Candidate, texts: Sequence[str], asker: Asker) -> list[int]:
        """Tokens a text; where nobody counts, a number that none of them exceeds."""
        try:
            counted = await candidate.client.count_tokens(candidate.card.name, texts, asker, _COUNT_SECONDS)
        except SixfoldError as error:
            if error.reason is Reason.CANCELLED:
                raise
            return [len(text.encode("utf-8", "surrogatepass")) + 2 for text in texts]
        return counted.counts

    def _context(self, candidate: Candidate) -> int:
        return candidate.card.context_tokens or self._config.assumed_context


def _question(messages: Sequence[Message]) -> str:
    """The last user turn that has any text."""
    return next(text for turn in reversed(messages) if (text := _asked(turn)))


def _asked(turn: Message) -> str:
    return text_of(turn) if turn.role == "user" else ""


def _schemas(request: Generation) -> list[str]:
    """What functions add to a prompt."""
    return [
        f"{tool.name} {tool.description} {tool.parameters.decode(errors='replace')}"
        for tool in request.tools or ()
    ]
