"""Takes releases on by itself: from finished runs through the gate, from a canary's answers to a decision."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from eval_service.gate.decide import check_pairs, decide
from eval_service.gate.policy import CanaryRule, parse
from eval_service.release.canary import Reading, reading
from eval_service.release.states import Release, State, judged, move, read
from eval_service.runs.values import Measured
from servicekit.errors import Reason, SixfoldError
from servicekit.logs import get_logger

_log = get_logger("eval_service.release")


class RunFailed(Exception):
    """A run that a release stands on will never be done. The message is for a person."""


class Releases(Protocol):
    """What the conductor needs of the records."""

    async def in_state(self, state: State, *, limit: int = 1000) -> Sequence[Release]:
        """Of all tenants."""

    async def change(self, tenant: str, id: str, decide: Callable[[Release], Release]) -> Release:
        """One step, in one transaction."""

    async def observations(self, release: Release, metric: str, *, limit: int) -> Sequence[tuple[int, float]]:
        """What a canary has shown."""


class Runs(Protocol):
    """Finished runs."""

    async def measured(self, tenant: str, run_id: str) -> Measured | None:
        """None while it is not done. Raises RunFailed."""


class Conductor:
    """One a process; any number on one database, since a step is taken once."""

    def __init__(
        self,
        releases: Releases,
        runs: Runs,
        *,
        round_seconds: float = 1.0,
        moved: Callable[[Release], None] = lambda release: None,
    ) -> None:
        """`moved` hears of every step."""
        self._releases = releases
        self._runs = runs
        self._round_seconds = round_seconds
        self._moved = moved
        self._woken = asyncio.Event()
        self._seen: dict[str, tuple[int, ...]] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins its rounds."""
        self._task = asyncio.get_running_loop().create_task(self._rounds(), name="release-conductor")

    def wake(self) -> None:
        """Something may be decided."""
        self._woken.set()

    async def close(self) -> None:
        """Twice is fine."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def round(self) -> None:
        """Looks at everything that waits, once. One release that cannot be decided holds up no other."""
        for release in await self._releases.in_state(State.EVALUATING):
            with self._noted(release):
                await self._judge(release)
        running = await self._releases.in_state(State.CANARY)
        for release in running:
            with self._noted(release):
                await self._read(release)
        self._seen = {release.id: self._seen.get(release.id, ()) for release in running}

    async def _rounds(self) -> None:
        while True:
            self._woken.clear()
            try:
                await self.round()
            except SixfoldError as error:
                _log.warning("releases_cannot_be_looked_at", reason=error.reason.value)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._round_seconds):
                    await self._woken.wait()

    @contextlib.contextmanager
    def _noted(self, release: Release) -> Iterator[None]:
        try:
            yield
        except SixfoldError as error:
            if error.reason is not Reason.CONFLICT:  # somebody else was faster, and that is fine
                _log.warning("release_not_decided", release=release.id, reason=error.reason.value)
        except Exception as error:
            _log.error("release_not_decided", release=release.id, exc_info=error)

    async def _judge(self, release: Release) -> None:
        try:
            found = [await self._runs.measured(release.tenant, run_id) for run_id in release.run_ids]
        except RunFailed as why:
            words = str(why)
            await self._step(release, lambda now: move(now, State.REFUSED, f"The gate refused. {words}"))
            return
        measured = [each for each in found if each is not None]
        if len(measured) < len(found):
            return
        policy = parse(release.policy_text)
        pairs = pair(release, measured)
        why_not = check_pairs(pairs) or _models_fit(release, pairs)
        if why_not:
            await self._step(release, lambda now: move(now, State.REFUSED, f"The gate refused. {why_not}"))
            return
        verdicts = await asyncio.to_thread(decide, policy, pairs)
        base, candidate = pairs[0]
        versions = [f"{each.model}@{each.version}" for each in (base, candidate)]
        champion = release.champion or base.model

        def on(now: Release) -> Release:
            return judged(replace(now, champion=champion), policy, verdicts, versions)

        await self._step(release, on)

    async def _read(self, release: Release) -> None:
        policy = parse(release.policy_text)
        if policy.canary is None:
            return
        rule, seen = policy.canary, []
        for metric in (rule.metric, *(guard.metric for guard in rule.guards)):
            # Both arms together, with room for the larger one at the smallest share.
            seen.append(await self._releases.observations(release, metric, limit=_most(rule)))
        counts = tuple(len(each) for each in seen)
        if counts == self._seen.get(release.id):
            return
        readings = await asyncio.to_thread(_readings, rule, seen)
        await self._step(release, lambda now: read(now, policy, readings))
        self._seen[release.id] = counts

    async def _step(self, release: Release, decide: Callable[[Release], Release]) -> None:
        changed = await self._releases.change(release.tenant, release.id, decide)
        if changed.state is not release.state or changed.share != release.share:
            _log.info("release_moved", release=changed.id, state=changed.state.value, share=changed.share)
            self._moved(changed)


def pair(release: Release, measured: Sequence[Measured]) -> list[tuple[Measured, Measured]]:
    """Champion's and candidate's run of each eval: by the model that answered, or in the order given."""
    by_eval: dict[str, list[Measured]] = {}
    for each in measured:
        by_eval.setdefault(each.eval_id, []).append(each)
    pairs = []
    for both in by_eval.values():
        if len(both) != 2:
            return []
        first, second = both
        if first.model == release.candidate != second.model:
            first, second = second, first
        pairs.append((first, second))
    return pairs


def _models_fit(release: Release, pairs: Sequence[tuple[Measured, Measured]]) -> str:
    for base, candidate in pairs:
        if candidate.model and candidate.model != release.candidate:
            return f"The runs measured '{candidate.model}', not the candidate."
        if release.champion and base.model and base.model != release.champion:
            return f"The runs compare with '{base.model}', while '{release.champion}' answers to the name."
        if not base.model and not release.champion:
            return "The champion's run names no model."
        if base.model == candidate.model and base.version == candidate.version and base.model:
            return "The runs measured one and the same model."
    return ""


def _readings(rule: CanaryRule, seen: Sequence[Sequence[tuple[int, float]]]) -> list[Reading]:
    metrics = [rule.metric, *(guard.metric for guard in rule.guards)]
    # Guards share one alpha, so that all of them together roll a good model back as rarely as it says.
    alphas = [rule.alpha, *[rule.alpha / max(1, len(rule.guards))] * len(rule.guards)]
    return [
        reading(metric, each, alpha=alpha) for metric, each, alpha in zip(metrics, seen, alphas, strict=True)
    ]


def _most(rule: CanaryRule) -> int:
    return min(400_000, int(rule.most_answers / rule.steps[0].share) + rule.most_answers)
