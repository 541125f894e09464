"""What the demo works on: rows to learn from, rows to measure by, questions to ask, all different."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_SEED = 6
_SHORT = 80
"""Characters of an example."""


@dataclass(frozen=True)
class Message:
    """What a customer writes, and the intent that a person sees in it."""

    text: str
    intent: str


@dataclass(frozen=True)
class Size:
    """How much of everything. Smaller is quicker and shows less."""

    intents: int = 12
    labelled: int = 27
    """Rows an intent to learn from; a share of them validates."""
    golden: int = 20
    """Rows an intent, of which half measure."""
    questions: int = 20
    """In all: asked at first, and again in the end."""


@dataclass(frozen=True)
class Material:
    """One task: which of a few intents a message has."""

    source: str
    """For people: where the rows come from."""
    customers: str
    """Whose: "a bank's", "a shop's"."""
    intents: tuple[str, ...]
    examples: tuple[Message, ...]
    """One an intent, for the prompt of a model that was not trained. They are in no other part."""
    labelled: tuple[Message, ...]
    golden: tuple[Message, ...]
    questions: tuple[Message, ...]
    traffic: tuple[Message, ...]
    """What customers ask while a canary runs, each once."""


def gather(folder: Path | None, size: Size) -> Material:
    """From the folder of real data, or made here when there is none. CliError when it cannot be used."""
    if folder is not None:
        from sixfold_cli.demo.banking import read

        pools = read(folder, size.intents)
        return _parted(pools.learn, pools.learn, pools.ask, size, pools.source, "a bank's")
    from sixfold_cli.demo.shop import make

    made = make(size.intents)
    return _parted(made.learn, made.golden, made.ask, size, made.source, "a shop's")


def _parted(
    learn: Mapping[str, Sequence[str]],
    golden: Mapping[str, Sequence[str]],
    ask: Mapping[str, Sequence[str]],
    size: Size,
    source: str,
    customers: str,
) -> Material:
    """`golden` may be the same pool as `learn`: then what one part takes, the other does not get."""
    draw = random.Random(_SEED)  # noqa: S311
    seen: set[str] = set()
    examples: list[Message] = []
    labelled: list[Message] = []
    measured: list[Message] = []
    asked: list[list[Message]] = []
    for intent in learn:
        fresh = _fresh(draw, learn[intent], intent, seen)
        examples.append(_plain(fresh))
        labelled += _some(fresh, size.labelled)
        measured += _some(_fresh(draw, golden[intent], intent, seen), size.golden)
        asked.append(list(_fresh(draw, ask[intent], intent, seen)))
    draw.shuffle(examples)
    draw.shuffle(labelled)
    draw.shuffle(measured)
    in_turn = [one for turn in range(max(map(len, asked))) for some in asked for one in some[turn : turn + 1]]
    questions, traffic = in_turn[: size.questions], in_turn[size.questions :]
    draw.shuffle(traffic)
    return Material(
        source, customers, tuple(learn), tuple(examples), tuple(labelled), tuple(measured),
        tuple(questions), tuple(traffic),
    )  # fmt: skip


def _fresh(draw: random.Random, pool: Sequence[str], intent: str, seen: set[str]) -> Iterator[Message]:
    """The pool in an order of its own, without what another part has. One by one, noted as taken."""
    for text in draw.sample(pool, len(pool)):
        folded = " ".join(text.casefold().split())
        if folded not in seen:
            seen.add(folded)
            yield Message(text, intent)


def _plain(fresh: Iterator[Message]) -> Message:
    """The next that is short: an example shall not confuse."""
    first = next(fresh)
    return next((message for message in (first, *_some(fresh, 5)) if len(message.text) <= _SHORT), first)


def _some(fresh: Iterator[Message], count: int) -> list[Message]:
    return [message for message, _ in zip(fresh, range(count), strict=False)]
