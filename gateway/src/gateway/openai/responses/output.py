"""A response while it grows: its items, and the events that tell of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from gateway.openai.answer import logprob_entry
from gateway.openai.errors import code_of
from gateway.openai.pieces import FINISH_REASONS, Delta
from gateway.openai.responses.items import new_id
from gateway.openai.responses.request import ResponseRequest
from gateway.retrieval.types import Hit
from servicekit.errors import SixfoldError

Tell = Callable[[str, dict[str, Any]], None]
"""Takes an event: its type and its fields."""
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


class ResponseBuilder:
    """Makes the `response` object out of pieces, and tells every step as an event."""

    def __init__(
        self, request: ResponseRequest, identifier: str, created: int, model: str, tell: Tell | None = None
    ) -> None:
        """`tell` gets the events in their order; without it only the object is made."""
        self._tell = tell or _say_nothing
        self._open: _Open | None = None
        self._finish = "stop"
        self.output: list[dict[str, Any]] = []
        self.response: dict[str, Any] = {
            "id": identifier,
            "object": "response",
            "created_at": created,
            "status": "in_progress",
            "background": False,
            "completed_at": None,
            "error": None,
            "incomplete_details": None,
            "model": model,
            "output": [],
            "service_tier": "default",
            "store": request.store,
            "truncation": "disabled",
            "usage": None,
            **request.echo,
        }
        self._results = request.results

    def begin(self, queries: Sequence[str] | None, hits: Sequence[Hit]) -> None:
        """The first events; `queries` are what was looked for, None when nothing was."""
        self._tell("response.created", {"response": self.response})
        self._tell("response.in_progress", {"response": self.response})
        if queries is None:
            return
        item: dict[str, Any] = {
            "id": new_id("fs"),
            "type": "file_search_call",
            "status": "in_progress",
            "queries": list(queries),
            "results": None,
        }
        place = {"output_index": 0, "item_id": item["id"]}
        self._tell("response.output_item.added", {"output_index": 0, "item": item})
        for step in ("in_progress", "searching", "completed"):
            self._tell(f"response.file_search_call.{step}", place)
        item["status"] = "completed"
        if self._results:
            item["results"] = [_result(hit) for hit in hits]
        self.output.append(item)
        self._tell("response.output_item.done", {"output_index": 0, "item": item})

    def add(self, delta: Delta) -> None:
        """Takes a piece in."""
        if delta.reasoning:
            self.reason(delta.reasoning)
        if delta.text:
            self.say(delta.text, [logprob_entry(entry) for entry in delta.logprobs])
        if delta.refusal:
            self.refuse(delta.refusal)
        if delta.extra_json:
            self.annotate(orjson.loads(delta.extra_json))
        for piece in delta.tool_calls:
            self.call(piece.index, piece.id, piece.name, piece.arguments)
        if delta.finish_reason:
            self._finish = FINISH_REASONS.get(delta.finish_reason, "stop")

    def take(self, choice: dict[str, Any]) -> None:
        """Takes a kept answer in, whole."""
        if choice["reasoning"]:
            self.reason(choice["reasoning"])
        if choice["text"]:
            self.say(choice["text"], choice["logprobs"])
        if choice["refusal"]:
            self.refuse(choice["refusal"])
        self.annotate(choice["extra"])
        for index, call in enumerate(choice["tool_calls"]):
            self.call(index, call["id"], call["name"], call["arguments"])
        self._finish = choice["finish"] or "stop"

    def say(self, text: str, logprobs: list[dict[str, Any]]) -> None:
        """Text for the caller."""
        part = self._part("output_text")
        part.more(text, logprobs)
        self._tell("response.output_text.delta", {**part.place, "delta": text, "logprobs": logprobs})

    def refuse(self, text: str) -> None:
        """The model's own words why it does not answer."""
        part = self._part("refusal")
        part.more(text, [])
        self._tell("response.refusal.delta", {**part.place, "delta": text})

    def reason(self, text: str) -> None:
        """What the model thinks before it answers."""
        part = self._part("reasoning_text")
        part.more(text, [])
        self._tell("response.reasoning_text.delta", {**part.place, "delta": text})

    def annotate(self, extra: Any) -> None:
        """Citations of what has been said."""
        found = extra.get("annotations") if isinstance(extra, dict) else None
        if not isinstance(found, list) or not found:
            return
        part = self._part("output_text")
        for annotation in found:
            fields = {**part.place, "annotation_index": len(part.annotations), "annotation": annotation}
            part.annotations.append(annotation)
            self._tell("response.output_text.annotation.added", fields)

    def call(self, index: int, identifier: str, name: str, arguments: str) -> None:
        """A piece of a call of one of the caller's functions."""
        held = self._open
        if held is None or held.kind != "function_call" or held.call != index:
            item = {
                "id": new_id("fc"),
                "type": "function_call",
                "status": "in_progress",
                "call_id": identifier or new_id("call"),
                "name": name,
                "arguments": "",
            }
            held = self._begin(_Open("function_call", item, len(self.output), call=index))
        if arguments:
            held.more(arguments, [])
            place = {"item_id": held.item["id"], "output_index": held.index}
            self._tell("response.function_call_arguments.delta", {**place, "delta": arguments})

    def finish(self, usage: Sequence[int]) -> None:
        """The end of a complete answer."""
        reason = _INCOMPLETE.get(self._finish)
        if not any(item["type"] in ("message", "function_call") for item in self.output):
            self._part("output_text")  # an answer of no words is still a message
        self._close("incomplete" if reason else "completed")
        response = self.response
        response["status"] = "incomplete" if reason else "completed"
        response["incomplete_details"] = {"reason": reason} if reason else None
        response["completed_at"] = None if reason else int(time.time())
        response["output"] = self.output
        response["usage"] = usage_of(usage)
        self._tell(f"response.{response['status']}", {"response": response})

    def fail(self, error: SixfoldError) -> None:
        """The end of an answer that broke off."""
        self._close("incomplete")
        response = self.response
        response["status"] = "failed"
        response["error"] = {
            "code": "rate_limit_exceeded" if error.status.http == 429 else "server_error",
            "message": error.message,
        }
        response["output"] = self.output
        self._tell("error", {"code": code_of(error), "message": error.message, "param": error.param})
        self._tell("response.failed", {"response": response})

    def _part(self, kind: str) -> _Open:
        """The open part of this kind. One of another kind ends; text and refusal share a message."""
        held = self._open
        if held is not None and held.kind == kind:
            return held
        if kind == "reasoning_text":
            item = {
                "id": new_id("rs"),
                "type": "reasoning",
                "status": "in_progress",
                "summary": [],
                "content": [],
            }
        else:
            item = {
                "id": new_id("msg"),
                "type": "message",
                "status": "in_progress",
                "role": "assistant",
                "content": [],
            }
        held = self._begin(_Open(kind, item, len(self.output)))
        self._tell("response.content_part.added", {**held.place, "part": held.part("")})
        return held

    def _begin(self, new: _Open) -> _Open:
        self._close("completed")
        self._open = new
        self.output.append(new.item)
        self._tell("response.output_item.added", {"output_index": new.index, "item": new.item})
        return new

    def _close(self, status: str) -> None:
        held, self._open = self._open, None
        if held is None:
            return
        text, item = held.text, held.item
        if held.kind == "function_call":
            item["arguments"] = text
            done = {
                "item_id": item["id"],
                "output_index": held.index,
                "name": item["name"],
                "arguments": text,
            }
            self._tell("response.function_call_arguments.done", done)
        else:
            part = held.part(text)
            said = {k: v for k, v in part.items() if k in ("text", "refusal", "logprobs")}
            self._tell(f"response.{held.kind}.done", {**held.place, **said})
            self._tell("response.content_part.done", {**held.place, "part": part})
            item["content"] = [part]
        item["status"] = status
        self._tell("response.output_item.done", {"output_index": held.index, "item": item})


