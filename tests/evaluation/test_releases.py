"""A candidate's way to a name over the real service: runs, gate, people, canary, route, and back."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from parts.evaluation import Answering, EvalProcess, Evaluation, until

from servicekit.errors import Reason, SixfoldError
from sixfold.eval.v1 import eval_service_pb2 as pb
from sixfold.eval.v1 import release_pb2 as rel
from sixfold.events.v1.release_pb2 import ReleaseChanged
from sixfold.jobs.v1 import job_pb2

RIGHT = {
    "type": "string_check",
    "name": "right",
    "input": "{{sample.output_text}}",
    "reference": "{{item.label}}",
    "operation": "eq",
}
OLDEST_FIRST = job_pb2.Page(limit=100, ascending=True)
ROWS = [{"text": f"start number {index} end", "label": "end"} for index in range(60)]
POLICY = """
minimum_items: 50
rules: [{name: better, criterion: passed, require: better}]
approvals: {people: %d, role: admin}
"""
CANARY = """
canary:
  metric: feedback
  require: better
  steps: [{share: 0.2, answers: 5}, {share: 0.5, answers: 500}]
"""


@pytest.fixture(scope="module")
def policies(shared_eval: EvalProcess) -> None:
    folder = shared_eval.home / "policies"
    folder.mkdir(exist_ok=True)
    (folder / "at-once.yaml").write_text(POLICY % 0)
    (folder / "two-people.yaml").write_text(POLICY % 2 + CANARY)
    (folder / "canary.yaml").write_text(POLICY % 0 + CANARY)
    (folder / "quarter.yaml").write_text(POLICY % 0 + CANARY.replace("0.2,", "0.25,"))


@pytest.fixture
async def runs(acme: Evaluation, policies: None) -> dict[str, str]:
    """Finished runs of the old model and of the new one."""
    eval_id = await acme.make_eval(RIGHT)
    started = {name: await acme.start_run(eval_id, name, ROWS) for name in ("old", "new")}
    return {name: (await acme.ended(run)).id for name, run in started.items()}


async def release(acme: Evaluation, runs: dict[str, str], policy: str, alias: str = "default") -> Any:
    request = pb.CreateReleaseRequest(
        alias=alias, candidate="new", run_ids=[runs["old"], runs["new"]], policy=policy, subject="ada"
    )
    return (await acme.call(request)).release


async def becomes(acme: Evaluation, release_id: str, status: int) -> Any:
    async def there() -> Any:
        found = await acme.release(release_id)
        return found if found.status == status else None

    return await until(there, 30)


async def routes(stream: Any) -> AsyncIterator[dict[str, rel.Route]]:
    async for told in stream:
        yield {route.alias: route for route in told.routes}


async def test_a_better_model_is_promoted_and_taken_back_with_one_command(
    acme: Evaluation, other: Evaluation, runs: dict[str, str], shared_eval: EvalProcess
) -> None:
    stream = acme.watch()
    seen = routes(stream)
    assert await anext(seen) == {}
    made = await release(acme, runs, "at-once")
    assert made.status == rel.RELEASE_STATUS_EVALUATING
    promoted = await becomes(acme, made.id, rel.RELEASE_STATUS_PROMOTED)
    assert list(promoted.versions) == ["old@v1", "new@v1"]
    assert promoted.verdicts[0].comparison.wins == 60
    assert len(promoted.policy_sha256) == 64
    async with asyncio.timeout(5):
        route = (await anext(seen))["default"]
    assert (route.champion, route.candidate, route.release_id) == ("new", "", made.id)
    with pytest.raises(SixfoldError) as caught:  # it answers already
        await release(acme, runs, "at-once")
    assert caught.value.reason is Reason.CONFLICT
    back = (
        await acme.call(
            pb.RollBackRequest(alias="default", reason="It is rude.", subject="bob", role="admin")
        )
    ).release
    assert (back.status, back.reason) == (rel.RELEASE_STATUS_ROLLED_BACK, "Rolled back by bob: It is rude.")
    async with asyncio.timeout(5):
        again = (await anext(seen))["default"]
    assert again.champion == "old"
    assert again.revision > route.revision
    with pytest.raises(SixfoldError) as caught:
        await acme.call(pb.RollBackRequest(alias="default"))
    assert caught.value.reason is Reason.NOT_FOUND
    # Nobody else's name moved; whoever speaks for all tenants sees it with its tenant.
    assert await anext(routes(other.watch())) == {}
    async for told in other.watch(everybody=True):
        assert acme.tenant in {each.tenant for each in told.routes}
        break
    await audited(acme, made.id)
    stream.cancel()


async def audited(acme: Evaluation, release_id: str) -> None:
    """Every step is a line in the audit and an event on the bus."""
    lines = (await acme.call(pb.ListAuditRequest(release_id=release_id, page=OLDEST_FIRST))).entries
    assert [(line.action, line.subject, line.role) for line in lines] == [
        ("release.created", "ada", ""),
        ("gate.passed", "", ""),
        ("promoted", "", ""),
        ("rolled_back", "bob", "admin"),
    ]
    assert (lines[3].alias, lines[3].candidate) == ("default", "new")
    assert lines[3].reason == "Rolled back by bob: It is rude."
    heard: list[ReleaseChanged] = []

    async def hear(event: Any) -> None:
        told = event.parse(ReleaseChanged)
        if told.release_id == release_id:
            assert event.tenant == acme.tenant
            heard.append(told)

    subscription = acme.bus.subscribe(["sixfold.releases"], f"test-{release_id}", hear)

    async def all_heard() -> bool:
        return len(heard) >= 3

    await until(all_heard, 30)
    assert [told.status for told in heard] == ["evaluating", "promoted", "rolled_back"]
    began, up, down = (told.route_revision for told in heard)
    assert began == 0 < up < down
    asked = (await acme.release(release_id)).policy_sha256
    assert {(told.policy, told.policy_sha256) for told in heard} == {("at-once", asked)}
    await subscription.close()


async def test_a_model_that_is_not_better_is_refused(acme: Evaluation, runs: dict[str, str]) -> None:
    request = pb.CreateReleaseRequest(
        alias="default", candidate="old", run_ids=[runs["new"], runs["old"]], policy="at-once", subject="ada"
    )
    made = (await acme.call(request)).release
    refused = await becomes(acme, made.id, rel.RELEASE_STATUS_REFUSED)
    assert "Not shown to be better" in refused.reason
    assert not (await anext(routes(acme.watch())))
    # Runs that measured another model say nothing of this one.
    request = pb.CreateReleaseRequest(
        alias="default", candidate="other", run_ids=[runs["old"], runs["new"]], policy="at-once"
    )
    made = (await acme.call(request)).release
    assert "measured 'new'" in (await becomes(acme, made.id, rel.RELEASE_STATUS_REFUSED)).reason


async def approve(
    acme: Evaluation, release_id: str, subject: str, role: str = "admin", yes: bool = True
) -> Any:
    request = pb.ApproveReleaseRequest(release_id=release_id, approved=yes, subject=subject, role=role)
    return (await acme.call(request)).release


async def test_two_people_approve_and_the_same_twice_is_one(acme: Evaluation, runs: dict[str, str]) -> None:
    made = await release(acme, runs, "two-people")
    with pytest.raises(SixfoldError) as caught:  # one release of a name at a time
        await release(acme, runs, "two-people")
    assert caught.value.reason is Reason.CONFLICT
    await becomes(acme, made.id, rel.RELEASE_STATUS_AWAITING_APPROVAL)
    with pytest.raises(SixfoldError) as caught:
        await approve(acme, made.id, "eve", role="member")
    assert caught.value.reason is Reason.PERMISSION_DENIED
    both = await asyncio.gather(approve(acme, made.id, "ada"), approve(acme, made.id, "ada"))
    assert {each.status for each in both} == {rel.RELEASE_STATUS_AWAITING_APPROVAL}
    assert len((await acme.release(made.id)).approvals) == 1
    on = await approve(acme, made.id, "bob")
    assert (on.status, on.share) == (rel.RELEASE_STATUS_CANARY, 0.2)
    route = (await anext(routes(acme.watch())))["default"]
    assert (route.champion, route.candidate, route.share) == ("old", "new", 0.2)
    assert route.salt


async def judged(acme: Evaluation, model: str, good: bool) -> None:
    await acme.answered("default", model, good=good, times=5)


async def test_a_canary_promotes_by_itself_what_people_like(
    acme: Evaluation, runs: dict[str, str], shared_eval: EvalProcess
) -> None:
    made = await release(acme, runs, "canary")
    await becomes(acme, made.id, rel.RELEASE_STATUS_CANARY)
    await acme.answered("another-name", "new", good=False)
    await acme.answered("default", "a-third-model", good=False)
    for index in range(6):
        await judged(acme, "old", good=index % 2 == 0)
        await judged(acme, "new", good=True)

    async def counted() -> Any:
        found = await acme.release(made.id)
        seen = (found.canary.champion_answers, found.canary.candidate_answers)
        return found if seen == (6, 6) else None

    growing = await until(counted, 30)
    # Each event counts once, though every one came five times.
    assert (growing.canary.champion_good, growing.canary.candidate_good) == (3, 6)
    assert growing.share == 0.5
    for _ in range(60):
        await judged(acme, "old", good=False)
        await judged(acme, "new", good=True)
        if (await acme.release(made.id)).status == rel.RELEASE_STATUS_PROMOTED:
            break
    done = await becomes(acme, made.id, rel.RELEASE_STATUS_PROMOTED)
    assert done.canary.low > 0
    assert "Better on feedback" in done.reason
    page = shared_eval.metrics()
    assert "sixfold_eval_canary_observations_total" in page
    assert 'sixfold_eval_gate_decisions_total{decision="passed"} ' in page
    assert 'sixfold_eval_release_steps_total{state="promoted"} ' in page
    assert 'sixfold_eval_items_total{outcome="passed"} ' in page
    assert 'sixfold_eval_audit_entries_total{action="promoted"} ' in page


async def test_a_canary_rolls_back_by_itself_what_people_dislike(
    acme: Evaluation, runs: dict[str, str], shared_eval: EvalProcess
) -> None:
    made = await release(acme, runs, "quarter")
    await becomes(acme, made.id, rel.RELEASE_STATUS_CANARY)

    async def shown() -> bool:
        """No other canary has its share; those of other tests count among the releases too."""
        page = await asyncio.to_thread(shared_eval.metrics)
        others = re.search(r'^sixfold_eval_releases{state="canary"} [1-9]', page, re.M)
        return bool(others) and 'sixfold_eval_canaries{share="0.25"} 1.0' in page

    assert await until(shown, 30)
    for _ in range(60):
        await judged(acme, "old", good=True)
        await judged(acme, "new", good=False)
        if (await acme.release(made.id)).status == rel.RELEASE_STATUS_ROLLED_BACK:
            break
    done = await becomes(acme, made.id, rel.RELEASE_STATUS_ROLLED_BACK)
    assert done.canary.high < 0
    route = (await anext(routes(acme.watch())))["default"]
    assert (route.champion, route.candidate, route.share) == ("old", "", 0.0)


async def test_a_promotion_and_a_rollback_at_once_leave_one_truth(
    acme: Evaluation, runs: dict[str, str]
) -> None:
    """The last yes and the rollback meet: whatever comes first, route, release and events agree."""
    for round_ in range(4):
        alias = f"name-{round_}"
        made = await release(acme, runs, "two-people", alias)
        await becomes(acme, made.id, rel.RELEASE_STATUS_AWAITING_APPROVAL)
        await approve(acme, made.id, "ada")

        async def take_back(alias: str = alias) -> Any:
            with contextlib.suppress(SixfoldError):
                return await acme.call(pb.RollBackRequest(alias=alias))

        async def last_yes(release_id: str = made.id) -> Any:
            with contextlib.suppress(SixfoldError):
                return await approve(acme, release_id, "bob")

        await asyncio.gather(last_yes(), take_back(), take_back())
        found = await acme.release(made.id)
        route = (await anext(routes(acme.watch()))).get(alias)
        assert found.status == rel.RELEASE_STATUS_ROLLED_BACK
        assert route is None or (route.champion, route.candidate) == ("old", "")


async def test_an_unknown_policy_and_runs_of_nobody_are_refused(
    acme: Evaluation, runs: dict[str, str], models: Answering
) -> None:
    for change, reason in (
        ({"policy": "none"}, Reason.NOT_FOUND),
        ({"policy": "../../etc/passwd"}, Reason.NOT_FOUND),
        ({"run_ids": [runs["old"]]}, Reason.INVALID_REQUEST),
        ({"run_ids": [runs["old"], "evalrun_none"]}, Reason.NOT_FOUND),
        ({"alias": ""}, Reason.INVALID_REQUEST),
    ):
        given: dict[str, Any] = {"alias": "a", "candidate": "new", "run_ids": list(runs.values()), **change}
        with pytest.raises(SixfoldError) as caught:
            await acme.call(pb.CreateReleaseRequest(**given))
        assert caught.value.reason is reason, change
