"""What both supervised recipes share: examples in, a model trained by transformers' Trainer out."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from training_service.datasets.faults import bad_rows
from training_service.trainers.examples import batches, encode_all, loss_of, pack, rows_at_once
from training_service.trainers.ports import Run, Stood, Trained

PASS_TOKENS = 2048
"""Tokens that go through the model together: bounds memory, not the batch."""


def fine_tune(run: Run, model: Any, tokenizer: Any) -> Trained:
    """Trains what of the model requires gradients. Raises Stood, and SetFault for rows over the context."""
    from transformers import PrinterCallback, TrainingArguments

    from training_service.trainers.answers import AnswerTrainer
    from training_service.trainers.watch import Watch

    longest = min(run.max_tokens or 1 << 30, int(model.config.max_position_embeddings))
    train, faults = encode_all(run.train, tokenizer, longest)
    validation, more = encode_all(run.validation, tokenizer, longest)
    if faults + more:
        raise bad_rows(faults + more)
    at_once = rows_at_once(train, run.plan.batch_size, PASS_TOKENS)
    tokens = sum(len(example.input_ids) for example in train)
    model.config.use_cache = False

    def validate() -> float:
        return mean_loss(model, validation)

    def keep_best(folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        model.save_pretrained(folder)

    watch = Watch(run, tokens / len(train) * run.plan.batch_size, validate if validation else None, keep_best)
    trainer = AnswerTrainer(
        model=model,
        args=TrainingArguments(**arguments(run, at_once)),
        train_dataset=train,
        data_collator=pack,
        callbacks=[watch],
    )
    trainer.remove_callback(PrinterCallback)
    if run.resume is None:
        run.diary.event(
            "info", f"Training begins: {len(train)} rows, {tokens} tokens, {run.plan.steps} steps"
        )
    trainer.train(resume_from_checkpoint=str(run.resume) if run.resume else None)
    if watch.stopped is not None:
        raise Stood(watch.stopped)
    folder = run.workdir / "trained"
    if watch.has_best:
        shutil.copytree(watch.best_folder, folder)
    else:
        model.save_pretrained(folder)
    return Trained(folder, figures(watch, tokens), watch.losses, watch.validation)


def arguments(run: Run, at_once: int) -> dict[str, Any]:
    """Of transformers' Trainer. The seed decides weights and order; nothing is reported elsewhere."""
    import torch

    plan = run.plan
    return {
        "output_dir": str(run.workdir / "steps"),
        "max_steps": plan.steps,
        "per_device_train_batch_size": at_once,
        "gradient_accumulation_steps": max(1, plan.batch_size // at_once),
        "learning_rate": plan.learning_rate,
        "warmup_steps": plan.warmup_steps,
        "lr_scheduler_type": "linear",
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "seed": plan.seed,
        "data_seed": plan.seed,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "save_total_limit": 1,
        "eval_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "log_level": "error",
        "remove_unused_columns": False,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": torch.cuda.is_available(),
        "bf16": torch.cuda.is_available() or _computes_bfloat16(),
        "use_cpu": not torch.cuda.is_available(),
    }


def _computes_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 itself: a step takes half the time; weights stay float32."""
    import torch

    return bool(torch.backends.cpu.get_cpu_capability() == "AVX512") and bool(
        torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    )


def mean_loss(model: Any, examples: list[Any]) -> float:
    """Mean loss of an answer's token, in nats."""
    import torch

    was_training = model.training
    model.eval()
    total, count = 0.0, 0
    device = next(model.parameters()).device
    try:
        with torch.no_grad():
            for some in batches(examples, PASS_TOKENS):
                inputs = {name: tensor.to(device) for name, tensor in pack(some).items()}
                count += len(inputs["labels"])
                total += float(loss_of(model, inputs)[0])
    finally:
        model.train(was_training)
    return total / max(1, count)


def figures(watch: Any, tokens: int) -> dict[str, float]:
    """At the end."""
    told = {
        "train_rows_tokens": float(tokens),
        "first_loss": watch.losses[0][1] if watch.losses else 0.0,
        "train_loss": watch.losses[-1][1] if watch.losses else 0.0,
        "steps": float(watch.losses[-1][0] if watch.losses else 0),
        "tokens_per_second": watch.tokens_a_second,
        "stopped_early": float(watch.stopped_early),
    }
    if watch.validation:
        told["validation_loss"] = min(loss for _, loss in watch.validation)
    return told


def load(run: Run) -> tuple[Any, Any]:
    """The base in float32, and its tokenizer. Its end token is what its chat template ends an answer with."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

    set_seed(run.plan.seed)
    model = AutoModelForCausalLM.from_pretrained(run.base.folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(run.base.folder)
    return model, tokenizer