class _Open:
    """The item that is being said."""

    def __init__(self, kind: str, item: dict[str, Any], index: int, call: int = -1) -> None:
        self.kind = kind
        self.item = item
        self.index = index
        self.call = call
        """The number of a function call."""
        self.annotations: list[dict[str, Any]] = []
        self.place = {"item_id": item["id"], "output_index": index, "content_index": 0}
        self._said: list[str] = []
        self._logprobs: list[dict[str, Any]] = []

    @property
    def text(self) -> str:
        """All that was said of it."""
        return "".join(self._said)

    def more(self, text: str, logprobs: list[dict[str, Any]]) -> None:
        """Takes in what is said next."""
        self._said.append(text)
        self._logprobs += logprobs

    def part(self, text: str) -> dict[str, Any]:
        """Its content, of which `text` is there by now."""
        if self.kind == "refusal":
            return {"type": "refusal", "refusal": text}
        if self.kind == "reasoning_text":
            return {"type": "reasoning_text", "text": text}
        return {
            "type": "output_text",
            "text": text,
            "annotations": list(self.annotations),
            "logprobs": self._logprobs,
        }


def usage_of(usage: Sequence[int]) -> dict[str, Any]:
    """The contract's usage object."""
    prompt, completion, cached, reasoning, *_ = usage
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": prompt + completion,
    }


def _result(hit: Hit) -> dict[str, Any]:
    return {
        "file_id": hit.file_id,
        "filename": hit.filename,
        "score": hit.score,
        "text": hit.passage.text,
        "attributes": dict(hit.attributes),
        "vector_store_id": hit.store_id,
        "passage_id": hit.passage.id,
        "page": hit.passage.page_first or None,
        "headings": list(hit.passage.headings),
    }


def _say_nothing(kind: str, fields: dict[str, Any]) -> None:
    """For those who want the object alone."""
