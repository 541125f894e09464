"""A data set: read, mask, check, remove duplicates, split, freeze."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from training_service.datasets.duplicates import Families, find_families, normal
from training_service.datasets.faults import Cause, Reason, RowFault, SetFault, bad_rows
from training_service.datasets.injection import is_injected
from training_service.datasets.labels import with_labels
from training_service.datasets.rows import Kind, Part, Row
from training_service.datasets.split import split

_KEPT_FAULTS = 100
_SMALL_LABEL = 5
PARTS = (Part.TRAIN, Part.VALIDATION, Part.TEST)
Mask = Callable[[Row, Counter[str]], Row]


@dataclass(frozen=True, slots=True)
class Options:
    """What is done to rows."""

    kind: Kind | None = None
    validation: float = 0.0
    test: float = 0.0
    seed: int = 0
    keep_near_duplicates: bool = False
    strict: bool = False


@dataclass(slots=True)
class Built:
    """A data set, frozen."""

    kind: Kind
    version: str
    rows: dict[Part, list[Row]]
    read: int
    left_out: Counter[str]
    faults: list[RowFault]
    """The first hundred of the rows that could not be used."""
    masked: Counter[str]
    labels: dict[Part, Counter[str]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def build(found: Iterable[Row | RowFault], options: Options, mask: Mask | None) -> Built:
    """Raises SetFault when nothing can be made of these rows, or, if `strict`, when one cannot be used."""
    faults: list[RowFault] = []
    rows: list[Row] = []
    masked: Counter[str] = Counter()
    read = 0
    for each in found:
        read += 1
        fault = each if isinstance(each, RowFault) else _poisoned(each)
        if fault is None and isinstance(each, Row):
            rows.append(mask(each, masked) if mask else each)
        elif fault is not None:
            faults.append(fault)
    kind, rows = _of_one_kind(rows, options.kind, faults)
    if faults and options.strict:
        raise bad_rows(faults)
    if not rows:
        if faults:
            raise bad_rows(faults)
        raise SetFault(Reason.EMPTY_DATASET, "There are no rows.")
    rows = with_labels(rows)
    families = find_families(rows)
    left_out = Counter(fault.cause.value for fault in faults)
    warnings = _conflicts(rows)
    parts = split(rows, families.family, validation=options.validation, test=options.test, seed=options.seed)
    kept = _kept(rows, families, parts, options, left_out)
    if len(rows) > 1 and len(kept) == 1 and not families.near:
        raise SetFault(Reason.ALL_DUPLICATES, f"All {len(rows)} rows are the same one.")
    if left_out[Cause.LEAKED]:
        warnings.append(
            f"{left_out[Cause.LEAKED]} rows of one part were hidden in another; they stay where they test."
        )
    by_part = {part: [rows[number] for number in kept if parts[number] is part] for part in PARTS}
    built = Built(
        kind, version_of(by_part), by_part, read, left_out, faults[:_KEPT_FAULTS], masked, warnings=warnings
    )
    _judge_labels(built)
    _judge_parts(built, options)
    return built


def version_of(rows: dict[Part, list[Row]]) -> str:
    """SHA-256 over all rows in order, in hex."""
    digest = hashlib.sha256()
    for part in PARTS:
        digest.update(f"{part.value}\n".encode())
        for row in rows.get(part, ()):
            digest.update(row.written() + b"\n")
    return digest.hexdigest()


def _poisoned(row: Row) -> RowFault | None:
    learned = [row.chosen] if row.chosen else [m.content for m in row.messages if m.role == "assistant"]
    if any(is_injected(text) for text in (*learned, row.label)):
        what = "the label" if row.label else "the answer"
        return RowFault(Cause.INJECTED_INSTRUCTIONS, f"{what} holds instructions to a model", row.place)
    return None


def _of_one_kind(rows: list[Row], wanted: Kind | None, faults: list[RowFault]) -> tuple[Kind, list[Row]]:
    kinds = {row.kind for row in rows}
    if wanted is None:
        if len(kinds) > 1:
            raise SetFault(Reason.MIXED_KINDS, "Some rows have one answer and some have two; choose a kind.")
        return (kinds.pop() if kinds else Kind.SUPERVISED), rows
    faults += [
        RowFault(Cause.WRONG_KIND, f"the row is not {wanted.value}", row.place)
        for row in rows
        if row.kind is not wanted
    ]
    return wanted, [row for row in rows if row.kind is wanted]


def _kept(
    rows: Sequence[Row], families: Families, parts: list[Part], options: Options, left_out: Counter[str]
) -> list[int]:
    """Rows that stay, in their order. Of duplicates the first; a row that is named as a test tests."""
    dropped: dict[int, Cause] = {}
    tested = {
        families.family[number]: row.part
        for number, row in enumerate(rows)
        if row.part in (Part.TEST, Part.VALIDATION)
    }
    for number, row in enumerate(rows):
        hidden = families.family[number] in tested if row.part is None else row.part is not parts[number]
        if hidden:
            dropped[number] = Cause.LEAKED
    alike = [(families.same, Cause.DUPLICATE)]
    if not options.keep_near_duplicates:
        alike.append((families.near, Cause.NEAR_DUPLICATE))
    for pairs, cause in alike:
        for number, earlier in pairs.items():
            if number not in dropped and earlier not in dropped:
                dropped[number] = cause
    left_out.update(cause.value for cause in dropped.values())
    return [number for number in range(len(rows)) if number not in dropped]


def _conflicts(rows: Sequence[Row]) -> list[str]:
    answers: dict[str, set[str]] = {}
    for row in rows:
        if row.label:
            answers.setdefault(normal(row.question()), set()).add(row.label)
    number = sum(1 for labels in answers.values() if len(labels) > 1)
    return [f"{number} texts have more than one label."] if number else []


def _judge_labels(built: Built) -> None:
    labelled = {part: Counter(row.label for row in rows if row.label) for part, rows in built.rows.items()}
    everywhere = sum(labelled.values(), Counter[str]())
    built.labels = labelled
    if not everywhere:
        answers = {normal(row.answer) for rows in built.rows.values() for row in rows}
        if built.kind is Kind.SUPERVISED and len(answers) == 1 and sum(map(len, built.rows.values())) > 1:
            built.warnings.append("Every row has the same answer.")
        return
    if len(everywhere) == 1:
        raise SetFault(Reason.ONE_LABEL, "Every row has the same label; there is nothing to tell apart.")
    for label, number in sorted(everywhere.items()):
        if number < _SMALL_LABEL:
            built.warnings.append(f"The label '{label[:64]}' has {number} rows.")
    most, least = max(everywhere.values()), min(everywhere.values())
    if most >= 10 * least:
        built.warnings.append(f"The largest label has {most} rows, the smallest {least}.")


def _judge_parts(built: Built, options: Options) -> None:
    if not built.rows[Part.TRAIN] and not any(row.part for part in PARTS for row in built.rows[part]):
        raise SetFault(Reason.EMPTY_DATASET, "No row is left for training.")
    wanted = ((Part.VALIDATION, options.validation), (Part.TEST, options.test))
    for part, share in wanted:
        if share > 0 and not built.rows[part]:
            built.warnings.append(f"There are too few rows for a {part.value} part.")
