"""Which row is trained on, which one validates, which one tests.

By the seed and the rows' own content: the order of the rows does not matter, families never part, and
every label has its share in every part as far as it has families enough.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

from training_service.datasets.rows import Part, Row


def split(
    rows: Sequence[Row], family: Sequence[int], *, validation: float, test: float, seed: int
) -> list[Part]:
    """The part of each row. `validation` and `test` are shares of the rows, 0 to 0.5 each.

    A row that says where it belongs takes its whole family along; test wins over validation over training.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for number, first in enumerate(family):
        members[first].append(number)
    parts: list[Part] = [Part.TRAIN] * len(rows)
    strata: dict[str, list[tuple[bytes, list[int]]]] = defaultdict(list)
    for some in members.values():
        fixed = {rows[number].part for number in some} - {None}
        if fixed:
            part = next(each for each in (Part.TEST, Part.VALIDATION, Part.TRAIN) if each in fixed)
            for number in some:
                parts[number] = part
            continue
        label = Counter(rows[number].label for number in some).most_common(1)[0][0]
        order = min(_place(rows[number], seed) for number in some)
        strata[label].append((order, some))
    for families in strata.values():
        families.sort(key=lambda each: each[0])
        total = sum(len(some) for _, some in families)
        left = {Part.TEST: round(total * test), Part.VALIDATION: round(total * validation)}
        for position, (_, some) in enumerate(families):
            last_for_training = position == len(families) - 1 and not any(
                parts[number] is Part.TRAIN for _, others in families[:-1] for number in others
            )
            for part in (Part.TEST, Part.VALIDATION):
                if len(some) <= left[part] and not last_for_training:
                    left[part] -= len(some)
                    for number in some:
                        parts[number] = part
                    break
    return parts


def _place(row: Row, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\0".encode() + row.written()).digest()
