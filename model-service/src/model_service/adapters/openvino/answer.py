"""One choice on its way from the engine to the caller, and the inbox that a request's choices share."""

from __future__ import annotations

import asyncio

from tokenizers import Tokenizer

from model_service.adapters.openvino.pieces import Pieces
from model_service.adapters.openvino.vocabulary import token_bytes
from model_service.engines.types import Delta, Finish, Generation, TokenLogprob
from servicekit.errors import Reason, SixfoldError

_FINISHES = {"STOP": Finish.STOP, "LENGTH": Finish.LENGTH, "TOOL_CALL": Finish.TOOL_CALLS}


class Inbox:
    """Wakes a request's generator: when tokens came, when it failed, when its deadline passed."""

    def __init__(self, deadline: float) -> None:
        """`deadline` is in seconds from now."""
        self.answers: list[Answer] = []
        self.first_at = 0.0
        self._timer = asyncio.get_running_loop().call_later(max(0.0, deadline), self._expire)
        self._error: SixfoldError | None = None
        self._fresh = False
        self._waiter: asyncio.Future[None] | None = None

    def wake(self) -> None:
        """Something came."""
        self._fresh = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def fail(self, error: SixfoldError) -> None:
        """The request cannot go on. What came before is lost to it."""
        self._error = self._error or error
        self.wake()

    async def turn(self, turn: asyncio.Future[None]) -> None:
        """Wait for a place in the engine."""
        if not turn.done():
            turn.add_done_callback(lambda _: self.wake())
        while not turn.done():
            await self.more()
        if self._error is not None:
            raise self._error

    async def more(self) -> None:
        """Wait until something came since the last call. Raises what the request failed with."""
        if not self._fresh:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        self._fresh = False
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """The request is over."""
        self._timer.cancel()

    def _expire(self) -> None:
        self.fail(SixfoldError(Reason.DEADLINE_EXCEEDED, "The answer took longer than the deadline allows."))


class Answer:
    """The tokens of one choice, decoded when they are asked for."""

    def __init__(
        self, number: int, choice: int, inbox: Inbox, tokenizer: Tokenizer, request: Generation
    ) -> None:
        self.number = number
        self.inbox = inbox
        self.tokens = 0
        self.finished = False
        """Whether the caller has been given everything."""
        self._choice = choice
        self._tokenizer = tokenizer
        self._pieces = Pieces(tokenizer, request.stop)
        self._wants_logprobs = request.logprobs
        self._stream = request.stream
        self._has_stops = bool(request.stop)
        self._ids: list[int] = []
        self._logprobs: list[float] = []
        self._finish: str | None = None
        self._kept = Delta(choice)

    def take(self, ids: list[int], logprobs: list[float], finish: str | None, now: float) -> None:
        """Tokens from the engine."""
        self._ids += ids
        if self._wants_logprobs:
            self._logprobs += logprobs
        if finish is not None:
            self._finish = finish
        self.inbox.first_at = self.inbox.first_at or now
        if self._stream or self._finish is not None or self._has_stops:
            self.inbox.wake()

    def delta(self) -> Delta | None:
        """What came since the last call as one delta, or None if there is nothing to show yet.

        Without streaming that is the whole answer, once it has ended.
        """
        if self._finish == "NONE":
            raise SixfoldError(Reason.ENGINE_FAILED, "The engine ran out of room for this answer.")
        ids, self._ids = self._ids, []
        self.tokens += len(ids)
        kept = self._kept
        text, stopped = self._pieces.push(ids)
        kept.text += text
        kept.token_count += len(ids)
        kept.logprobs += self._take_logprobs(ids)
        if stopped:
            kept.finish = Finish.STOP
        elif self._finish is not None:
            kept.text += self._pieces.rest()
            kept.finish = _FINISHES[self._finish]
        self.finished = kept.finish is not None
        if not self.finished and not (self._stream and (kept.text or kept.logprobs)):
            return None
        self._kept = Delta(self._choice)
        return kept

    def _take_logprobs(self, ids: list[int]) -> list[TokenLogprob]:
        values, self._logprobs = self._logprobs, []
        entries = []
        for token, value in zip(ids, values, strict=False):
            raw = token_bytes(self._tokenizer, token)
            if raw is not None:
                entries.append(TokenLogprob(raw.decode("utf-8", "replace"), value, raw))
        return entries
