"""Customers ask while a share of them gets the candidate; what they think of the answers decides."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sixfold_cli.demo.asking import Answer, Form, ask, at_once
from sixfold_cli.demo.house import House
from sixfold_cli.demo.judge import RELEASES
from sixfold_cli.demo.material import Message
from sixfold_cli.demo.names import NAME
from sixfold_cli.demo.tell import Teller
from sixfold_cli.jobs.words import percent

_WAVE = 8
"""Customers who come at once."""
_EACH = 2
"""Messages of one customer."""
_ALIKE_SECONDS = 8.0
"""For what was said to reach the test, after the last wave."""


@dataclass
class Crowd:
    """What the customers saw."""

    customers: int = 0
    answers: list[Answer] = field(default_factory=list)
    stayed: int = 0
    """Customers all of whose answers came from one and the same model."""

    def told(self) -> str:
        ours = [answer for answer in self.answers if answer.candidate]
        theirs = [answer for answer in self.answers if not answer.candidate]
        return (
            f"{self.customers} customers, {len(self.answers)} answers: candidate right in {_of(ours)}, "
            f"the other in {_of(theirs)}; {self.stayed} customers got one and the same model throughout"
        )


def watch(
    house: House,
    teller: Teller,
    form: Form,
    traffic: Sequence[Message],
    look: Callable[[], dict[str, Any]],
) -> tuple[dict[str, Any], Crowd]:
    """Waves of new customers until the release is decided, or nobody has anything left to ask."""
    crowd, share = Crowd(), -1.0
    messages = iter(traffic)
    found = look()
    while found["status"] == "canary":
        if found["share"] != share:
            share = found["share"]
            teller.say(f"{percent(share)} of the customers get the candidate.")
        wave = list(_customers(messages, crowd.customers))
        if not wave:
            return _last_look(look), crowd
        for answers in at_once(lambda one: _visit(house, form, *one), wave):
            crowd.customers += 1
            crowd.answers += answers
            crowd.stayed += len({answer.candidate for answer in answers}) == 1
        found = look()
        if seen := found.get("canary"):
            teller.say(
                f"{crowd.customers} customers so far; judged: champion {seen['champion_good']:g} of "
                f"{seen['champion_answers']}, candidate {seen['candidate_good']:g} of "
                f"{seen['candidate_answers']}; difference within [{seen['low']:+.2f}, {seen['high']:+.2f}]."
            )
    return found, crowd


def looking(house: House, release_id: str) -> Callable[[], dict[str, Any]]:
    """The release as it stands, whenever it is asked for."""
    api = house.person("owner", "admin")

    def look() -> dict[str, Any]:
        found: dict[str, Any] = api.call("GET", f"{RELEASES}/{release_id}")
        return found

    return look


def _customers(messages: Iterator[Message], so_far: int) -> Iterator[tuple[str, list[Message]]]:
    """The next wave: a name, and what that customer asks."""
    for number in range(_WAVE):
        mine = list(itertools.islice(messages, _EACH))
        if mine:
            yield f"customer-{so_far + number + 1}", mine


def _visit(house: House, form: Form, subject: str, messages: Sequence[Message]) -> list[Answer]:
    """Asks, and says of each answer whether it was right."""
    with house.person(subject).keeping() as api:
        answers = [ask(api, NAME, form, message) for message in messages]
        for answer in answers:
            value = 1 if answer.right else -1
            body = {"request_id": answer.request_id, "kind": "thumbs", "value": value}
            api.change("POST", "/v1/feedback", body)
    return answers


def _last_look(look: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What was said last may still be on its way."""
    limit = time.monotonic() + _ALIKE_SECONDS
    while (found := look())["status"] == "canary" and time.monotonic() < limit:
        time.sleep(0.5)
    return found


def _of(answers: Sequence[Answer]) -> str:
    return f"{sum(answer.right for answer in answers)} of {len(answers)}"
