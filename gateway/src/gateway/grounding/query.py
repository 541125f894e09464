"""What to look for, taken from a conversation. No model is asked."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gateway.openai.request import Message

MAX_QUERY = 1000
"""Characters of one query; of a longer text its beginning and its end are taken, where questions stand."""
_SHORT_WORDS, _SHORT_HAN = 4, 10
_POINTS_BACK = re.compile(
    r"\b(it|its|they|them|their|he|she|his|her|this|that|these|those|there|then|one|ones|same|former|latter"
    r"|instead|else|also|why|how so)\b|^(and|but|or|so|what about|how about)\b",
    re.IGNORECASE,
)
_POINTS_BACK_HAN = re.compile(r"[它他她其这那此]|^(那么|还有|为什么|然后|呢)|呢[？?]?$")
_HAN = re.compile(r"[\u3400-\u9fff]")
_WORD = re.compile(r"\w+")


def text_of(message: Message) -> str:
    """The text of a turn, other parts left out."""
    return "\n".join(part for part in message.content if isinstance(part, str)).strip()


def queries_of(messages: Sequence[Message]) -> list[str]:
    """One or two queries: the last user turn, and for one that leans on what was said before, both together.

    Empty when no user turn has any text.
    """
    turns = [text for turn in messages if turn.role == "user" and (text := text_of(turn))]
    if not turns:
        return []
    last = _shortened(turns[-1])
    if len(turns) > 1 and leans_on_others(last):
        return [last, _shortened(f"{turns[-2]}\n{last}")]
    return [last]


def leans_on_others(text: str) -> bool:
    """Whether a question is hardly one by itself: very short, or pointing at something said before."""
    if len(_HAN.findall(text)) * 2 > len(text):
        return len(text) <= _SHORT_HAN or _POINTS_BACK_HAN.search(text) is not None
    return len(_WORD.findall(text)) <= _SHORT_WORDS or _POINTS_BACK.search(text) is not None


def _shortened(text: str) -> str:
    if len(text) <= MAX_QUERY:
        return text
    half = MAX_QUERY // 2
    return f"{text[:half]}\n{text[-half + 1 :]}"
