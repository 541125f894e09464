"""How large passages are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Strategy:
    """Sizes in tokens, as `tokens.estimate` counts them. Raises ValueError for what cannot be done.

    The default fits a model that reads 256 tokens, headings included. OpenAI's own is 800 and 400.
    """

    max_tokens: int = 200
    overlap_tokens: int = 40

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ValueError("max_tokens must be positive")
        if not 0 <= self.overlap_tokens <= self.max_tokens // 2:
            raise ValueError("overlap_tokens must be between 0 and half of max_tokens")
