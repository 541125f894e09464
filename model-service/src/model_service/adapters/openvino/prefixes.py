"""An account of which prompt beginnings the engine has kept, since the pipeline does not tell.

It mirrors the pipeline's rule: whole blocks of tokens, each known by everything before it, the least
recently used forgotten first. Counts are therefore in whole blocks, and a lower bound in practice.
"""

from __future__ import annotations

from collections import OrderedDict

BLOCK_TOKENS = 32


class PrefixAccount:
    """Remembers up to `blocks` blocks."""

    def __init__(self, blocks: int) -> None:
        self._blocks = blocks
        self._known: OrderedDict[int, None] = OrderedDict()

    def cached(self, ids: list[int]) -> int:
        """Tokens at the start of a prompt that need no computing; the last token always does."""
        count = 0
        for key in _keys(ids[:-1]):
            if key not in self._known:
                break
            self._known.move_to_end(key)
            count += BLOCK_TOKENS
        return count

    def remember(self, ids: list[int]) -> None:
        """Note a prompt that has been computed."""
        for key in _keys(ids):
            self._known[key] = None
            self._known.move_to_end(key)
        while len(self._known) > self._blocks:
            self._known.popitem(last=False)

    def clear(self) -> None:
        """The engine has started anew."""
        self._known.clear()


def _keys(ids: list[int]) -> list[int]:
    key, keys = 0, []
    for at in range(0, len(ids) - BLOCK_TOKENS + 1, BLOCK_TOKENS):
        key = hash((key, *ids[at : at + BLOCK_TOKENS]))
        keys.append(key)
    return keys
