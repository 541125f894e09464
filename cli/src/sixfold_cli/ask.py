"""`sixfold ask`: one question, its answer as it comes."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Any

from sixfold_cli.client import Api
from sixfold_cli.documents.sources import label, listing
from sixfold_cli.errors import CliError, Exit
from sixfold_cli.options import print_json

_MAX_QUESTION = 1024 * 1024
_FROM_DOCUMENTS = 400
"""Tokens of an answer over documents unless somebody says otherwise: a small model may never end."""


@dataclass(frozen=True)
class Question:
    """What is asked. `text` "-" stands for standard input."""

    text: str
    model: str
    system: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None
    stores: tuple[str, ...] = ()
    """Ids of the stores to answer from."""
    filters: dict[str, object] | None = None

    def body(self) -> dict[str, Any]:
        """The request, streamed, with the usage at its end."""
        text = sys.stdin.read(_MAX_QUESTION + 1) if self.text == "-" else self.text
        if not text.strip():
            raise CliError("the question is empty.", reason="EMPTY_QUESTION", code=Exit.USAGE)
        if len(text) > _MAX_QUESTION:
            raise CliError(
                "the question is longer than a million characters.", reason="TOO_LONG", code=Exit.USAGE
            )
        messages = [{"role": "system", "content": self.system}] if self.system else []
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [*messages, {"role": "user", "content": text}],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        chosen = {
            "max_completion_tokens": self.max_tokens or (_FROM_DOCUMENTS if self.stores else None),
            "temperature": self.temperature,
            "seed": self.seed,
            "vector_store_ids": list(self.stores) or None,
            "file_search": {"filters": self.filters} if self.filters else None,
        }
        return body | {name: value for name, value in chosen.items() if value is not None}


def answer(api: Api, question: Question, *, timeout: float, verbose: bool, as_json: bool) -> str:
    """Streams the answer to standard output, or prints it whole as JSON; the request's id."""
    start, first = time.monotonic(), 0.0
    parts: list[str] = []
    citations: list[dict[str, Any]] = []
    model, finish, usage = question.model, None, None
    with api.stream("/v1/chat/completions", question.body(), timeout) as (headers, events):
        for event in events:
            model = event.get("model") or model
            usage = event.get("usage") or usage
            for choice in event.get("choices", [])[:1]:
                delta = choice.get("delta") or {}
                text = delta.get("content") or ""
                citations += delta.get("annotations") or []
                finish = choice.get("finish_reason") or finish
                if text:
                    first = first or time.monotonic()
                    parts.append(text)
                    if not as_json:
                        sys.stdout.write(text)
                        sys.stdout.flush()
    seconds, content = time.monotonic() - start, "".join(parts)
    if not as_json and not content.endswith("\n"):
        sys.stdout.write("\n")
    facts = {
        "model": headers.get("x-sixfold-model") or model,
        "finish_reason": finish,
        "usage": usage,
        "first_token_seconds": round(first - start, 3) if first else None,
        "seconds": round(seconds, 3),
        "request_id": headers.get("x-request-id"),
        "route": headers.get("x-sixfold-route"),
        "cache": headers.get("x-sixfold-cache"),
    }
    found = label(api, citations) if question.stores else []
    if as_json:
        print_json({"content": content, **({"sources": found} if question.stores else {}), **facts})
    else:
        if question.stores:
            print("\n".join(["", *listing(found, headers.get("x-sixfold-grounding", ""))]))
        if finish == "length":
            print("(cut at its longest: --max-tokens gives it more)", file=sys.stderr)
    if verbose:
        print(_summary(facts), file=sys.stderr)
    return str(facts["request_id"] or "")


def _summary(facts: dict[str, Any]) -> str:
    usage, seconds = facts["usage"] or {}, facts["seconds"]
    tokens = usage.get("completion_tokens") or 0
    parts = [str(facts["model"])]
    if facts["route"]:
        parts.append(str(facts["route"]))
    if facts["cache"]:
        parts.append(f"cache {facts['cache']}")
    parts.append(f"{usage.get('prompt_tokens', '?')} + {tokens} tokens")
    if facts["first_token_seconds"] is not None:
        parts.append(f"first after {facts['first_token_seconds']:.2f} s")
    parts.append(f"{seconds:.2f} s")
    if seconds > 0 and tokens:
        parts.append(f"{tokens / seconds:.0f} tokens/s")
    if facts["request_id"]:
        parts.append(f"request {facts['request_id']}")
    return " · ".join(parts)
