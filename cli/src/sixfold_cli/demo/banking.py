"""Banking77 (PolyAI, CC BY 4.0): what customers of a bank write, out of a folder of real data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sixfold_cli.errors import CliError, Exit

_PLACES = ("tune/banking77", "banking77", ".")
_FEWEST = 50
"""Messages of an intent."""
_LONGEST = 240
"""Characters of a message; a few in the set tell whole stories."""


@dataclass(frozen=True)
class Pools:
    """Texts by intent. `ask` is the set's own test part."""

    source: str
    learn: Mapping[str, Sequence[str]]
    ask: Mapping[str, Sequence[str]]


def read(folder: Path, intents: int) -> Pools:
    """So many intents, as far from one another in the file as can be. CliError without such files."""
    for place in _PLACES:
        inner = folder / place
        if (inner / "train.jsonl").is_file() and (inner / "test.jsonl").is_file():
            train, test = _texts(inner / "train.jsonl"), _texts(inner / "test.jsonl")
            known = [intent for intent in train if intent in test and len(train[intent]) >= _FEWEST]
            apart = max(1, len(known) // intents)
            chosen = known[::apart][:intents]
            if len(chosen) < 2:
                break
            return Pools(
                f"Banking77, {len(chosen)} of its {len(known)} intents (every {apart}th)",
                {intent: train[intent] for intent in chosen},
                {intent: test[intent] for intent in chosen},
            )
    raise CliError(
        f"{folder} has no tune/banking77/train.jsonl and test.jsonl with texts and labels.",
        "Name the right folder with SIXFOLD_DATA or --data; without it the demo makes a set by itself.",
        reason="NO_DATA",
        code=Exit.USAGE,
    )


def _texts(path: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    number = 0
    try:
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):  # noqa: B007
            row = json.loads(line)
            text, label = str(row["text"]), str(row["label"])
            if len(text) <= _LONGEST:
                found.setdefault(label, []).append(text)
    except (OSError, ValueError, KeyError, TypeError):
        raise CliError(f"{path}: line {number} is no row with text and label.", reason="BAD_DATA") from None
    return found
