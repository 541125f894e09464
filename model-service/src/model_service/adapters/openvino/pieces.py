"""From token ids to text, piece by piece: whole characters only, and never past a stop string."""

from __future__ import annotations

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream


class StopMatcher:
    """Finds stop strings across pieces; what might still become one is held back."""

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._kept = ""

    def push(self, text: str) -> tuple[str, bool]:
        """The text that is safe to show, and whether a stop string was met (nothing follows then)."""
        if not self._stops:
            return text, False
        self._kept += text
        found = [at for at in (self._kept.find(stop) for stop in self._stops) if at >= 0]
        if found:
            shown, self._kept = self._kept[: min(found)], ""
            return shown, True
        hold = max(self._overlap(stop) for stop in self._stops)
        shown, self._kept = self._kept[: len(self._kept) - hold], self._kept[len(self._kept) - hold :]
        return shown, False

    def rest(self) -> str:
        """What was held back, once no more text comes."""
        rest, self._kept = self._kept, ""
        return rest

    def _overlap(self, stop: str) -> int:
        """Length of the longest end of the kept text that begins the stop string."""
        for length in range(min(len(stop) - 1, len(self._kept)), 0, -1):
            if self._kept.endswith(stop[:length]):
                return length
        return 0


class Pieces:
    """Decodes one answer. Bytes of a character that is never finished are dropped."""

    def __init__(self, tokenizer: Tokenizer, stops: tuple[str, ...]) -> None:
        self._tokenizer = tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)
        self._stops = StopMatcher(stops)

    def push(self, ids: list[int]) -> tuple[str, bool]:
        """The next text, and whether a stop string was met."""
        step, tokenizer = self._stream.step, self._tokenizer
        text = "".join([piece for token in ids if (piece := step(tokenizer, token))])
        return self._stops.push(text)

    def rest(self) -> str:
        """What was held back for a stop string that did not come."""
        return self._stops.rest()
