"""The engine for `triton://` URLs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from time import monotonic
from typing import Any

from model_service.adapters.common.chat_template import Prompts, empty, too_long
from model_service.adapters.common.estimate import estimated
from model_service.adapters.common.slots import Slots
from model_service.adapters.remote.options import known_of, read_options
from model_service.adapters.triton import failures
from model_service.adapters.triton.address import Address
from model_service.adapters.triton.answer import Answer
from model_service.adapters.triton.options import TritonOptions
from model_service.adapters.triton.request import build, capabilities, check, unsupported
from model_service.adapters.triton.server import ModelServer, Served
from model_service.adapters.triton.stream import Cancels, stream_responses
from model_service.engines.types import Card, Counted, Event, Generation, Load
from servicekit.errors import Reason, SixfoldError

_UNLOAD_SECONDS = 20.0


class TritonEngine:
    """A text engine whose model runs in a Triton Inference Server."""

    def __init__(self, name: str, url: str, options: dict[str, Any]) -> None:
        self._name = name
        self._options = read_options(TritonOptions, name, options)
        self._address = Address.parse(url)
        self._profile = self._address.profile
        credentials = self._options.credentials() if self._address.tls else None
        self._server = ModelServer(self._address, credentials)
        self._slots = Slots(self._options.max_running, self._options.max_waiting)
        self._prompts: Prompts | None = None
        self._served: Served | None = None
        self._known: Card | None = None
        self._context = self._options.context_tokens
        self._loaded_here = False
        self._bringing_back: asyncio.Task[None] | None = None
        self._cancels = Cancels(self._options.connect_timeout)

    async def start(self) -> Card:
        """Load the model where the server has not, and describe it."""
        if self._options.tokenizer is not None and self._prompts is None:
            self._known = known_of(self._options.tokenizer)
            self._context = self._context or (self._known.context_tokens if self._known else 0)
            try:
                self._prompts = await asyncio.to_thread(Prompts, self._options.tokenizer, self._context)
            except (OSError, ValueError) as error:
                raise SixfoldError(
                    Reason.ENGINE_UNAVAILABLE, "The model's tokenizer or chat template cannot be read."
                ) from error
            self._context = self._prompts.context
        await self._server.wait_reachable(self._options.connect_timeout)
        await self._ensure_loaded()
        self._served = await self._server.describe()
        return self._card(self._served)

    async def generate(self, request: Generation) -> AsyncGenerator[Event, None]:
        """Deltas as they come, then one Usage."""
        arrived = monotonic()
        served = self._served
        if served is None:
            raise failures.not_loaded()
        check(request, self._profile)
        prompt, prompt_tokens = await self._prompt(request)
        max_tokens = self._max_tokens(request, prompt_tokens)
        message = build(
            request,
            self._profile,
            served,
            model=self._address.model,
            version=self._address.version,
            prompt=prompt,
            max_tokens=max_tokens,
        )
        async with self._slots.hold(request.deadline - (monotonic() - arrived)):
            started, first = monotonic(), 0.0
            answer = Answer(
                request.stop,
                max_tokens=max_tokens,
                cumulative=self._profile.cumulative or served.cumulative,
                prompt_tokens=prompt_tokens,
            )
            async with aclosing(self._stream(message, request.deadline - (started - arrived))) as responses:
                async for response in responses:
                    delta = answer.add(response)
                    first = first or monotonic()
                    if delta is not None:
                        yield delta
                    if answer.complete:
                        break
        yield answer.end()
        usage = answer.usage(self._prompts.count if self._prompts else None)
        usage.queue_seconds = started - arrived
        usage.ttft_seconds = (first or monotonic()) - arrived
        yield usage

    async def count_tokens(self, texts: list[str]) -> Counted:
        """Exact where `options.tokenizer` names the model's own."""
        if self._prompts is None:
            return estimated(texts)
        return Counted(await self._prompts.counts(texts), exact=True)

    async def health(self) -> None:
        """Raises ENGINE_UNAVAILABLE when the server is away, or its model, which is then loaded again."""
        if self._served is None:
            raise failures.not_loaded()
        if not await self._server.is_ready(self._options.connect_timeout):
            self._bring_back()
            raise failures.not_loaded()

    def load(self) -> Load:
        return self._slots.load()

    async def close(self) -> None:
        """End what runs, unload the model where that is ours to do, and close the connection."""
        served, self._served = self._served, None
        if self._bringing_back is not None:
            self._bringing_back.cancel()
            await asyncio.gather(self._bringing_back, return_exceptions=True)
        await self._cancels.close()
        unload = self._loaded_here if self._options.unload is None else self._options.unload
        if served is not None and unload:
            with contextlib.suppress(SixfoldError):  # a server that is gone holds no model
                await self._unload()
        self._loaded_here = False
        await self._server.close()

    async def _stream(self, message: Any, seconds: float) -> AsyncGenerator[Any, None]:
        """The responses. A server that lost its model, by a restart perhaps, is given it again."""
        ended = False
        try:
            async with aclosing(stream_responses(self._server.stub, message, seconds)) as responses:
                async for response in responses:
                    yield response
            ended = True
        except SixfoldError as failure:
            if self._served is None:  # closed while it ran
                raise failures.not_there() from failure
            if failure.reason in (Reason.ENGINE_UNAVAILABLE, Reason.STREAM_INTERRUPTED):
                self._bring_back()
            raise
        finally:
            if not ended and self._served is not None:
                self._cancels.send(self._server.stub, message, self._profile, self._served)

    def _bring_back(self) -> None:
        if self._served is None or not self._options.load:
            return
        if self._bringing_back is None or self._bringing_back.done():
            self._bringing_back = asyncio.create_task(self._reload())

    async def _reload(self) -> None:
        with contextlib.suppress(SixfoldError):  # the next request or health check tries again
            await self._server.wait_reachable(self._options.connect_timeout)
            await self._ensure_loaded()

    async def _ensure_loaded(self) -> None:
        if await self._server.is_ready():
            return
        if not self._options.load:
            raise failures.not_loaded()
        await self._server.load(self._options.load_timeout)
        self._loaded_here = True

    async def _unload(self) -> None:
        await self._server.unload()
        until = monotonic() + _UNLOAD_SECONDS
        while await self._server.is_ready() and monotonic() < until:  # noqa: ASYNC110 - Triton sends no word
            await asyncio.sleep(0.05)

    async def _prompt(self, request: Generation) -> tuple[str, int]:
        """The prompt as text, and its tokens (0 when there is nothing to count with)."""
        if self._prompts is not None:
            text = self._prompts.text(request)
            return text, len(await self._prompts.ids(text))
        if request.messages is not None:
            raise unsupported("messages")
        if not request.prompt:
            raise empty()
        return request.prompt, 0

    def _max_tokens(self, request: Generation, prompt_tokens: int) -> int:
        """Tokens the answer may take. Raises CONTEXT_LENGTH_EXCEEDED."""
        if request.max_tokens is not None and request.max_tokens < 1:
            raise SixfoldError(Reason.INVALID_REQUEST, "max_tokens must be at least 1.", param="max_tokens")
        if not self._context or not prompt_tokens:
            return request.max_tokens or self._options.max_tokens
        if prompt_tokens + (request.max_tokens or 1) > self._context:
            raise too_long(self._context, prompt_tokens, request.max_tokens or 1)
        return request.max_tokens or self._context - prompt_tokens

    def _card(self, served: Served) -> Card:
        card = self._options.card(
            self._name,
            "tritons" if self._address.tls else "triton",
            version=served.digest,
            capabilities=capabilities(
                self._profile, served, chat=bool(self._prompts and self._prompts.can_chat)
            ),
            known=self._known,
        )
        return replace(card, context_tokens=self._context)
