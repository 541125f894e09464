"""transformers' Trainer with the loss of answers alone."""

from __future__ import annotations

from typing import Any

from transformers import Trainer

from training_service.trainers.examples import loss_of


class AnswerTrainer(Trainer):  # type: ignore[misc]
    """Takes batches of `examples.pack`. A step's loss is the mean over all its learned tokens."""

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Of one pass; the passes of a step add up."""
        learned = len(inputs["labels"])
        total, outputs = loss_of(model, dict(inputs))
        loss = total / (learned if num_items_in_batch is None else num_items_in_batch)
        return (loss, outputs) if return_outputs else loss
