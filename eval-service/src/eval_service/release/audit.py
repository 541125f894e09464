"""What the audit says of a step. Pure: the records write it in the step's own transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

from eval_service.gate.policy import digest
from eval_service.release.states import Release, State

CREATED, GATE_PASSED, GATE_REFUSED = "release.created", "gate.passed", "gate.refused"
APPROVED, REJECTED = "approved", "rejected"
CANARY_STEP, PROMOTED, ROLLED_BACK = "canary.step", "promoted", "rolled_back"
ACTIONS = (
    CREATED,
    GATE_PASSED,
    GATE_REFUSED,
    APPROVED,
    REJECTED,
    CANARY_STEP,
    PROMOTED,
    ROLLED_BACK,
)


class Actor(NamedTuple):
    """Who takes a step, as the gateway verified it; nobody when the service does it by itself."""

    subject: str = ""
    role: str = ""


NOBODY = Actor()


class Entry(NamedTuple):
    """One line."""

    action: str
    actor: Actor
    reason: str
    """One sentence for a person."""
    details: Mapping[str, Any]
    """What it was decided on."""


def entries(before: Release | None, after: Release, actor: Actor) -> list[Entry]:
    """The lines of one step, in the order in which its parts happened; `before` is None for a new release.

    A canary that was only looked at is no step: nothing was done.
    """
    if before is None:
        facts = {
            "policy": after.policy,
            "policy_sha256": digest(after.policy_text),
            "run_ids": list(after.run_ids),
        }
        return [Entry(CREATED, actor, after.reason, facts)]
    made = []
    if before.state is State.EVALUATING and after.state is not State.ROLLED_BACK:
        made.append(_gate(after))
    said_no = False
    for word in after.approvals:
        if word in before.approvals:
            continue
        said_no = said_no or not word.approved
        people = sum(each.approved for each in after.approvals)
        made.append(
            Entry(
                APPROVED if word.approved else REJECTED,
                Actor(word.subject, word.role),
                f"{word.subject} said {'yes' if word.approved else 'no'}.",
                {"comment": word.comment, "people_who_said_yes": people},
            )
        )
    if after.state is State.REFUSED and before.state is State.AWAITING and not said_no:
        made.append(Entry(GATE_REFUSED, NOBODY, after.reason, {}))
    if after.state is State.CANARY and (before.state is not State.CANARY or after.share != before.share):
        made.append(Entry(CANARY_STEP, NOBODY, after.reason, {"share": after.share, **_seen(after)}))
    elif after.state is State.PROMOTED is not before.state:
        made.append(Entry(PROMOTED, NOBODY, after.reason, {"champion": after.champion, **_seen(after)}))
    elif after.state is State.ROLLED_BACK is not before.state:
        facts = {"from": before.state.value, "champion": after.champion, **_seen(after)}
        made.append(Entry(ROLLED_BACK, actor, after.reason, facts))
    return made


def _gate(after: Release) -> Entry:
    verdicts = [
        {"rule": verdict.rule, "passed": verdict.passed, "reason": verdict.reason}
        for verdict in after.verdicts
    ]
    facts = {"verdicts": verdicts, "versions": list(after.versions)}
    action = GATE_REFUSED if after.state is State.REFUSED else GATE_PASSED
    return Entry(action, NOBODY, after.reason, facts)


def _seen(release: Release) -> dict[str, Any]:
    """What the canary had shown by then."""
    return {"canary": [asdict(reading) for reading in release.readings]} if release.readings else {}
