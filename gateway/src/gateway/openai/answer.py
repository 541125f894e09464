"""A whole answer, gathered from its pieces, and written as one body.

`Choice` objects are JSON-native, so that the cache keeps exactly what was said.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from gateway.openai.pieces import (
    FINISH_REASONS,
    Delta,
    ServedBy,
    TokenLogprob,
    ToolCallPiece,
    TopLogprob,
    Usage,
)


class Choice:
    """One of the n answers while it grows."""

    __slots__ = ("extra", "finish", "logprobs", "reasoning", "refusal", "text", "tool_calls")

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.refusal: list[str] = []
        self.tool_calls: list[dict[str, str]] = []
        self.logprobs: list[dict[str, Any]] = []
        self.finish: str | None = None
        self.extra: dict[str, Any] = {}

    def add(self, delta: Delta) -> int:
        """Takes a piece in; gives the bytes of memory that it roughly holds."""
        size = len(delta.text)
        if delta.text:
            self.text.append(delta.text)
        if delta.reasoning:
            self.reasoning.append(delta.reasoning)
            size += len(delta.reasoning)
        if delta.refusal:
            self.refusal.append(delta.refusal)
        for piece in delta.tool_calls:
            size += len(piece.arguments) + 64
            self._add_tool_call(piece)
        if delta.logprobs:
            entries = [logprob_entry(entry) for entry in delta.logprobs]
            self.logprobs += entries
            size += 128 * sum(1 + len(entry["top_logprobs"]) for entry in entries)
        if delta.finish_reason:
            self.finish = FINISH_REASONS.get(delta.finish_reason, "stop")
        if delta.extra_json:
            size += len(delta.extra_json)
            merge(self.extra, orjson.loads(delta.extra_json))
        return size

    def _add_tool_call(self, piece: ToolCallPiece) -> None:
        if piece.index > 127:
            return
        while len(self.tool_calls) <= piece.index:
            self.tool_calls.append({"id": "", "name": "", "arguments": ""})
        call = self.tool_calls[piece.index]
        call["id"] = piece.id or call["id"]
        call["name"] = piece.name or call["name"]
        call["arguments"] += piece.arguments

    def plain(self) -> dict[str, Any]:
        """This answer as JSON-native values."""
        return {
            "text": "".join(self.text),
            "reasoning": "".join(self.reasoning),
            "refusal": "".join(self.refusal),
            "tool_calls": self.tool_calls,
            "logprobs": self.logprobs,
            "finish": self.finish,
            "extra": self.extra,
        }


class Gathered:
    """A whole answer: its choices, what it used, who gave it."""

    __slots__ = ("choices", "served_by", "size", "usage")

    def __init__(self) -> None:
        self.choices: list[Choice] = [Choice()]
        self.usage = Usage()
        self.served_by = ServedBy("", "", "")
        self.size = 0

    def add(self, deltas: Iterable[Delta]) -> None:
        """Takes pieces in."""
        choices = self.choices
        for delta in deltas:
            index = delta.choice_index
            while len(choices) <= index and index < 128:
                choices.append(Choice())
            self.size += choices[index].add(delta)

    def complete(self) -> bool:
        """Whether it was ended properly: who gave it is known, and every choice has its end."""
        return bool(self.served_by.model) and all(choice.finish for choice in self.choices)

    def record(self) -> dict[str, Any]:
        """What the cache keeps."""
        return {
            "choices": [choice.plain() for choice in self.choices],
            "usage": list(self.usage),
            "served_by": list(self.served_by),
        }


def merge(into: dict[str, Any], piece: Any) -> None:
    """Joins what engines stream beyond the contract: text and lists grow, the rest is replaced."""
    if not isinstance(piece, dict):
        return
    for key, value in piece.items():
        held = into.get(key)
        if isinstance(held, str) and isinstance(value, str):
            into[key] = held + value
        elif isinstance(held, list) and isinstance(value, list):
            into[key] = [*held, *value]
        elif isinstance(held, dict) and isinstance(value, dict):
            merge(held, value)
        else:
            into[key] = value


def _token(entry: TopLogprob) -> dict[str, Any]:
    return {"token": entry.token, "logprob": entry.logprob, "bytes": list(entry.token_bytes)}


def logprob_entry(entry: TokenLogprob) -> dict[str, Any]:
    """One token's log-probability in OpenAI's shape."""
    shaped = _token(entry)
    shaped["top_logprobs"] = [_token(top) for top in entry.top_logprobs]
    return shaped


def usage_of(usage: Sequence[int]) -> dict[str, Any]:
    """OpenAI's usage object."""
    prompt, completion, cached, reasoning, _, accepted = usage
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": accepted,
            "rejected_prediction_tokens": 0,
        },
    }


