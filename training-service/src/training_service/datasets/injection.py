"""Instructions that somebody put into what a model is to learn.

A heuristic for answers and labels, not a guard: it knows the usual phrases and hidden characters, and
a paraphrase passes it. Questions may say such things (people ask about them); answers must not teach them.
"""

from __future__ import annotations

import re
import unicodedata

_PHRASES = re.compile(
    r"""
    \b(?:ignore|disregard|forget|override|bypass)\b[^.;]{0,40}\b(?:previous|prior|above|earlier|all|any|your|the)\b
        [^.;]{0,40}\b(?:instructions?|prompts?|rules?|directions?|guidelines?|context|training)\b
  | \byou\s+are\s+now\b.{0,60}\b(?:dan|unrestricted|jailbroken|developer\s+mode|free\s+of)\b
  | \b(?:reveal|print|show|repeat|output|leak)\b.{0,30}\b(?:system|hidden|secret|initial)\s+
        (?:prompt|instructions?|message)\b
  | \bnew\s+instructions?\s*:
  | \bdo\s+not\s+(?:follow|obey)\b.{0,40}\b(?:instructions?|rules?|policy)\b
  | <\|(?:im_start|im_end|system|endoftext|eot_id|start_header_id)\|>
  | \[/?INST\] | <</?SYS>>
  | ^\s*\#{2,}\s*(?:system|instruction)\b
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL | re.MULTILINE,
)
_TAGS = range(0xE0000, 0xE0080)
_TURNING = {0x202A, 0x202B, 0x202D, 0x202E, 0x2066, 0x2067, 0x2068}


def is_injected(text: str) -> bool:
    """Whether the text gives orders to a model, or hides some."""
    if any(ord(each) in _TAGS or ord(each) in _TURNING for each in text):
        return True
    return _PHRASES.search(unicodedata.normalize("NFKC", text)) is not None
