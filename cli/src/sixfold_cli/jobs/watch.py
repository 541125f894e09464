"""Looks at jobs until each has found its end. Nobody's job depends on being watched."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sixfold_cli.client import Api
from sixfold_cli.errors import CliError, Exit
from sixfold_cli.jobs.find import TUNING
from sixfold_cli.jobs.progress import Display
from sixfold_cli.jobs.releases import next_step
from sixfold_cli.jobs.views import Raw, view

_FIRST, _LONGEST = 0.25, 2.0
"""Seconds between two looks: often while something changes."""
_OUTAGE = 60.0
"""Seconds for which a gateway may be away."""
_AWAY = (Exit.NOT_RUNNING, Exit.LIMITED)


class Watch:
    """One or more jobs, each with a label for people."""

    def __init__(self, api: Api, paths: Mapping[str, str], display: Display) -> None:
        self._api = api
        self._paths = dict(paths)
        self._display = display
        self._losses: dict[str, list[float]] = {label: [] for label in paths}
        self._steps: dict[str, float] = {}
        self._told: set[str] = set()

    def run(self, until: Callable[[Raw], bool] = lambda raw: view(raw).ended) -> dict[str, dict[str, Any]]:
        """All of them as they ended, by label."""
        ended: dict[str, dict[str, Any]] = {}
        pause, seen = _FIRST, dict.fromkeys(self._paths, "")
        while True:
            for label, path in self._paths.items():
                if label in ended:
                    continue
                raw = self._look(path)
                moment = view(raw)
                self._note(label, raw)
                self._display.show(label, moment, self._losses[label])
                if until(raw):
                    ended[label] = raw
                now = f"{moment.state} {moment.fraction} {moment.said}"
                pause = _FIRST if now != seen[label] else pause
                seen[label] = now
            if len(ended) == len(self._paths):
                return ended
            time.sleep(pause)
            pause = min(_LONGEST, pause * 1.3)

    def fall(self, label: str) -> str:
        """ "loss 3.91 → 0.412", from the first that was seen to the last; empty where there is none."""
        losses = self._losses[label]
        return f"loss {losses[0]:.3g} → {losses[-1]:.3g}" if len(losses) > 1 else ""

    def _look(self, path: str) -> dict[str, Any]:
        """The job. A gateway that restarts, or a moment without a network, ends nothing."""
        limit = time.monotonic() + _OUTAGE
        while True:
            try:
                raw: dict[str, Any] = self._api.call("GET", path)
                return raw
            except CliError as error:
                away = error.code in _AWAY or error.reason in ("CONNECTION_LOST", "TIMEOUT")
                if not away or time.monotonic() > limit:
                    raise
                time.sleep(max(1.0, error.wait))

    def _note(self, label: str, raw: Raw) -> None:
        """Keeps a training's losses; says what is new in its diary, or that a release waits for people."""
        if raw["status"] == "awaiting_approval" and raw["id"] not in self._told:
            self._told.add(str(raw["id"]))
            self._display.say(label, next_step(raw))
        if raw["object"] != "fine_tuning.job":
            return
        metrics = (raw.get("sixfold") or {}).get("metrics") or {}
        if "loss" in metrics and metrics.get("step") != self._steps.get(label):
            self._steps[label] = metrics.get("step", 0)
            self._losses[label].append(float(metrics["loss"]))
        for text in new_lines(self._api, str(raw["id"]), self._told):
            self._display.say(label, text)


def new_lines(api: Api, job_id: str, told: set[str]) -> list[str]:
    """A training's diary since the last look, oldest first. `told` keeps ids."""
    try:
        page = api.call("GET", f"{TUNING}/{job_id}/events?limit=50")
    except CliError as error:
        if error.code in _AWAY or error.reason in ("CONNECTION_LOST", "TIMEOUT"):
            return []  # the next look finds them
        raise
    lines = []
    for event in reversed(page.get("data", [])):
        if event["id"] not in told and event.get("type") != "metrics":
            lines.append(
                event["message"] if event["level"] == "info" else f"{event['level']}: {event['message']}"
            )
        told.add(str(event["id"]))
    return lines


@contextmanager
def detaching(*identities: str, steerable: bool = True) -> Iterator[None]:
    """Ctrl-C stops watching and nothing else, and says how to look again."""
    try:
        yield
    except KeyboardInterrupt:
        first = identities[0]
        again = f"Watch again: `sixfold jobs watch {' '.join(identities)}`."
        off = f" Call it off: `sixfold jobs cancel {first}`." if steerable else ""
        raise CliError(
            f"no longer watching; {' and '.join(identities)} {'goes' if len(identities) == 1 else 'go'} on.",
            again + off,
            reason="DETACHED",
            code=Exit.INTERRUPTED,
        ) from None