def fingerprint(version: str) -> str | None:
    """The name of the backend's configuration: the model's version, shortened."""
    return f"fp_{version[:16]}" if version else None


def write_chat(record: dict[str, Any], identifier: str, created: int) -> bytes:
    """A `chat.completion` body."""
    model, version, _ = record["served_by"]
    choices = []
    for index, choice in enumerate(record["choices"]):
        message: dict[str, Any] = {
            "role": "assistant",
            "content": choice["text"] or (None if choice["tool_calls"] or choice["refusal"] else ""),
            "refusal": choice["refusal"] or None,
            "annotations": choice["extra"].get("annotations", []),
        }
        if choice["reasoning"]:
            message["reasoning_content"] = choice["reasoning"]
        if choice["tool_calls"]:
            message["tool_calls"] = [tool_call(call) for call in choice["tool_calls"]]
        message.update({key: value for key, value in choice["extra"].items() if key not in message})
        logprobs = choice["logprobs"]
        choices.append(
            {
                "index": index,
                "message": message,
                "logprobs": {"content": logprobs, "refusal": None} if logprobs else None,
                "finish_reason": choice["finish"] or "stop",
            }
        )
    return orjson.dumps(
        {
            "id": identifier,
            "object": "chat.completion",
            "created": created,
            "model": model,
            "choices": choices,
            "usage": usage_of(record["usage"]),
            "service_tier": "default",
            "system_fingerprint": fingerprint(version),
        }
    )


def tool_call(call: dict[str, str]) -> dict[str, Any]:
    """A tool call in OpenAI's shape."""
    return {
        "id": call["id"],
        "type": "function",
        "function": {"name": call["name"], "arguments": call["arguments"]},
    }


def write_completion(record: dict[str, Any], identifier: str, created: int, echo: str) -> bytes:
    """A `text_completion` body. `echo` is put before every answer."""
    model, version, _ = record["served_by"]
    choices = [
        {
            "index": index,
            "text": echo + choice["text"],
            "logprobs": completion_logprobs(choice["logprobs"], len(echo)),
            "finish_reason": choice["finish"] or "stop",
        }
        for index, choice in enumerate(record["choices"])
    ]
    return orjson.dumps(
        {
            "id": identifier,
            "object": "text_completion",
            "created": created,
            "model": model,
            "choices": choices,
            "usage": usage_of(record["usage"]),
            "system_fingerprint": fingerprint(version),
        }
    )


def completion_logprobs(entries: list[dict[str, Any]], offset: int) -> dict[str, Any] | None:
    """The older endpoint's log-probabilities; `offset` is where the first token stands in the text."""
    if not entries:
        return None
    offsets = []
    for entry in entries:
        offsets.append(offset)
        offset += len(entry["token"])
    return {
        "tokens": [entry["token"] for entry in entries],
        "token_logprobs": [entry["logprob"] for entry in entries],
        "top_logprobs": [
            {top["token"]: top["logprob"] for top in entry["top_logprobs"]} for entry in entries
        ],
        "text_offset": offsets,
    }
