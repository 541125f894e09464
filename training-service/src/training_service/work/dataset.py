"""The job "dataset": rows in, a frozen data set with its card in the object store out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from servicekit.jobs.child import Context, JobFault, Stopped, no_room
from training_service.datasets.build import PARTS, Options, build
from training_service.datasets.card import SourceNote, write_card
from training_service.datasets.faults import SetFault
from training_service.datasets.rows import Kind
from training_service.work.sources import Found, read_source


def run(context: Context) -> Mapping[str, Any]:
    """Begins anew after an interruption: it takes seconds."""
    spec = context.spec
    given = spec["options"]
    kind = Kind(given["kind"]) if given["kind"] else None
    options = Options(
        kind=kind,
        validation=given["validation_share"],
        test=given["test_share"],
        seed=given["seed"],
        keep_near_duplicates=given["keep_near_duplicates"],
        strict=given["strict"],
    )
    found: list[Found] = []
    notes: list[SourceNote] = []
    mask = None
    try:
        for number, source in enumerate(spec["sources"]):
            rows, note = read_source(context, source, kind)
            found += rows
            notes.append(note)
            context.event("info", f"{note.name}: {note.rows} rows read")
            context.progress(0.4 * (number + 1) / len(spec["sources"]), {"rows_read": len(found)})
            _stand(context)
        if not given["keep_personal_data"]:
            from training_service.datasets.personal import Masker

            mask = Masker().mask
        built = build(found, options, mask)
    except SetFault as unusable:
        raise JobFault(unusable.reason.value, unusable.message) from None
    context.progress(0.9, {"rows_read": built.read})
    for warning in built.warnings:
        context.event("warn", warning)
    for fault in built.faults[:20]:
        context.event("warn", f"Left out: {fault.told()}", {"cause": fault.cause.value})
    _stand(context)
    keys: dict[str, str] = {}
    for part in PARTS:
        if not built.rows[part]:
            continue
        path = context.workdir / f"{part.value}.jsonl"
        with no_room("The data set"):
            path.write_bytes(b"".join(row.written() + b"\n" for row in built.rows[part]))
        keys[part.value] = context.store(path, spec["dataset_id"]).key
    card = context.workdir / "card.md"
    card.write_text(write_card(spec["name"], built, options, notes, context.metadata), encoding="utf-8")
    keys["card"] = context.store(card, spec["dataset_id"]).key
    return {
        "version": built.version,
        "kind": built.kind.value,
        "rows": {part.value: len(built.rows[part]) for part in PARTS},
        "left_out": dict(built.left_out),
        "masked": dict(built.masked),
        "object_keys": keys,
        "warnings": built.warnings[:50],
    }


def _stand(context: Context) -> None:
    if context.should_stop():
        raise Stopped
