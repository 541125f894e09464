"""What a row is, and how it is written: one line of JSON in the form of the fine-tuning API."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson


class Kind(StrEnum):
    """What rows teach."""

    SUPERVISED = "supervised"
    PREFERENCE = "preference"


class Part(StrEnum):
    """Where a row lies after the split."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `trained` is false for an answer of weight 0, which is read and not learned."""

    role: str
    content: str
    trained: bool = True


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row was read: the source's name, and the line there, from 1."""

    source: str
    line: int


@dataclass(frozen=True, slots=True)
class Row:
    """A supervised row ends with an answer; a preference row is a prompt with two answers."""

    messages: tuple[Message, ...]
    place: Place
    chosen: str = ""
    rejected: str = ""
    label: str = ""
    """The class, where the source has a column for it."""
    part: Part | None = None
    """Where the source says that it belongs."""

    @property
    def kind(self) -> Kind:
        """By what it holds."""
        return Kind.PREFERENCE if self.chosen else Kind.SUPERVISED

    @property
    def prompt(self) -> tuple[Message, ...]:
        """All but the answer."""
        return self.messages if self.chosen else self.messages[:-1]

    @property
    def answer(self) -> str:
        """What is learned: the last answer, or the better one."""
        return self.chosen or self.messages[-1].content

    def question(self) -> str:
        """The text by which rows are compared: what people wrote, without the system's part if possible."""
        people = [message.content for message in self.prompt if message.role != "system"]
        return "\n".join(people or [message.content for message in self.prompt])

    def written(self) -> bytes:
        """One line without its end. The same row is the same bytes."""
        if self.kind is Kind.PREFERENCE:
            told: dict[str, Any] = {
                "input": {"messages": [_message(message) for message in self.messages]},
                "preferred_output": [{"role": "assistant", "content": self.chosen}],
                "non_preferred_output": [{"role": "assistant", "content": self.rejected}],
            }
        else:
            told = {"messages": [_message(message) for message in self.messages]}
        if self.label:
            told["label"] = self.label
        return orjson.dumps(told, option=orjson.OPT_SORT_KEYS)


def _message(message: Message) -> dict[str, Any]:
    told: dict[str, Any] = {"role": message.role, "content": message.content}
    if not message.trained:
        told["weight"] = 0
    return told
