"""Every step of a release is told of, once for everything that it did; looking is no step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from eval_service.gate.decide import Verdict
from eval_service.gate.policy import Policy
from eval_service.release.audit import ACTIONS, NOBODY, Actor, Entry, entries
from eval_service.release.canary import Reading
from eval_service.release.states import Approval, Release, State, approved, judged, move, read, rolled_back

RULES = [{"name": "b", "criterion": "passed", "require": "better"}]
STEPS = [{"share": 0.05, "answers": 10}, {"share": 0.2, "answers": 30}]
NEW = Release("rel_1", "acme", "default", "old", "new", "strict", "", ("r1", "r2"), "ada", 0.0, 0.0)
OPEN = [Verdict("b", True, "Shown.")]
ADA = Actor("ada", "admin")


def policy(people: int = 0, canary: bool = True) -> Policy:
    given: dict[str, Any] = {"rules": RULES, "approvals": {"people": people}}
    return Policy.model_validate(given | ({"canary": {"steps": STEPS}} if canary else {}))


def told(before: Release | None, after: Release, actor: Actor = NOBODY) -> list[tuple[str, str]]:
    found = entries(before, after, actor)
    assert {entry.action for entry in found} <= set(ACTIONS)
    return [(entry.action, entry.actor.subject) for entry in found]


def test_a_release_is_asked_for_with_its_policy_and_runs() -> None:
    (made,) = entries(None, NEW, ADA)
    assert (made.action, made.actor) == ("release.created", ADA)
    assert made.details["policy"] == "strict"
    assert len(made.details["policy_sha256"]) == 64
    assert made.details["run_ids"] == ["r1", "r2"]


def test_the_gate_says_what_it_found_and_what_followed_at_once() -> None:
    shut = judged(NEW, policy(), [Verdict("b", False, "Not shown.")], ["old@1", "new@1"])
    (refused,) = entries(NEW, shut, NOBODY)
    assert (refused.action, refused.reason) == ("gate.refused", "The gate refused. Not shown.")
    assert refused.details["verdicts"] == [{"rule": "b", "passed": False, "reason": "Not shown."}]
    assert told(NEW, judged(NEW, policy(1), OPEN, [])) == [("gate.passed", "")]
    assert told(NEW, judged(NEW, policy(), OPEN, [])) == [("gate.passed", ""), ("canary.step", "")]
    at_once = judged(NEW, policy(canary=False), OPEN, [])
    assert told(NEW, at_once) == [("gate.passed", ""), ("promoted", "")]


def test_each_word_has_its_person_and_role() -> None:
    two = policy(people=2)
    waits = judged(NEW, two, OPEN, [])
    once = approved(waits, two, Approval("ada", "admin", True, 1.0, "good"))
    (first,) = entries(waits, once, ADA)
    assert first == Entry("approved", ADA, "ada said yes.", {"comment": "good", "people_who_said_yes": 1})
    again = approved(once, two, Approval("ada", "admin", True, 2.0))
    (repeated,) = entries(once, again, ADA)
    assert repeated.details["people_who_said_yes"] == 1
    done = approved(again, two, Approval("bob", "admin", True, 3.0))
    assert told(again, done, Actor("bob", "admin")) == [("approved", "bob"), ("canary.step", "")]
    no = approved(again, two, Approval("bob", "admin", False, 3.0, "rude"))
    (rejected,) = entries(again, no, Actor("bob", "admin"))
    assert (rejected.action, rejected.details["comment"]) == ("rejected", "rude")
    # Somebody else's release took the name while the last yes was given.
    late = move(replace(done, state=State.AWAITING), State.REFUSED, "Another model answers.")
    assert told(again, late) == [("approved", "bob"), ("gate.refused", "")]


def test_a_canarys_steps_and_its_end_say_what_was_seen() -> None:
    canary = judged(NEW, policy(), OPEN, [])
    looked = read(canary, policy(), [Reading("feedback", 9, 5, 5, 4, -0.5, 0.5)])
    assert looked != canary
    assert entries(canary, looked, NOBODY) == []
    more = read(canary, policy(), [Reading("feedback", 90, 15, 50, 14, -0.1, 0.5)])
    (step,) = entries(canary, more, NOBODY)
    assert (step.action, step.details["share"]) == ("canary.step", 0.2)
    assert step.details["canary"][0]["candidate_answers"] == 15
    better = read(more, policy(), [Reading("feedback", 90, 40, 50, 38, 0.1, 0.5)])
    assert told(more, better) == [("promoted", "")]
    worse = read(more, policy(), [Reading("feedback", 90, 40, 50, 3, -0.5, -0.1)])
    assert told(more, worse) == [("rolled_back", "")]
    (back,) = entries(better, rolled_back(better, "It is rude.", "ada"), ADA)
    assert (back.action, back.actor, back.details["from"]) == ("rolled_back", ADA, "promoted")
    assert told(NEW, rolled_back(NEW, "", "ada"), ADA) == [("rolled_back", "ada")]
