"""Recipe: direct preference optimisation (Rafailov and others, 2023) of a LoRA adapter, by TRL.

The reference is the base itself: the same model with the adapter switched off.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training_service.datasets.faults import Cause, RowFault, bad_rows
from training_service.datasets.rows import Row
from training_service.trainers.lora import adapter
from training_service.trainers.ports import Run, Stood, Trained
from training_service.trainers.supervised import PASS_TOKENS, arguments, figures, load


def train(run: Run) -> Trained:
    """What comes out is the adapter."""
    from transformers import PrinterCallback
    from trl import DPOConfig, DPOTrainer

    from training_service.trainers.watch import Watch

    model, tokenizer = load(run)
    longest = min(run.max_tokens or 1 << 30, int(model.config.max_position_embeddings))
    lengths = [_length(row, tokenizer) for row in (*run.train, *run.validation)]
    faults = [
        RowFault(Cause.CONTEXT_LENGTH_EXCEEDED, f"the row has {size} tokens; {longest} are read", row.place)
        for row, size in zip((*run.train, *run.validation), lengths, strict=True)
        if size > longest
    ]
    if faults:
        raise bad_rows(faults)
    tokens = 2 * sum(lengths[: len(run.train)])
    fits = max(1, PASS_TOKENS // (2 * max(lengths)))
    at_once = max(n for n in range(1, run.plan.batch_size + 1) if run.plan.batch_size % n == 0 and n <= fits)
    holder: list[Any] = []

    def validate() -> float:
        return float(holder[0].evaluate()["eval_loss"])

    def keep_best(folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        holder[0].model.save_pretrained(folder)

    watch = Watch(
        run,
        tokens / len(run.train) * run.plan.batch_size,
        validate if run.validation else None,
        keep_best,
    )
    trainer = DPOTrainer(
        model=model,
        args=DPOConfig(
            **(arguments(run, at_once) | {"remove_unused_columns": True}),
            beta=run.plan.beta,
            max_length=longest,
            per_device_eval_batch_size=at_once,
        ),
        train_dataset=_dataset(run.train),
        eval_dataset=_dataset(run.validation) if run.validation else None,
        processing_class=tokenizer,
        peft_config=adapter(run),
        callbacks=[watch],
    )
    trainer.remove_callback(PrinterCallback)
    holder.append(trainer)
    if run.resume is None:
        run.diary.event("info", f"Training begins: {len(run.train)} pairs, {run.plan.steps} steps")
    trainer.train(resume_from_checkpoint=str(run.resume) if run.resume else None)
    if watch.stopped is not None:
        raise Stood(watch.stopped)
    folder = run.workdir / "trained"
    if watch.has_best:
        shutil.copytree(watch.best_folder, folder)
    else:
        trainer.model.save_pretrained(folder)
    return Trained(folder, figures(watch, tokens), watch.losses, watch.validation)


def _dataset(rows: Sequence[Row]) -> Any:
    from datasets import Dataset

    return Dataset.from_list(
        [
            {
                "prompt": [{"role": turn.role, "content": turn.content} for turn in row.messages],
                "chosen": [{"role": "assistant", "content": row.chosen}],
                "rejected": [{"role": "assistant", "content": row.rejected}],
            }
            for row in rows
        ]
    )


def _length(row: Row, tokenizer: Any) -> int:
    turns = [{"role": turn.role, "content": turn.content} for turn in row.messages]
    longer = max((row.chosen, row.rejected), key=len)
    text = tokenizer.apply_chat_template([*turns, {"role": "assistant", "content": longer}], tokenize=False)
    return len(tokenizer(text, add_special_tokens=False)["input_ids"])
