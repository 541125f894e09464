"""Beside every step: figures out, checkpoints kept, a stop heard, validation rows looked at."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from training_service.trainers.ports import Diary, Run

_LOOKS = 10
_STATE = "watch.json"


class Watch(TrainerCallback):  # type: ignore[misc]
    """A callback of transformers' Trainer.

    `validate` gives the validation loss, or is None without validation rows. `keep_best` writes the weights
    to a folder, `take_best` brings them back: what is kept in the end is what validated best.
    """

    def __init__(
        self,
        run: Run,
        tokens_a_step: float,
        validate: Callable[[], float] | None,
        keep_best: Callable[[Path], None],
    ) -> None:
        self._run = run
        self._diary: Diary = run.diary
        self._tokens = tokens_a_step
        self._validate = validate
        self._keep_best = keep_best
        self.best_folder = run.workdir / "best"
        self._look_steps = max(1, run.plan.steps // _LOOKS)
        self._began = 0.0
        self._first_step = 0
        self.losses: list[tuple[int, float]] = []
        """(step, loss) as they come."""
        self.validation: list[tuple[int, float]] = []
        self.stopped: str | None = None
        self.stopped_early = False
        self._worse = 0
        self._best = math.inf
        self._metrics: dict[str, float] = {}
        self._looked_at = -1
        if run.resume is not None:
            self._remember(run.resume)

    @property
    def tokens_a_second(self) -> float:
        """Of this attempt so far."""
        return self._metrics.get("tokens_per_second", 0.0)

    @property
    def has_best(self) -> bool:
        """Whether weights other than the last ones were best."""
        return self.best_folder.is_dir() and bool(self.validation) and self.validation[-1][1] > self._best

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The clock starts."""
        self._began = time.monotonic()
        self._first_step = state.global_step

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """A step's loss: told at once."""
        if not logs or "loss" not in logs:
            return
        step, loss = int(state.global_step), float(logs["loss"])
        if not math.isfinite(loss):
            control.should_training_stop = True
        self.losses.append((step, loss))
        done = step - self._first_step
        seconds = max(1e-6, time.monotonic() - self._began)
        left = (self._run.plan.steps - step) * seconds / max(1, done)
        self._metrics = {
            "step": step,
            "steps": self._run.plan.steps,
            "loss": loss,
            "learning_rate": float(logs.get("learning_rate", 0.0)),
            "epoch": float(state.epoch or 0.0),
            "tokens_per_second": self._tokens * done / seconds,
            "eta_seconds": left,
        }
        for name in ("rewards/accuracies", "rewards/margins"):
            if name in logs:
                self._metrics[name.replace("rewards/", "reward_")] = float(logs[name])
        if self.validation:
            self._metrics["validation_loss"] = self.validation[-1][1]
        self._diary.progress(step / self._run.plan.steps, self._metrics)

    def on_substep_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Between the passes of one step: called off means at once."""
        if self._diary.should_stop() == "cancel":
            self.stopped = "cancel"
            control.should_training_stop = True

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Told to stop: on a pause the checkpoint comes first."""
        step = int(state.global_step)
        self.stopped = self._diary.should_stop()
        if self.stopped is not None:
            control.should_training_stop = True
            control.should_save = self.stopped == "pause"
            return
        last = step >= self._run.plan.steps
        if self._validate is not None and (last or step % self._look_steps == 0):
            self._look(step, control)
        control.should_save = not last and step % self._run.checkpoint_steps == 0

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The trainer wrote its folder; the job keeps it."""
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        (folder / _STATE).write_text(
            json.dumps(
                {
                    "losses": self.losses,
                    "validation": self.validation,
                    "worse": self._worse,
                    "best": None if math.isinf(self._best) else self._best,
                }
            ),
            encoding="utf-8",
        )
        if self.best_folder.is_dir():
            shutil.copytree(self.best_folder, folder / "best", dirs_exist_ok=True)
        self._diary.checkpoint(int(state.global_step), folder, self._metrics)

    def _look(self, step: int, control: Any) -> None:
        if self._validate is None or step == self._looked_at:
            return
        self._looked_at = step
        loss = self._validate()
        self.validation.append((step, loss))
        self._diary.event(
            "info",
            f"Step {step}: validation loss {loss:.4f}",
            {"step": step, "validation_loss": loss},
            type="metrics",
        )
        if loss < self._best:
            self._best, self._worse = loss, 0
            self._keep_best(self.best_folder)
            return
        self._worse += 1
        if self._run.plan.patience and self._worse >= self._run.plan.patience:
            self.stopped_early = True
            control.should_training_stop = True

    def _remember(self, folder: Path) -> None:
        told = json.loads((folder / _STATE).read_text(encoding="utf-8"))
        self.losses = [(int(step), float(loss)) for step, loss in told["losses"]]
        self.validation = [(int(step), float(loss)) for step, loss in told["validation"]]
        self._worse = int(told["worse"])
        self._best = math.inf if told["best"] is None else float(told["best"])
        if (folder / "best").is_dir():
            shutil.copytree(folder / "best", self.best_folder, dirs_exist_ok=True)
