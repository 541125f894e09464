"""A set made here, for those who have no data at hand: what customers of a shop write.

Phrasings stand in `shop.txt`, in three groups: what is learned, what measures and what is asked have no
phrasing in common, so that nothing leaks from one to the other. The same set every time.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

_SLOTS = {
    "item": (
        "jacket", "lamp", "kettle", "backpack", "pair of headphones", "desk", "scarf", "camera", "raincoat",
        "coffee grinder", "bicycle helmet", "sweater", "tent", "keyboard", "pair of boots", "dress",
    ),
    "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday", "3 May", "12 June"),
    "city": ("Leeds", "Porto", "Lyon", "Graz", "Oslo", "Turin", "Bergen", "Ghent", "Krakow", "Malmo"),
    "sum": ("15 euros", "40 euros", "9.99", "120 euros", "25 pounds", "60 dollars", "74.50"),
}  # fmt: skip
_OPENINGS = ("", "", "", "Hello, ", "Hi there! ", "Good morning. ", "A question: ", "Please help. ")
_ENDINGS = ("", "", "", " Thank you.", " Thanks a lot!", " Please answer soon.", " Order 48{n}.")
_ROWS = 60
"""Texts that are tried for each phrasing; the same text twice counts once."""
GROUPS = ("learn", "golden", "ask")


@dataclass(frozen=True)
class Pools:
    """Texts by intent, in three groups."""

    source: str
    learn: Mapping[str, Sequence[str]]
    golden: Mapping[str, Sequence[str]]
    ask: Mapping[str, Sequence[str]]


def make(intents: int) -> Pools:
    """The first so many intents."""
    written = phrasings()
    chosen = list(written)[:intents]
    learn, golden, ask = (
        {intent: _texts(f"{group}/{intent}", written[intent][group]) for intent in chosen} for group in GROUPS
    )
    return Pools(f"a set made here ({len(chosen)} intents of a shop's customers)", learn, golden, ask)


def phrasings() -> dict[str, dict[str, list[str]]]:
    """Intent → group → phrasings, as they are written down."""
    found: dict[str, dict[str, list[str]]] = {}
    intent = ""
    for line in files(__package__).joinpath("shop.txt").read_text("utf-8").splitlines():
        if line.startswith("["):
            intent = line.strip("[]")
            found[intent] = {group: [] for group in GROUPS}
        elif line and not line.startswith("#"):
            group, _, text = line.partition(": ")
            found[intent][group].append(text)
    return found


def _texts(seed: str, phrasings: Sequence[str]) -> list[str]:
    draw = random.Random(seed)  # noqa: S311
    made = [_fill(draw, phrasing) for phrasing in phrasings for _ in range(_ROWS // len(phrasings))]
    return list(dict.fromkeys(made))


def _fill(draw: random.Random, phrasing: str) -> str:
    text = re.sub(r"\{(\w+)\}", lambda slot: draw.choice(_SLOTS[slot[1]]), phrasing)
    opening, ending = draw.choice(_OPENINGS), draw.choice(_ENDINGS)
    if opening.endswith(", ") or opening.endswith(": "):
        text = text[0].lower() + text[1:] if not text.startswith(("I ", "I'")) else text
    return opening + text + ending.replace("{n}", str(draw.randrange(100, 1000)))
