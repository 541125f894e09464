"""Rows to tokens: only answers carry loss, and a batch is one packed sequence without padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from training_service.datasets.faults import Cause, RowFault
from training_service.datasets.rows import Row

IGNORED = -100
"""The label of a token that carries no loss."""


@dataclass(frozen=True, slots=True)
class Example:
    """One row: token ids, and the same ids where they are learned, -100 elsewhere."""

    input_ids: list[int]
    labels: list[int]


def encode(row: Row, tokenizer: Any, longest: int) -> Example:
    """By the model's own chat template. RowFault(CONTEXT_LENGTH_EXCEEDED) beyond `longest` tokens.

    Question and answer are tokenised apart, as they are when the model is asked.
    """
    turns = [{"role": message.role, "content": message.content} for message in row.messages]
    ids: list[int] = []
    labels: list[int] = []
    written = ""
    for number, message in enumerate(row.messages):
        if message.role != "assistant":
            continue
        before = _text(tokenizer, turns[:number], ask=True)
        after = _text(tokenizer, turns[: number + 1], ask=False)
        if not (before.startswith(written) and after.startswith(before)):
            raise ValueError("the base model's chat template rewrites earlier turns")
        question = _ids(tokenizer, before[len(written) :])
        answer_text = after[len(before) :]
        learned = answer_text.rstrip("\n")
        answer = _ids(tokenizer, learned)
        ids += question + answer
        labels += [IGNORED] * len(question) + (answer if message.trained else [IGNORED] * len(answer))
        written = before + learned
    if len(ids) > longest:
        raise RowFault(
            Cause.CONTEXT_LENGTH_EXCEEDED, f"the row has {len(ids)} tokens; {longest} are read", row.place
        )
    return Example(ids, labels)


def encode_all(rows: Sequence[Row], tokenizer: Any, longest: int) -> tuple[list[Example], list[RowFault]]:
    """Those that fit, and faults for the others."""
    fit: list[Example] = []
    faults: list[RowFault] = []
    for row in rows:
        try:
            fit.append(encode(row, tokenizer, longest))
        except RowFault as fault:
            faults.append(fault)
    return fit, faults


def pack(examples: Sequence[Example]) -> dict[str, Any]:
    """One sequence [1, tokens]; positions start again at each row, so rows do not see each other.

    `logits_to_keep` [learned] are the places before learned tokens, `labels` [learned] those tokens: the
    vocabulary's large matrix is applied there alone.
    """
    import torch

    ids: list[int] = []
    positions: list[int] = []
    before: list[int] = []
    learned: list[int] = []
    for example in examples:
        for place, label in enumerate(example.labels):
            if label != IGNORED and place > 0:
                before.append(len(ids) + place - 1)
                learned.append(label)
        ids += example.input_ids
        positions += range(len(example.input_ids))
    return {
        "input_ids": torch.tensor([ids]),
        "position_ids": torch.tensor([positions]),
        "logits_to_keep": torch.tensor(before),
        "labels": torch.tensor(learned),
    }


def loss_of(model: Any, inputs: dict[str, Any]) -> tuple[Any, Any]:
    """The sum of the learned tokens' losses in nats, and what the model gave. Takes what `pack` makes."""
    import torch

    labels = inputs.pop("labels")
    outputs = model(**inputs)
    return torch.nn.functional.cross_entropy(outputs.logits[0].float(), labels, reduction="sum"), outputs


def rows_at_once(examples: Sequence[Example], batch: int, most_tokens: int) -> int:
    """Rows of one pass: a divisor of `batch`, so that the longest rows together stay below `most_tokens`."""
    longest = max(len(example.input_ids) for example in examples)
    fits = max(1, most_tokens // longest)
    return max(number for number in range(1, batch + 1) if batch % number == 0 and number <= max(1, fits))


def batches(examples: Sequence[Example], most_tokens: int) -> Iterator[list[Example]]:
    """In order, each below `most_tokens` or of one row."""
    some: list[Example] = []
    size = 0
    for example in examples:
        if some and size + len(example.input_ids) > most_tokens:
            yield some
            some, size = [], 0
        some.append(example)
        size += len(example.input_ids)
    if some:
        yield some


def _text(tokenizer: Any, turns: list[dict[str, str]], *, ask: bool) -> str:
    return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=ask))


def _ids(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids
