"""Server-sent events of an answer.

Nearly every piece is text of one choice and nothing else, so the bytes around it are made once for a
stream: a piece costs one `orjson.dumps` of a string and two concatenations.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import orjson

from gateway.openai.answer import completion_logprobs, fingerprint, logprob_entry, tool_call, usage_of
from gateway.openai.errors import error_body
from gateway.openai.pieces import FINISH_REASONS, Delta, ServedBy
from servicekit.errors import SixfoldError

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"
_dumps = orjson.dumps


class Writer(Protocol):
    """What turns an answer into the events of one stream."""

    def begin(self) -> bytes:
        """What comes before the first piece."""
        ...

    def pieces(self, deltas: Iterable[Delta]) -> list[bytes]:
        """The events of some pieces, to be joined and sent at once."""
        ...

    def end(self, usage: Sequence[int]) -> bytes:
        """What follows the last piece of a complete answer."""
        ...

    def broken(self, error: SixfoldError) -> bytes:
        """What ends an answer that has begun and broke off."""
        ...

    def replay(self, record: dict[str, Any]) -> bytes:
        """A kept answer as a whole stream."""
        ...


class ChunkWriter:
    """Common to both shapes: the head of every event, and the last events of a stream."""

    __slots__ = ("_after", "_before", "_head", "_seen", "_usage", "include_usage")
    object = ""

    def __init__(self, identifier: str, created: int, served_by: ServedBy, include_usage: bool) -> None:
        head = _dumps(
            {
                "id": identifier,
                "object": self.object,
                "created": created,
                "model": served_by.model,
                "system_fingerprint": fingerprint(served_by.version),
            }
        )
        self._head = b"data: " + head[:-1]
        self.include_usage = include_usage
        self._usage = b',"usage":null' if include_usage else b""
        self._seen: set[int] = set()
        self._before = b""
        self._after = b""

    def _event(self, choice: dict[str, Any]) -> bytes:
        return self._head + b',"choices":[' + _dumps(choice) + b"]" + self._usage + b"}\n\n"

    def begin(self) -> bytes:
        """Nothing: every event is like the others."""
        return b""

    def broken(self, error: SixfoldError) -> bytes:
        """OpenAI's error object as the last event, and no [DONE]."""
        return b"data: " + error_body(error) + b"\n\n"

    def pieces(self, deltas: Iterable[Delta]) -> list[bytes]:
        """The events of some pieces, to be joined and sent at once."""
        out: list[bytes] = []
        for delta in deltas:
            if (
                delta.choice_index == 0
                and 0 in self._seen
                and delta.text
                and not delta.finish_reason
                and not delta.logprobs
                and not delta.extra_json
                and not delta.reasoning
                and not delta.refusal
                and not delta.tool_calls
            ):
                out += (self._before, _dumps(delta.text), self._after)
            else:
                self._full(delta, out)
        return out

    def _full(self, delta: Delta, out: list[bytes]) -> None:
        raise NotImplementedError

    def replay(self, record: dict[str, Any]) -> bytes:
        """A kept answer as a stream."""
        raise NotImplementedError

    def end(self, usage: Sequence[int]) -> bytes:
        """What follows the last piece of a complete answer."""
        if not self.include_usage:
            return DONE
        return self._head + b',"choices":[],"usage":' + _dumps(usage_of(usage)) + b"}\n\n" + DONE


