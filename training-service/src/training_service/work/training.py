"""The job "fine_tuning": rows and a base in; a model in the object store, the registry, model-service out."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from servicekit.jobs.child import Context, JobFault, Stopped, no_room
from training_service.adapters.tracking import Lineage, track
from training_service.datasets.build import Options, build
from training_service.datasets.faults import RowFault, SetFault
from training_service.datasets.rows import Part, Row
from training_service.trainers import artifact
from training_service.trainers.bases import NoBase, open_base
from training_service.trainers.curves import write_curves
from training_service.trainers.estimate import estimate
from training_service.trainers.full import TooLarge
from training_service.trainers.plan import Method, Plan, Wishes, make_plan
from training_service.trainers.ports import Run, Stood, Trained
from training_service.trainers.recipes import train
from training_service.work.places import Places
from training_service.work.sources import Found, read_source


def run(context: Context) -> Mapping[str, Any]:
    """Goes on from its checkpoint after an interruption, along the same losses."""
    spec, places, began = context.spec, Places.found(), time.monotonic()
    method = Method(spec["method"])
    try:
        rows = _rows(context, method)
        plan = make_plan(method, Wishes(**spec["wishes"]), len(rows[Part.TRAIN]))
        base = open_base(spec["base"], places.bases[spec["base"]], places.cache_folder)
        training = Run(
            base=base,
            plan=plan,
            train=rows[Part.TRAIN],
            validation=rows[Part.VALIDATION],
            workdir=context.workdir,
            resume=context.resume.folder if context.resume else None,
            diary=context,
            checkpoint_steps=places.checkpoint_steps,
        )
        _announce(context, plan, rows[Part.TRAIN], base.folder)
        with no_room("The training"):
            trained = train(training)
    except SetFault as fault:
        raise JobFault(fault.reason.value, fault.message) from None
    except NoBase as fault:
        raise JobFault("MODEL_NOT_FOUND", str(fault)) from None
    except TooLarge as fault:
        raise JobFault("MODEL_TOO_LARGE", str(fault)) from None
    except Stood:
        raise Stopped from None
    if not trained.whole:
        raise JobFault("TRAINING_DIVERGED", "The loss is not a number any more. Try a lower learning rate.")
    return _deliver(context, places, training, trained, began)


def _deliver(
    context: Context, places: Places, training: Run, trained: Trained, began: float
) -> Mapping[str, Any]:
    """Keeps what came out: weights, then the registry's entry, then a running model."""
    spec, form = context.spec, training.plan.method.form
    source = spec["training"]
    lineage = Lineage(
        tenant=context.tenant,
        job_id=context.job_id,
        model=spec["model"],
        base=f"{training.base.name}@{training.base.version}",
        dataset_id=source["id"] if source["kind"] == "dataset" else "",
        dataset_version=source["version"] if source["kind"] == "dataset" else "",
        data_sha256=data_digest(training.train),
    )
    trained.metrics["seconds"] = round(time.monotonic() - began, 1)
    facts = {
        "model": lineage.model,
        "job_id": lineage.job_id,
        "dataset": {"id": lineage.dataset_id, "version": lineage.dataset_version},
        "data_sha256": lineage.data_sha256,
        "train_rows": len(training.train),
        "validation_rows": len(training.validation),
    }
    with no_room("The trained model"):
        folder = artifact.lay_out(training, trained, facts, merged=places.merged)
        version = artifact.version_of(folder)
        path = context.workdir / "model.tar"
        artifact.archive(folder, path)
    stored = context.store(path, _slug(spec["model"]))
    context.event("info", f"The model is kept: {stored.bytes} bytes, version {version}")
    curves = context.workdir / "step_metrics.csv"
    curves.write_text(write_curves(trained.losses, trained.validation), encoding="utf-8")
    results = context.store(curves, f"{context.job_id}/results")
    tracked = track(places.tracking, places.artifacts, lineage, training.plan, trained, folder, version)
    result = {
        "model": spec["model"],
        "version": version,
        "base": lineage.base,
        "form": form,
        "object_key": stored.key,
        "sha256": stored.sha256,
        "bytes": stored.bytes,
        "metrics": trained.metrics,
        "dataset_id": lineage.dataset_id,
        "data_sha256": lineage.data_sha256,
        "run_id": tracked.run_id,
        "registered_name": tracked.name,
        "registered_version": tracked.version,
        "results": {"object_key": results.key, "bytes": results.bytes},
        "trained_tokens": int(trained.metrics["train_rows_tokens"] * training.plan.epochs),
    }
    problem = str(context.call("add_model", {**result, "base_name": training.base.name}))
    if problem:
        context.event("warn", f"The model is not served: {problem}")
    else:
        context.event("info", "The model answers")
    return {**result, "served": not problem}


def _rows(context: Context, method: Method) -> dict[Part, list[Row]]:
    """What is trained on and what validates. A plain file must be right in every row, and is masked here."""
    spec = context.spec
    found: list[Found] = []
    masked: Counter[str] = Counter()
    for name, part in (("training", Part.TRAIN), ("validation", Part.VALIDATION)):
        source = spec[name]
        if source is None:
            continue
        rows, _ = read_source(context, source, method.kind)
        if source["kind"] == "file" and rows:
            from training_service.datasets.personal import Masker

            masker = Masker()
            rows = [masker.mask(each, masked) if isinstance(each, Row) else each for each in rows]
        found += [_in(part, each) for each in rows]
    if masked:
        told = ", ".join(f"{number} {kind}" for kind, number in sorted(masked.items()))
        context.event("info", f"Personal data masked: {told}", dict(masked))
    built = build(found, Options(kind=method.kind, strict=True, keep_near_duplicates=True), None)
    for warning in built.warnings:
        context.event("warn", warning)
    if built.left_out:
        told = ", ".join(f"{number} {cause}" for cause, number in sorted(built.left_out.items()))
        context.event("warn", f"Rows left out: {told}", dict(built.left_out))
    if not built.rows[Part.TRAIN]:
        raise JobFault("EMPTY_DATASET", "No row is left for training.")
    return built.rows


def _in(part: Part, each: Found) -> Found:
    if isinstance(each, RowFault):
        return each
    return Row(each.messages, each.place, each.chosen, each.rejected, each.label, part)


def _announce(context: Context, plan: Plan, rows: Sequence[Row], folder: Any) -> None:
    chars = sum(len(turn.content) for row in rows for turn in row.messages)
    parameters = sum(file.stat().st_size for file in folder.glob("*.safetensors")) // 4
    told = estimate(plan, len(rows), chars, parameters)
    context.event(
        "info",
        f"{len(rows)} rows, {plan.epochs:g} epochs, {plan.steps} steps of {plan.batch_size}: "
        f"about {told.seconds:.0f} s",
        {"seconds": told.seconds, "tokens": told.tokens, "memory_bytes": told.memory_bytes},
    )


def data_digest(rows: Sequence[Row]) -> str:
    """SHA-256 of the training rows in order, in hex."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(row.written() + b"\n")
    return digest.hexdigest()


def _slug(model: str) -> str:
    """As a namespace: letters, digits, '.', '_' and '-'."""
    return "".join(each if each.isalnum() or each in "._-" else "-" for each in model)
