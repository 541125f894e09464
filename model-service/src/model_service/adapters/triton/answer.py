"""Responses of a stream, read into the pieces of one answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from model_service.adapters.remote.stops import Stops
from model_service.adapters.triton.wire import read_outputs
from model_service.engines.types import Delta, Finish, TokenLogprob, TopLogprob, Usage

_BROKEN = "�"
_FINISH = {"stop": Finish.STOP, "length": Finish.LENGTH}


class Answer:
    """The state of one answer. `add` takes responses, `end` says how it ended, `usage` what it used."""

    def __init__(
        self, stops: Sequence[str], *, max_tokens: int, cumulative: bool, prompt_tokens: int
    ) -> None:
        self._stops = Stops(stops)
        self._max_tokens = max_tokens
        self._cumulative = cumulative
        self._seen = ""
        self._finish: Finish | None = None
        self._untold = 0
        self._counted = False
        self._text: list[str] = []
        self._usage = Usage(prompt_tokens=prompt_tokens)

    @property
    def complete(self) -> bool:
        """Whether nothing more is wanted of the server: a stop string was met."""
        return self._stops.met

    def add(self, response: Any) -> Delta | None:
        """The next piece, if the response brings one that may be shown."""
        outputs = read_outputs(response)
        self._count(outputs)
        reason = b"".join(outputs.get("finish_reason", [])[:1]).decode(errors="replace")
        self._finish = _FINISH.get(reason, self._finish)
        text = self._stops.feed(self._new_text(outputs))
        logprobs = _logprobs(outputs)
        if not text and not logprobs:
            return None
        self._text.append(text)
        count, self._untold = self._untold, 0
        return Delta(text=text, token_count=count, logprobs=logprobs)

    def end(self) -> Delta:
        """The last piece: what was held back, and why the answer ended.

        Back ends that give no reason are told by their counts: at the limit it was the length.
        """
        rest = "" if self._stops.met else self._stops.flush()
        self._text.append(rest)
        finish = self._finish or Finish.STOP
        if self._finish is None and self._usage.completion_tokens >= self._max_tokens:
            finish = Finish.LENGTH
        return Delta(text=rest, token_count=self._untold, finish=Finish.STOP if self._stops.met else finish)

    def usage(self, count: Callable[[str], int] | None) -> Usage:
        """What it used; `count` counts the tokens of a text where the back end does not tell."""
        if not self._counted and count is not None:
            self._usage.completion_tokens = count("".join(self._text))
        return self._usage

    def _new_text(self, outputs: dict[str, list[Any]]) -> str:
        text = b"".join(outputs.get("text_output", [])[:1]).decode("utf-8", errors="replace")
        if not self._cumulative:
            return text
        text = text.rstrip(_BROKEN)  # half a character, which the next response completes
        if not text.startswith(self._seen):
            self._cumulative = False  # the server sends pieces after all
            return text
        new, self._seen = text[len(self._seen) :], text
        return new

    def _count(self, outputs: dict[str, list[Any]]) -> None:
        """Both counts come with each response: the prompt's whole, the answer's of this response."""
        if tokens := outputs.get("num_input_tokens"):
            self._usage.prompt_tokens = int(tokens[0])
        if tokens := outputs.get("num_output_tokens"):
            self._counted = True
            self._usage.completion_tokens += int(tokens[0])
            self._untold += int(tokens[0])
        if tokens := outputs.get("total_draft_tokens"):
            self._usage.drafted_tokens = int(tokens[0])
        if tokens := outputs.get("total_accepted_draft_tokens"):
            self._usage.accepted_tokens = int(tokens[0])


def _logprobs(outputs: dict[str, list[Any]]) -> list[TokenLogprob]:
    """vLLM's: a JSON list with, for each token, candidates by id: logprob, rank, decoded_token."""
    raw = b"".join(outputs.get("logprobs", [])[:1])
    if not raw or raw == b"null":
        return []
    found = []
    for candidates in json.loads(raw):
        # The token that was taken stands first.
        tokens = [(str(c["decoded_token"]), float(c["logprob"]), c["rank"]) for c in candidates.values()]
        token, logprob, _ = tokens[0]
        top = sorted(tokens, key=lambda candidate: candidate[2] or 0)
        found.append(
            TokenLogprob(
                token,
                logprob,
                token.encode(),
                tuple(TopLogprob(text, value, text.encode()) for text, value, _ in top),
            )
        )
    return found
