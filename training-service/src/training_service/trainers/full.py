"""Recipe: supervised training of all weights, for models small enough to have their optimizer in memory."""

from __future__ import annotations

from training_service.trainers.ports import Run, Trained
from training_service.trainers.supervised import fine_tune, load

MAX_PARAMETERS = 500_000_000
"""Weights, gradients and both moments of AdamW in float32 are 16 bytes each."""


class TooLarge(Exception):
    """The base has more parameters than this recipe takes."""


def train(run: Run) -> Trained:
    """What comes out is the whole model."""
    model, tokenizer = load(run)
    parameters = sum(weights.numel() for weights in model.parameters())
    if parameters > MAX_PARAMETERS:
        raise TooLarge(f"{parameters} parameters; all weights are trained up to {MAX_PARAMETERS}.")
    trained = fine_tune(run, model, tokenizer)
    tokenizer.save_pretrained(trained.folder)
    return trained
