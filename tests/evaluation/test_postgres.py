"""The records on PostgreSQL: runs, a release, its route and the way back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from parts.evaluation import SUCCEEDED, Answering, EvalProcess, Evaluation, until

from servicekit.errors import Reason, SixfoldError
from sixfold.eval.v1 import eval_service_pb2 as pb
from sixfold.eval.v1 import release_pb2 as rel

RIGHT = {"type": "exact_match", "name": "right", "reference": "{{item.label}}"}
ROWS = [{"text": f"start number {index} end", "label": "end"} for index in range(60)]


async def test_a_release_walks_on_postgresql(
    models: Answering, own_eval: Callable[..., EvalProcess], postgres_url: str
) -> None:
    service = own_eval(SIXFOLD_EVAL_SERVICE_STORE_URL=postgres_url)
    (service.home / "policies").mkdir()
    (service.home / "policies" / "at-once.yaml").write_text(
        "rules: [{name: better, criterion: passed, require: better}]\n"
    )
    async with Evaluation(service, "acme") as acme, Evaluation(service, "other") as other:
        eval_id = await acme.make_eval(RIGHT)
        runs = [await acme.ended(await acme.start_run(eval_id, name, ROWS)) for name in ("old", "new")]
        assert [run.job.status for run in runs] == [SUCCEEDED, SUCCEEDED]
        listed = await acme.call(pb.ListRunsRequest(eval_id=eval_id, page={"limit": 1}))
        assert [run.id for run in listed.runs] == [runs[1].id]
        assert listed.has_more
        request = pb.CreateReleaseRequest(
            alias="default", candidate="new", run_ids=[run.id for run in runs], policy="at-once"
        )
        made = (await acme.call(request)).release
        assert (await acme.call(request)).release.id == made.id  # the same order again

        async def promoted() -> bool:
            return bool((await acme.release(made.id)).status == rel.RELEASE_STATUS_PROMOTED)

        await until(promoted)
        routes = await anext(aiter(acme.watch()))
        assert [(route.alias, route.champion) for route in routes.routes] == [("default", "new")]
        with pytest.raises(SixfoldError) as caught:
            await other.call(pb.RollBackRequest(alias="default"))
        assert caught.value.reason is Reason.NOT_FOUND
        await acme.call(pb.RollBackRequest(alias="default"))
        routes = await anext(aiter(acme.watch()))
        assert [(route.alias, route.champion) for route in routes.routes] == [("default", "old")]
        found = await acme.call(pb.ListReleasesRequest(alias="default"))
        assert [each.id for each in found.releases] == [made.id]
        await acme.call(pb.DeleteEvalRequest(eval_id=eval_id))
        with pytest.raises(SixfoldError):
            await acme.call(pb.GetRunRequest(eval_id=eval_id, run_id=runs[0].id))
