"""Where a release may go from where it is. Pure: what is decided here, the records write at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from eval_service.gate.decide import Verdict
from eval_service.gate.policy import Approvals, Policy
from eval_service.release.canary import Reading
from servicekit.errors import Reason, SixfoldError


class State(StrEnum):
    """Of a release."""

    EVALUATING = "evaluating"
    REFUSED = "refused"
    AWAITING = "awaiting_approval"
    CANARY = "canary"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"

    @property
    def active(self) -> bool:
        """Whether it is still on its way: an alias has one such at most."""
        return self in (State.EVALUATING, State.AWAITING, State.CANARY)


NEXT: Mapping[State, frozenset[State]] = {
    State.EVALUATING: frozenset(
        {State.REFUSED, State.AWAITING, State.CANARY, State.PROMOTED, State.ROLLED_BACK}
    ),
    State.AWAITING: frozenset({State.REFUSED, State.CANARY, State.PROMOTED, State.ROLLED_BACK}),
    State.CANARY: frozenset({State.PROMOTED, State.ROLLED_BACK}),
    State.PROMOTED: frozenset({State.ROLLED_BACK}),
    State.REFUSED: frozenset(),
    State.ROLLED_BACK: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's word."""

    subject: str
    role: str
    approved: bool
    at: float
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Release:
    """As it stands. `revision` rises with every change; a change made of an older one is refused."""

    id: str
    tenant: str
    alias: str
    champion: str
    candidate: str
    policy: str
    policy_text: str
    run_ids: tuple[str, ...]
    subject: str
    created_at: float
    changed_at: float
    state: State = State.EVALUATING
    revision: int = 1
    versions: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    reason: str = ""
    approvals: tuple[Approval, ...] = ()
    step: int = 0
    share: float = 0.0
    salt: str = ""
    readings: tuple[Reading, ...] = field(default_factory=tuple)
    """What the canary has shown: the deciding metric first, the guards after it."""


def move(release: Release, to: State, reason: str, **changes: object) -> Release:
    """The release one state on. CONFLICT for a step that is not allowed."""
    if to not in NEXT[release.state]:
        raise SixfoldError(
            Reason.CONFLICT, f"The release is {release.state.value}: it cannot become {to.value}."
        )
    return replace(release, state=to, reason=reason, **changes)  # type: ignore[arg-type]


def judged(release: Release, policy: Policy, verdicts: Sequence[Verdict], versions: Sequence[str]) -> Release:
    """After the gate: refused, or waiting for people, or on."""
    facts = {"verdicts": tuple(verdicts), "versions": tuple(versions)}
    broken = [verdict for verdict in verdicts if not verdict.passed]
    if broken or not verdicts:
        reason = broken[0].reason if broken else "There was nothing to judge."
        return move(release, State.REFUSED, f"The gate refused. {reason}", **facts)
    if policy.approvals.people:
        wanted = policy.approvals
        people = "one person" if wanted.people == 1 else f"{wanted.people} people"
        reason = f"The gate is open; {people} with the role '{wanted.role}' must say yes."
        return move(release, State.AWAITING, reason, **facts)
    return _on(replace(release, **facts), policy, "The gate is open.")  # type: ignore[arg-type]


def approved(release: Release, policy: Policy, word: Approval) -> Release:
    """After a person's word. The same person twice is one person, whose newest word counts.

    CONFLICT unless the release waits for people; PERMISSION_DENIED for those whom the policy does not ask.
    """
    if release.state is not State.AWAITING:
        raise SixfoldError(Reason.CONFLICT, f"The release is {release.state.value}: nobody is asked now.")
    _may_approve(policy.approvals, release, word)
    words = {each.subject: each for each in (*release.approvals, word)}
    changed = replace(release, approvals=tuple(words.values()))
    if not word.approved:
        said = f" {word.comment}" if word.comment else ""
        return move(changed, State.REFUSED, f"{word.subject} said no.{said}"[:1000])
    yes = sum(each.approved for each in words.values())
    if yes < policy.approvals.people:
        return replace(changed, reason=f"{yes} of {policy.approvals.people} people said yes.")
    return _on(changed, policy, f"{yes} of {policy.approvals.people} people said yes.")


def _may_approve(wanted: Approvals, release: Release, word: Approval) -> None:
    if not word.subject:
        raise SixfoldError(Reason.PERMISSION_DENIED, "An approval is a person's.")
    if word.role != wanted.role:
        raise SixfoldError(Reason.PERMISSION_DENIED, f"The policy asks people with the role '{wanted.role}'.")
    if wanted.not_requester and word.subject == release.subject:
        raise SixfoldError(
            Reason.PERMISSION_DENIED, "The policy does not let those who ask for a release approve it."
        )


def _on(release: Release, policy: Policy, why: str) -> Release:
    """The gate and people agree: a first share, or all of it."""
    if policy.canary is None:
        return move(release, State.PROMOTED, f"{why} The policy asks for no canary.", share=1.0)
    share = policy.canary.steps[0].share
    return move(release, State.CANARY, f"{why} {share:.0%} of requests go to the candidate.", share=share)


def read(release: Release, policy: Policy, readings: Sequence[Reading]) -> Release:
    """After new answers of a canary: the same state, a larger share, promoted or rolled back."""
    if release.state is not State.CANARY or policy.canary is None or not readings:
        return release
    rule = policy.canary
    now = replace(release, readings=tuple(readings))
    for guard, seen in zip(rule.guards, readings[1:], strict=False):
        if seen.high < -guard.margin:
            return move(now, State.ROLLED_BACK, f"Worse on {seen.words()}.", share=0.0)
    seen = readings[0]
    enough = 0.0 if rule.require == "better" else -rule.margin
    if (rule.require == "better" and seen.high < 0) or seen.high < -rule.margin:
        return move(now, State.ROLLED_BACK, f"Worse on {seen.words()}.", share=0.0)
    last = release.step + 1 >= len(rule.steps)
    shown = seen.low > (rule.margin if rule.require == "better" else enough)
    if shown:
        what = "Better" if rule.require == "better" else "Not worse"
        return move(now, State.PROMOTED, f"{what} on {seen.words()}.", share=1.0)
    if seen.candidate_answers >= rule.most_answers:
        return move(now, State.ROLLED_BACK, f"No decision in time on {seen.words()}.", share=0.0)
    if not last and seen.candidate_answers >= rule.steps[release.step].answers:
        share = rule.steps[release.step + 1].share
        reason = f"Nothing speaks against it: {share:.0%} of requests go to the candidate."
        return replace(now, step=release.step + 1, share=share, reason=reason)
    return now


def rolled_back(release: Release, reason: str, subject: str) -> Release:
    """By hand, from wherever it is."""
    by = f" by {subject}" if subject else " by hand"
    said = f": {reason}" if reason else "."
    return move(release, State.ROLLED_BACK, f"Rolled back{by}{said}"[:1000], share=0.0)
