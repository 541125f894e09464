"""Answers on their way to the caller: with their citations, or told without asking a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.grounding.citing import Citation, Citer, Evidence
from gateway.grounding.closest import Closest
from gateway.openai.citations import annotation
from gateway.openai.pieces import Delta, ServedBy, TokenLogprob, ToolCallPiece, Usage
from gateway.routing.flight import AnswerFlight
from gateway.routing.ports import Answer
from gateway.routing.router import Candidate, Plan
from servicekit.errors import SixfoldError

_STOP = 1
"""The contract's FinishReason for an answer that came to its own end."""


@dataclass(slots=True)
class Piece:
    """A piece of an answer that was made here."""

    choice_index: int = 0
    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool_calls: Sequence[ToolCallPiece] = ()
    logprobs: Sequence[TokenLogprob] = ()
    finish_reason: int = 0
    extra_json: bytes = b""


class CitedFlight(AnswerFlight):
    """A flight whose answer stands on passages. Citations travel as `annotations` beside the text."""

    __slots__ = ("_at_once", "_citers", "_closest", "_evidence", "_kept", "_marks", "cited", "removed")

    def __init__(
        self,
        plan: Plan,
        start: Callable[[Candidate], Answer],
        clock: Callable[[], float],
        evidence: Evidence,
        *,
        marks: bool,
        at_once: bool,
        closest: Closest | None = None,
    ) -> None:
        """`at_once` gives citations as sentences end; otherwise they all come with the end of a choice.

        `closest` quotes what an answer should have stood on that stands on nothing.
        """
        super().__init__(plan, start, clock)
        self._evidence = evidence
        self._marks = marks
        self._at_once = at_once
        self._closest = closest
        self._citers: dict[int, Citer] = {}
        self._kept: dict[int, list[Citation]] = {}
        self.cited: list[Citation] = []
        self.removed = 0

    async def read(self) -> Sequence[Delta] | None:
        """As AnswerFlight.read."""
        deltas = await super().read()
        if not deltas:
            return deltas
        return [piece for delta in deltas for piece in self._with_citations(delta)]

    def _with_citations(self, delta: Delta) -> list[Delta]:
        if not delta.text and not delta.finish_reason and not delta.tool_calls:
            return [delta]
        index = delta.choice_index
        citer = self._citers.get(index)
        if citer is None:
            citer = self._citers[index] = Citer(self._evidence, marks=self._marks)
            self._kept[index] = []
        text, citations = citer.feed(delta.text)
        if delta.finish_reason or delta.tool_calls:  # a call ends what was said before it
            rest, last = citer.end()
            text, citations = text + rest, [*citations, *last]
        citer.cited |= bool(citations) or bool(delta.tool_calls)
        if delta.finish_reason:
            self.removed += citer.removed
            if self._closest is not None and not citer.cited:
                quoted, citation = self._closest.quote(self._evidence, citer.length)
                text, citations = text + quoted, [citation]
        self.cited += citations
        if not self._at_once:
            self._kept[index] += citations
            citations = self._kept[index] if delta.finish_reason else []
        return self._pieces(delta, text, citations)

    def _pieces(self, delta: Delta, text: str, citations: list[Citation]) -> list[Delta]:
        """The piece with what may be shown of it, its citations behind that, and then what else it has."""
        index, ends, calls = delta.choice_index, delta.finish_reason, delta.tool_calls
        if not citations:
            return [
                Piece(
                    index, text, delta.reasoning, delta.refusal, calls, delta.logprobs, ends, delta.extra_json
                )
            ]
        extra = orjson.dumps({"annotations": [annotation(citation) for citation in citations]})
        return [
            Piece(index, text, delta.reasoning, delta.refusal, (), delta.logprobs, 0, delta.extra_json),
            Piece(index, tool_calls=calls, finish_reason=ends, extra_json=extra),
        ]


class ToldFlight(AnswerFlight):
    """A flight that asks nobody: it says one sentence and costs nothing."""

    __slots__ = ("_left_to_say",)

    def __init__(self, plan: Plan, text: str, clock: Callable[[], float]) -> None:
        super().__init__(plan, _asks_nobody, clock)
        card = plan.candidates[0].card
        self.call = _Told(ServedBy(card.name, card.version, "none"))
        self._left_to_say: list[Sequence[Delta]] = [[Piece(text=text), Piece(finish_reason=_STOP)]]

    async def read(self) -> Sequence[Delta] | None:
        """As AnswerFlight.read."""
        if self._stopped is not None:
            raise self._stopped
        return self._left_to_say.pop() if self._left_to_say else None


class _Told:
    """The answer's end, as far as it is asked for."""

    def __init__(self, by: ServedBy) -> None:
        self.usage: Usage | None = Usage()
        self.served_by: ServedBy | None = by

    async def read(self) -> Sequence[Delta] | None:
        return None

    def wake(self) -> None: ...

    def stop(self, error: SixfoldError) -> None: ...


def _asks_nobody(candidate: Candidate) -> Any:
    raise AssertionError("a told answer has no target")
