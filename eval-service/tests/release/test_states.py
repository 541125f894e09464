"""A release goes only where it may, and says why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from eval_service.gate.decide import Verdict
from eval_service.gate.policy import Policy
from eval_service.release.canary import Reading, failed, feedback_value, reading
from eval_service.release.states import Approval, Release, State, approved, judged, move, read, rolled_back
from servicekit.errors import Reason, SixfoldError

RULES = [{"name": "b", "criterion": "passed", "require": "better"}]
STEPS = [{"share": 0.05, "answers": 10}, {"share": 0.2, "answers": 30}, {"share": 0.5, "answers": 60}]


def policy(people: int = 0, *, not_requester: bool = False, **canary: Any) -> Policy:
    return Policy.model_validate(
        {
            "rules": RULES,
            "approvals": {"people": people, "not_requester": not_requester},
            "canary": {"steps": STEPS, "guards": [{"metric": "errors", "margin": 0.02}], **canary},
        }
    )


NEW = Release("rel_1", "acme", "default", "old", "new", "default", "", ("r1", "r2"), "ada", 0.0, 0.0)
OPEN = [Verdict("b", True, "Shown.")]
SHUT = [Verdict("a", True, "Shown."), Verdict("b", False, "Not shown.")]


def test_the_gate_refuses_with_the_first_broken_rule() -> None:
    found = judged(NEW, policy(), SHUT, ["old@1", "new@1"])
    assert (found.state, found.reason) == (State.REFUSED, "The gate refused. Not shown.")
    assert judged(NEW, policy(), [], []).state is State.REFUSED


def test_without_people_and_canary_the_gate_promotes() -> None:
    bare = Policy.model_validate({"rules": RULES})
    found = judged(NEW, bare, OPEN, [])
    assert (found.state, found.share) == (State.PROMOTED, 1.0)
    assert judged(NEW, policy(), OPEN, []).state is State.CANARY


def word(subject: str, yes: bool = True, role: str = "admin") -> Approval:
    return Approval(subject, role, yes, 1.0)


def test_two_people_are_two_people() -> None:
    two = policy(people=2)
    waits = judged(NEW, two, OPEN, [])
    assert waits.state is State.AWAITING
    once = approved(waits, two, word("ada"))
    again = approved(once, two, word("ada"))
    assert again.state is State.AWAITING
    assert len(again.approvals) == 1
    done = approved(again, two, word("bob"))
    assert (done.state, done.share) == (State.CANARY, 0.05)
    with pytest.raises(SixfoldError) as caught:
        approved(done, two, word("eve"))
    assert caught.value.reason is Reason.CONFLICT


def test_who_may_not_approve_may_not() -> None:
    strict = policy(people=1, not_requester=True)
    waits = judged(NEW, strict, OPEN, [])
    for bad in (word("ada"), word("bob", role="member"), word("")):
        with pytest.raises(SixfoldError) as caught:
            approved(waits, strict, bad)
        assert caught.value.reason is Reason.PERMISSION_DENIED
    assert approved(waits, strict, word("bob")).state is State.CANARY
    assert approved(waits, strict, word("bob", yes=False)).state is State.REFUSED


CANARY = judged(NEW, policy(), OPEN, [])
CALM = Reading("errors", 100, 100, 100, 100, -0.1, 0.1)


def seen(low: float, high: float, answers: int = 15) -> Reading:
    return Reading("feedback", 200, answers, 100, answers / 2, low, high)


def test_a_canary_grows_while_nothing_speaks_against_it() -> None:
    steps = [CANARY]
    for answers in (5, 15, 35, 70, 200):
        steps.append(read(steps[-1], policy(), [seen(-0.5, 0.5, answers), CALM]))
    assert [each.share for each in steps] == [0.05, 0.05, 0.2, 0.5, 0.5, 0.5]
    assert all(each.state is State.CANARY for each in steps)
    assert read(steps[-1], policy(most_answers=200), [seen(-0.5, 0.5, 200)]).state is State.ROLLED_BACK


def test_a_canary_decides_by_itself() -> None:
    better = read(CANARY, policy(), [seen(0.02, 0.5), CALM])
    assert (better.state, better.share) == (State.PROMOTED, 1.0)
    assert "difference within [+0.020, +0.500]" in better.reason
    worse = read(CANARY, policy(), [seen(-0.5, -0.02), CALM])
    assert (worse.state, worse.share) == (State.ROLLED_BACK, 0.0)
    fails = replace(CALM, low=-0.4, high=-0.1)
    assert read(CANARY, policy(), [seen(0.2, 0.5), fails]).state is State.ROLLED_BACK
    margin = policy(require="not_worse", margin=0.1)
    assert read(CANARY, margin, [seen(-0.05, 0.5), CALM]).state is State.PROMOTED
    assert read(CANARY, margin, [seen(-0.2, -0.05), CALM]).state is State.CANARY
    assert read(CANARY, margin, [seen(-0.5, -0.2), CALM]).state is State.ROLLED_BACK


def test_by_hand_from_wherever_it_is_but_once() -> None:
    for release in (NEW, CANARY, move(CANARY, State.PROMOTED, "")):
        found = rolled_back(release, "It is rude.", "ada")
        assert (found.state, found.reason, found.share) == (
            State.ROLLED_BACK,
            "Rolled back by ada: It is rude.",
            0,
        )
        with pytest.raises(SixfoldError):
            rolled_back(found, "", "")
    with pytest.raises(SixfoldError):
        move(NEW, State.EVALUATING, "")


def test_the_same_model_in_both_arms_is_promoted_in_at_most_5_of_100_canaries() -> None:
    """The whole way, share by share, looked at after every fiftieth request."""
    rules = policy(most_answers=300)
    promoted = 0
    for trial in range(100):
        generator = np.random.default_rng(trial)
        release, observations = CANARY, []
        while release.state is State.CANARY:
            for _ in range(50):
                arm = int(generator.random() < release.share)
                observations.append((arm, float(generator.random() < 0.7)))
            release = read(release, rules, [reading("feedback", observations, alpha=0.05), CALM])
        promoted += release.state is State.PROMOTED
    assert promoted <= 5


def test_what_people_and_statuses_say() -> None:
    assert [feedback_value("thumbs", v) for v in (-1, 1)] == [0, 1]
    assert feedback_value("score", 4, most=5) == 0.8
    assert feedback_value("score", 9) == 1.0
    assert feedback_value("correction", 0) == feedback_value("flag", 0) == 0
    assert feedback_value("other", 1) is None
    assert [failed(status) for status in (200, 500, 503, 429, 400, 499)] == [1, 0, 0, None, None, None]
