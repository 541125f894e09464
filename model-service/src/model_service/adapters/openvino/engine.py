"""The openvino:// engine."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from model_service.adapters.child.kept import KeptProcess
from model_service.adapters.common.chat_template import Prompts
from model_service.adapters.common.slots import Place, Slots
from model_service.adapters.openvino.answer import Answer, Inbox
from model_service.adapters.openvino.formats import WORKER, FormatChecker, to_pipeline
from model_service.adapters.openvino.options import OpenVinoOptions
from model_service.adapters.openvino.plan import plan
from model_service.adapters.openvino.prefixes import PrefixAccount
from model_service.engines.types import Capability, Card, Counted, Delta, Event, Generation, Load, Usage
from model_service.models.cards import for_serving, read_card
from servicekit.errors import Reason, SixfoldError


@dataclass(frozen=True, slots=True)
class _Model:
    """What is known once the model's folder has been read."""

    prompts: Prompts
    formats: FormatChecker
    defaults: Mapping[str, Any]
    context: int


class OpenVinoEngine:
    """One model in one engine process; many answers at once."""

    takes_extra = False

    def __init__(self, name: str, url: str, options: Mapping[str, Any]) -> None:
        """`url` is openvino:///path/to/folder. Nothing is loaded yet."""
        self._name = name
        self._folder = Path(url.partition("://")[2])
        self._options = OpenVinoOptions.parse(options)
        self._slots = Slots(self._options.max_running, self._options.max_waiting)
        self._prefixes = PrefixAccount(self._options.cache_tokens // 32)
        self._process = KeptProcess(
            name,
            [WORKER, str(self._folder), orjson.dumps(self._options.for_worker()).decode()],
            on_message=self._on_message,
            on_gone=self._on_gone,
            timeout=self._options.load_seconds,
        )
        self._model: _Model | None = None
        self._answers: dict[int, Answer] = {}
        self._inboxes: set[Inbox] = set()
        self._numbers = itertools.count(1)
        self._kv_usage = 0.0

    async def start(self) -> Card:
        """Load the model; seconds, most of them in the other process."""
        prepared = read_card(self._folder)
        if prepared is None or not (self._folder / "openvino_model.xml").exists():
            raise SixfoldError(
                Reason.ENGINE_UNAVAILABLE,
                f"The weights of {self._name} are not prepared. Run: python -m model_service prepare",
            )
        card = for_serving(prepared.card, name=self._name, engine="openvino")
        starting = asyncio.create_task(self._process.start())
        try:
            self._model = await asyncio.to_thread(self._read_model, card)
        except (OSError, ValueError, KeyError) as error:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            raise SixfoldError(
                Reason.ENGINE_UNAVAILABLE,
                f"The tokenizer or the chat template of {self._name} cannot be read.",
            ) from error
        await starting
        capabilities = card.capabilities | (
            {Capability.TOOLS} if self._model.prompts.has_tools else frozenset()
        )
        return Card(**{**_fields(card), "capabilities": capabilities, "context_tokens": self._model.context})

    async def generate(self, request: Generation) -> AsyncGenerator[Event, None]:
        """See TextEngine.generate."""
        arrived = time.monotonic()
        model = self._running_model()
        wanted = to_pipeline(request.format) if request.format else None
        if request.n > self._options.max_running:
            raise SixfoldError(
                Reason.INVALID_REQUEST, f"n must be at most {self._options.max_running}.", param="n"
            )
        ids = await model.prompts.encode(request)
        fields = plan(request, prompt_tokens=len(ids), context=model.context, defaults=model.defaults)
        if wanted is not None:
            await model.formats.check(wanted)
        place = self._slots.enter(request.n)
        inbox = Inbox(request.deadline - (time.monotonic() - arrived))
        self._inboxes.add(inbox)
        try:
            await inbox.turn(place.turn)
            usage = Usage(prompt_tokens=len(ids), queue_seconds=time.monotonic() - arrived)
            usage.cached_tokens = self._prefixes.cached(ids) if self._options.prefix_caching else 0
            answers = self._submit(request, inbox, ids, fields, wanted)
            unfinished = list(answers)
            while unfinished:
                await inbox.more()
                for delta in self._ready(unfinished):
                    if not usage.ttft_seconds:
                        usage.ttft_seconds = inbox.first_at - arrived
                        self._prefixes.remember(ids)
                    yield delta
            usage.completion_tokens = sum(answer.tokens for answer in answers)
            yield usage
        finally:
            self._end(inbox, place)

    async def count_tokens(self, texts: list[str]) -> Counted:
        """See TextEngine.count_tokens."""
        return Counted(await self._running_model().prompts.counts(texts), exact=True)

    @property
    def pid(self) -> int | None:
        """The engine process, for those who watch it."""
        return self._process.pid

    async def health(self) -> None:
        """Raise ENGINE_UNAVAILABLE while the process is not there."""
        self._running_model()

    def load(self) -> Load:
        """Counted in answers: a request with n = 3 runs three."""
        return self._slots.load(self._kv_usage)

    async def close(self) -> None:
        """End the process; running requests fail with ENGINE_UNAVAILABLE."""
        model, self._model = self._model, None
        self._fail_all(SixfoldError(Reason.ENGINE_UNAVAILABLE, "The model is being unloaded."))
        await self._process.close()
        if model is not None:
            await model.formats.close()

    def _read_model(self, card: Card) -> _Model:
        context = min(card.context_tokens or self._options.cache_tokens, self._options.cache_tokens)
        defaults = self._folder / "generation_config.json"
        prompts = Prompts(self._folder, context)
        vocabulary = prompts.tokenizer.get_vocab_size(with_added_tokens=True)
        return _Model(
            prompts,
            FormatChecker(self._folder, vocabulary, self._options.for_worker()),
            orjson.loads(defaults.read_bytes()) if defaults.exists() else {},
            context,
        )

    def _running_model(self) -> _Model:
        self._process.check()
        if self._model is None:
            raise SixfoldError(Reason.ENGINE_UNAVAILABLE, "The model is not loaded.")
        return self._model

    def _submit(
        self,
        request: Generation,
        inbox: Inbox,
        ids: list[int],
        fields: dict[str, Any],
        wanted: dict[str, str] | None,
    ) -> list[Answer]:
        """Hand the choices to the engine. Each is a request of its own: it ends and stops by itself."""
        model = self._running_model()
        answers = []
        for choice in range(request.n):
            number = next(self._numbers)
            seed = {"rng_seed": fields["rng_seed"] + choice} if "rng_seed" in fields else {}
            answer = Answer(number, choice, inbox, model.prompts.tokenizer, request)
            answers.append(answer)
            inbox.answers.append(answer)
            self._answers[number] = answer
            self._process.send({"add": number, "ids": ids, "config": fields | seed, "format": wanted})
        return answers

    def _ready(self, unfinished: list[Answer]) -> list[Delta]:
        """The next delta of each choice that has one. Takes those that have ended off the list."""
        deltas = [delta for answer in unfinished if (delta := answer.delta()) is not None]
        for answer in [answer for answer in unfinished if answer.finished]:
            unfinished.remove(answer)
            self._drop(answer)
        return deltas

    def _drop(self, answer: Answer) -> None:
        """Stop the engine's work for an answer, before its next step; nothing if it has ended."""
        if self._answers.pop(answer.number, None) is not None:
            self._process.send({"cancel": answer.number})

    def _end(self, inbox: Inbox, place: Place) -> None:
        """Free what a request holds."""
        for answer in inbox.answers:
            self._drop(answer)
        inbox.close()
        self._inboxes.discard(inbox)
        self._slots.leave(place)

    def _on_message(self, message: dict[str, Any]) -> None:
        """One call a step: give every answer its tokens."""
        if "rows" in message:
            self._kv_usage = message["kv"]
            now = time.monotonic()
            for number, ids, logprobs, finish in message["rows"]:
                answer = self._answers.get(number)
                if answer is None:
                    continue
                if finish is not None:
                    del self._answers[number]
                answer.take(ids, logprobs, finish, now)
        elif "refused" in message:
            refused = self._answers.pop(message["refused"], None)
            if refused is not None:
                refused.inbox.fail(
                    SixfoldError(Reason.INVALID_REQUEST, "The engine does not take these parameters.")
                )

    def _on_gone(self) -> None:
        """The process ended by itself: fail what it was doing. It is started again."""
        self._kv_usage = 0.0
        self._prefixes.clear()
        self._fail_all(SixfoldError(Reason.ENGINE_FAILED, "The engine broke off and is starting again."))

    def _fail_all(self, error: SixfoldError) -> None:
        for inbox in list(self._inboxes):
            inbox.fail(error)
        self._answers.clear()


def _fields(card: Card) -> dict[str, Any]:
    return {name: getattr(card, name) for name in Card.__dataclass_fields__}
