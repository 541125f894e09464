"""The engine for `openai+http://` and `openai+https://` URLs."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from time import monotonic
from typing import Any

import orjson

from model_service.adapters.common.slots import Slots
from model_service.adapters.openai import failures
from model_service.adapters.openai.body import build_body
from model_service.adapters.openai.chunks import Malformed, Reader
from model_service.adapters.openai.client import Client, Reply
from model_service.adapters.openai.options import OpenAIOptions, base_url
from model_service.adapters.openai.sse import Events, TooLong
from model_service.adapters.openai.tokenize import Counter
from model_service.adapters.remote.options import read_options
from model_service.engines.types import Capability, Card, Counted, Delta, Event, Generation, Load, Usage
from servicekit.errors import Reason, SixfoldError

_DONE = b"[DONE]"
_CHARACTERS_A_TOKEN = 4  # of English text, roughly
_GUESS = frozenset(
    {Capability.CHAT, Capability.COMPLETION, Capability.SEED, Capability.STRUCTURED_OUTPUT, Capability.TOOLS}
)


class OpenAIEngine:
    """A text engine whose model runs behind a compatible server."""

    def __init__(self, name: str, url: str, options: dict[str, Any]) -> None:
        self._name = name
        self._options = read_options(OpenAIOptions, name, options)
        self._base = base_url(url)
        self._model = self._options.model or name
        official = self._base.startswith("https://api.openai.com/")
        default_field = "max_completion_tokens" if official else "max_tokens"
        self._max_tokens_field = self._options.max_tokens_field or default_field
        self._client = Client(self._base, self._options)
        self._counter = Counter(self._base, self._model, self._options)
        self._slots = Slots(self._options.max_running, self._options.max_waiting)
        self._started = False

    async def start(self) -> Card:
        """See that the server is there, and describe the model."""
        self._options.key()
        models = await self._models()
        self._started = True
        named = next((entry for entry in models if entry.get("id") == self._model), {})
        card = self._options.card(
            self._name,
            "openai+" + self._base.partition("://")[0],
            # Such servers do not say which weights they run; `version` in the options does.
            version=hashlib.sha256(f"{self._base} {self._model}".encode()).hexdigest()[:16],
            capabilities=_GUESS,
        )
        window = card.context_tokens or named.get("max_model_len") or named.get("context_length") or 0
        return replace(card, context_tokens=window if isinstance(window, int) else 0)

    async def generate(self, request: Generation) -> AsyncGenerator[Event, None]:
        """Deltas as they come, then one Usage."""
        if not self._started:
            raise failures.unreachable()
        arrived = monotonic()
        path = "/completions" if request.messages is None else "/chat/completions"
        body = build_body(
            request,
            model=self._model,
            max_tokens_field=self._max_tokens_field if request.messages is not None else "max_tokens",
            include_usage=self._options.include_usage,
        )
        # Without a stream the answer begins when it is whole.
        patience = self._options.first_token_timeout if request.stream else request.deadline
        first, pieces, reader = 0.0, 0, Reader()
        async with self._slots.hold(request.deadline):
            started = monotonic()
            try:
                async with (
                    self._client.send(
                        "POST", path, body, first=patience, deadline=arrived + request.deadline
                    ) as reply,
                    aclosing(self._deltas(reply, reader)) as deltas,
                ):
                    async for delta in deltas:
                        first = first or monotonic()
                        pieces += 1
                        yield delta
            except SixfoldError as error:
                if self._started:
                    raise
                raise failures.unreachable() from error  # closed while it ran
            usage = reader.usage or _estimate(request, pieces)
            usage.queue_seconds = started - arrived
            usage.ttft_seconds = (first or monotonic()) - arrived
        yield usage

    async def count_tokens(self, texts: list[str]) -> Counted:
        """See TextEngine.count_tokens: exact where the server counts."""
        return await self._counter.count(texts)

    async def health(self) -> None:
        """Raises SixfoldError when the server is away or does not let this service in."""
        await self._models()

    def load(self) -> Load:
        return self._slots.load()

    async def close(self) -> None:
        """Close every connection; answers under way end with an error."""
        self._started = False
        await self._client.close()
        await self._counter.close()

    async def _deltas(self, reply: Reply, reader: Reader) -> AsyncGenerator[Delta, None]:
        """Deltas of a stream or of a whole answer, whichever the server sends. Raises SixfoldError."""
        if not reply.streams:
            for delta in _read(reader, await reply.json()):
                yield delta
            return
        events, done = Events(self._options.max_line_bytes), False
        async with aclosing(reply.pieces()) as pieces:
            async for piece in pieces:
                try:
                    found = events.feed(piece)
                except TooLong as error:
                    raise failures.too_large() from error
                for data in found:
                    if data == _DONE:
                        done = True
                        continue
                    for delta in _read(reader, _parse(data)):
                        yield delta
        for data in events.end():
            done = done or data == _DONE
            if data != _DONE:
                for delta in _read(reader, _parse(data)):
                    yield delta
        if not done and not reader.finished:
            raise failures.cut(begun=reader.begun)

    async def _models(self) -> list[dict[str, Any]]:
        """What the server offers; empty where it does not tell. Raises SixfoldError."""
        seconds = self._options.connect_timeout
        try:
            async with self._client.send(
                "GET", "/models", None, first=seconds, deadline=monotonic() + seconds
            ) as reply:
                raw = await reply.json()
        except SixfoldError as error:
            if error.reason is Reason.MODEL_NOT_FOUND:  # a server without the list
                return []
            if error.reason is Reason.DEADLINE_EXCEEDED:
                raise failures.unreachable() from error
            raise
        listed = raw.get("data") if isinstance(raw, dict) else None
        return [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []


def _parse(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise failures.malformed() from error


def _read(reader: Reader, chunk: Any) -> list[Delta]:
    if isinstance(chunk, dict) and chunk.get("error"):
        raise failures.from_event(chunk["error"], begun=reader.begun)
    try:
        return reader.read(chunk)
    except Malformed as error:
        raise failures.malformed() from error


def _estimate(request: Generation, pieces: int) -> Usage:
    """Counts of an answer whose server gave none; marked, so that nobody takes them for exact."""
    text = request.prompt or orjson.dumps(request.messages).decode()
    return Usage(
        prompt_tokens=len(text) // _CHARACTERS_A_TOKEN + 1,
        completion_tokens=pieces,
        extra={"estimated": True},
    )
