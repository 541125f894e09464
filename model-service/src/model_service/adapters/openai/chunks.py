"""Chunks and whole answers of a compatible server, read into events. What nobody here knows is kept."""

from __future__ import annotations

from typing import Any

from model_service.engines.types import Delta, Finish, TokenLogprob, ToolCallPiece, TopLogprob, Usage

_TOP = {"id", "object", "created", "model", "choices", "usage", "system_fingerprint", "error"}
_CHOICE = {"index", "delta", "message", "text", "finish_reason", "logprobs"}
_DELTA = {"role", "content", "reasoning_content", "reasoning", "refusal", "tool_calls"}
_USAGE = {"prompt_tokens", "completion_tokens", "total_tokens"}
_FINISH = {
    "stop": Finish.STOP,
    "length": Finish.LENGTH,
    "tool_calls": Finish.TOOL_CALLS,
    "function_call": Finish.TOOL_CALLS,
    "content_filter": Finish.CONTENT_FILTER,
}


class Malformed(Exception):
    """What came is not shaped as the protocol says."""


class Reader:
    """Reads the chunks of one answer, and remembers what its end needs."""

    def __init__(self) -> None:
        self.begun = False
        self.finished = 0
        """Choices that have ended."""
        self.usage: Usage | None = None
        self._extra: dict[str, Any] | None = None

    def read(self, chunk: Any) -> list[Delta]:
        """The deltas of a chunk, or of a whole answer. Raises Malformed."""
        try:
            return self._read(chunk)
        except (TypeError, AttributeError, KeyError, ValueError) as error:
            raise Malformed from error

    def _read(self, chunk: Any) -> list[Delta]:
        extra = {name: chunk[name] for name in chunk.keys() - _TOP} or None
        if chunk.get("usage"):
            self.usage = _usage(chunk["usage"], extra)
            extra = None
        if extra == self._extra:
            extra = None  # said once is enough
        elif extra is not None:
            self._extra = extra
        deltas = []
        for choice in chunk.get("choices") or ():
            delta = _delta(choice)
            if extra is not None:
                delta.extra, extra = {**extra, **(delta.extra or {})}, None
            if delta.finish is not None:
                self.finished += 1
            if _says_something(delta):
                self.begun = True
                deltas.append(delta)
        return deltas


def _delta(choice: dict[str, Any]) -> Delta:
    piece = choice.get("delta") or choice.get("message") or {}
    delta = Delta(choice=int(choice.get("index", 0)))
    delta.text = piece.get("content") or choice.get("text") or ""
    if piece.keys() - {"content", "role"}:
        delta.reasoning = piece.get("reasoning_content") or piece.get("reasoning") or ""
        delta.refusal = piece.get("refusal") or ""
        delta.tool_calls = [_call(call, place) for place, call in enumerate(piece.get("tool_calls") or ())]
    for value in (delta.text, delta.reasoning, delta.refusal):
        if not isinstance(value, str):
            raise TypeError
    if logprobs := choice.get("logprobs"):
        delta.logprobs = _logprobs(logprobs)
        delta.token_count = len(delta.logprobs)
    if reason := choice.get("finish_reason"):
        delta.finish = _FINISH.get(reason, Finish.STOP)
    unknown = {name: choice[name] for name in choice.keys() - _CHOICE}
    unknown |= {name: piece[name] for name in piece.keys() - _DELTA}
    delta.extra = {name: value for name, value in unknown.items() if value is not None} or None
    return delta


def _says_something(delta: Delta) -> bool:
    return bool(
        delta.text
        or delta.finish
        or delta.tool_calls
        or delta.reasoning
        or delta.refusal
        or delta.logprobs
        or delta.extra
    )


def _call(call: dict[str, Any], place: int) -> ToolCallPiece:
    function = call.get("function") or {}
    return ToolCallPiece(
        index=int(call.get("index", place)),
        id=call.get("id") or "",
        name=function.get("name") or "",
        arguments=function.get("arguments") or "",
    )


def _logprobs(raw: dict[str, Any]) -> list[TokenLogprob]:
    if raw.get("content"):
        return [
            TokenLogprob(
                entry["token"],
                float(entry["logprob"]),
                _bytes(entry),
                tuple(
                    TopLogprob(top["token"], float(top["logprob"]), _bytes(top))
                    for top in entry.get("top_logprobs") or ()
                ),
            )
            for entry in raw["content"]
        ]
    # The older protocol: parallel lists, and candidates as {token: logprob}.
    tokens, values = raw.get("tokens") or (), raw.get("token_logprobs") or ()
    tops = raw.get("top_logprobs") or [None] * len(tokens)
    return [
        TokenLogprob(
            token,
            float(value or 0.0),
            token.encode(),
            tuple(TopLogprob(text, float(logprob), text.encode()) for text, logprob in (top or {}).items()),
        )
        for token, value, top in zip(tokens, values, tops, strict=False)
    ]


def _bytes(entry: dict[str, Any]) -> bytes:
    given = entry.get("bytes")
    return bytes(given) if given is not None else str(entry["token"]).encode()


def _usage(raw: dict[str, Any], extra: dict[str, Any] | None) -> Usage:
    prompt = raw.get("prompt_tokens_details") or {}
    completion = raw.get("completion_tokens_details") or {}
    unknown = {name: raw[name] for name in raw.keys() - _USAGE if raw[name] is not None}
    return Usage(
        prompt_tokens=int(raw.get("prompt_tokens") or 0),
        completion_tokens=int(raw.get("completion_tokens") or 0),
        cached_tokens=int(prompt.get("cached_tokens") or 0),
        reasoning_tokens=int(completion.get("reasoning_tokens") or 0),
        drafted_tokens=int(completion.get("accepted_prediction_tokens") or 0)
        + int(completion.get("rejected_prediction_tokens") or 0),
        accepted_tokens=int(completion.get("accepted_prediction_tokens") or 0),
        extra={**(extra or {}), **unknown} or None,
    )