class ChatChunks(ChunkWriter):
    """`chat.completion.chunk` events."""

    __slots__ = ()
    object = "chat.completion.chunk"

    def __init__(self, identifier: str, created: int, served_by: ServedBy, include_usage: bool) -> None:
        super().__init__(identifier, created, served_by, include_usage)
        self._before = self._head + b',"choices":[{"index":0,"delta":{"content":'
        self._after = b'},"logprobs":null,"finish_reason":null}]' + self._usage + b"}\n\n"

    def _first(self, index: int, out: list[bytes]) -> None:
        self._seen.add(index)
        delta = {"role": "assistant", "content": "", "refusal": None}
        out.append(self._event({"index": index, "delta": delta, "logprobs": None, "finish_reason": None}))

    def _full(self, delta: Delta, out: list[bytes]) -> None:
        index = delta.choice_index
        if index not in self._seen:
            self._first(index, out)
        said: dict[str, Any] = {}
        if delta.text:
            said["content"] = delta.text
        if delta.reasoning:
            said["reasoning_content"] = delta.reasoning
        if delta.refusal:
            said["refusal"] = delta.refusal
        if delta.tool_calls:
            said["tool_calls"] = [_tool_piece(p.index, p.id, p.name, p.arguments) for p in delta.tool_calls]
        if delta.extra_json:
            said = {**orjson.loads(delta.extra_json), **said}
        entries = [logprob_entry(entry) for entry in delta.logprobs]
        self._say(index, said, entries, FINISH_REASONS.get(delta.finish_reason), out)

    def _say(
        self, index: int, said: dict[str, Any], logprobs: list[Any], finish: str | None, out: list[bytes]
    ) -> None:
        if said or logprobs:
            shaped = {"content": logprobs, "refusal": None} if logprobs else None
            out.append(
                self._event({"index": index, "delta": said, "logprobs": shaped, "finish_reason": None})
            )
        if finish:
            out.append(self._event({"index": index, "delta": {}, "logprobs": None, "finish_reason": finish}))

    def replay(self, record: dict[str, Any]) -> bytes:
        """A kept answer as a stream."""
        out: list[bytes] = []
        for index, choice in enumerate(record["choices"]):
            self._first(index, out)
            said: dict[str, Any] = dict(choice["extra"])
            if choice["reasoning"]:
                said["reasoning_content"] = choice["reasoning"]
            if choice["text"]:
                said["content"] = choice["text"]
            if choice["refusal"]:
                said["refusal"] = choice["refusal"]
            if choice["tool_calls"]:
                said["tool_calls"] = [
                    {"index": at, **tool_call(call)} for at, call in enumerate(choice["tool_calls"])
                ]
            self._say(index, said, choice["logprobs"], choice["finish"], out)
        out.append(self.end(record["usage"]))
        return b"".join(out)


def _tool_piece(index: int, identifier: str, name: str, arguments: str) -> dict[str, Any]:
    if not identifier and not name:
        return {"index": index, "function": {"arguments": arguments}}
    return {
        "index": index,
        "id": identifier,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


class CompletionChunks(ChunkWriter):
    """`text_completion` events. `echo` is put before every answer."""

    __slots__ = ("_echo", "_offsets")
    object = "text_completion"

    def __init__(
        self, identifier: str, created: int, served_by: ServedBy, include_usage: bool, echo: str = ""
    ) -> None:
        super().__init__(identifier, created, served_by, include_usage)
        self._before = self._head + b',"choices":[{"index":0,"text":'
        self._after = b',"logprobs":null,"finish_reason":null}]' + self._usage + b"}\n\n"
        self._echo = echo
        self._offsets: dict[int, int] = {}

    def _full(self, delta: Delta, out: list[bytes]) -> None:
        entries = [logprob_entry(entry) for entry in delta.logprobs]
        finish = FINISH_REASONS.get(delta.finish_reason)
        self._say(delta.choice_index, delta.text, entries, finish, out)

    def _say(self, index: int, text: str, logprobs: list[Any], finish: str | None, out: list[bytes]) -> None:
        offset = self._offsets.get(index, len(self._echo))
        self._offsets[index] = offset + len(text)
        if index not in self._seen:
            self._seen.add(index)
            text = self._echo + text
        shaped = completion_logprobs(logprobs, offset)
        out.append(self._event({"index": index, "text": text, "logprobs": shaped, "finish_reason": finish}))

    def replay(self, record: dict[str, Any]) -> bytes:
        """A kept answer as a stream."""
        out: list[bytes] = []
        for index, choice in enumerate(record["choices"]):
            self._say(index, choice["text"], choice["logprobs"], choice["finish"], out)
        out.append(self.end(record["usage"]))
        return b"".join(out)
