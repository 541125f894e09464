"""Runs over the real service, real jobs and a real bus; only the model is made up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from parts.evaluation import CANCELLED, FAILED, SUCCEEDED, Answering, EvalProcess, Evaluation, until

from servicekit.errors import Reason, SixfoldError
from sixfold.eval.v1 import eval_service_pb2 as pb

RIGHT = {
    "type": "string_check",
    "name": "right",
    "input": "{{sample.output_text}}",
    "reference": "{{item.label}}",
    "operation": "eq",
}
LABELS = {"type": "labels", "name": "intent", "reference": "{{item.label}}"}


def rows(count: int) -> list[dict[str, Any]]:
    return [
        {"text": f"start number {index} end{index % 3}", "label": f"end{index % 3}"} for index in range(count)
    ]


async def test_a_run_measures_and_two_runs_compare(acme: Evaluation, models: Answering) -> None:
    eval_id = await acme.make_eval(RIGHT, LABELS)
    old = await acme.start_run(eval_id, "old", rows(60))
    new = await acme.start_run(eval_id, "new", rows(60))
    old, new = await acme.ended(old), await acme.ended(new)
    assert (old.job.status, new.job.status) == (SUCCEEDED, SUCCEEDED), (old.job.message, new.job.message)
    assert dict(new.counts) == {"total": 60, "passed": 60, "failed": 0, "errored": 0}
    assert old.counts["passed"] == 0
    assert (new.model_version, old.data_sha256) == ("v1", new.data_sha256)
    figures = {figure.name: figure for figure in new.figures}
    assert (figures["right"].value, figures["right"].passed, figures["right"].items) == (1.0, 60, 60)
    assert 0.9 < figures["right"].low < figures["right"].high == 1.0
    assert figures["intent.macro_f1"].value == 1.0
    assert figures["latency_seconds"].value > 0
    assert new.usage["prompt"] == 240
    page = await acme.call(
        pb.ListItemsRequest(eval_id=eval_id, run_id=new.id, page={"limit": 50, "ascending": True})
    )
    assert [item.index for item in page.items] == list(range(50))
    assert page.has_more
    rest = await acme.call(
        pb.ListItemsRequest(
            eval_id=eval_id, run_id=new.id, page={"limit": 50, "ascending": True, "after": page.items[-1].id}
        )
    )
    assert [item.index for item in rest.items] == list(range(50, 60))
    newest = await acme.call(pb.ListItemsRequest(eval_id=eval_id, run_id=new.id, page={"limit": 3}))
    assert [item.index for item in newest.items] == [59, 58, 57]
    assert not (await acme.call(pb.ListItemsRequest(eval_id=eval_id, run_id=new.id, status="fail"))).items
    one = (await acme.call(pb.GetItemRequest(eval_id=eval_id, run_id=new.id, item_id=page.items[7].id))).item
    assert json.loads(one.sample_json)["output_text"] == "end1"
    assert json.loads(one.results_json)[0]["passed"]
    compared = await acme.call(pb.CompareRunsRequest(base_run_id=old.id, candidate_run_id=new.id))
    found = {each.name: each for each in compared.comparisons}
    assert (found["right"].test, found["right"].wins, found["right"].losses) == ("mcnemar", 60, 0)
    assert found["right"].p_value < 1e-9
    assert found["latency_seconds"].test == "paired_bootstrap"
    report = await acme.call(pb.GetReportRequest(run_id=new.id, base_run_id=old.id, format="html"))
    assert report.body.startswith(b"<!doctype html>")
    assert b"<svg" in report.body
    told = json.loads((await acme.call(pb.GetReportRequest(run_id=new.id, format="json"))).body)
    assert told["counts"]["passed"] == 60
    single = await acme.call(pb.GetReportRequest(run_id=old.id, format="html"))
    assert b"Items that did not pass" in single.body


async def test_answers_are_held_to_labels_and_rows_may_bring_theirs(
    acme: Evaluation, models: Answering
) -> None:
    eval_id = await acme.make_eval(RIGHT)
    choices = {"type": "choice", "choices": ["end0", "end1", "end2"]}
    run = await acme.ended(
        await acme.start_run(eval_id, "new", rows(4), sampling_params={"response_format": choices, "seed": 3})
    )
    assert run.job.status == SUCCEEDED, run.job.message
    asked = models.requests[-1]
    assert list(asked.response_format.choice.values) == choices["choices"]
    assert asked.sampling.seed == 3
    content = [
        {"item": {"label": "a"}, "sample": {"output_text": "a"}},
        {"item": {"label": "b"}, "sample": {"output_text": "c"}},
    ]
    source = {"type": "jsonl", "source": {"type": "file_content", "content": content}}
    before = len(models.requests)
    made = await acme.call(pb.CreateRunRequest(eval_id=eval_id, data_source_json=json.dumps(source).encode()))
    run = await acme.ended(made.run)
    assert (run.counts["passed"], run.counts["failed"], run.model) == (1, 1, "")
    assert len(models.requests) == before


async def test_a_part_of_a_data_set_is_asked_without_its_answers(acme: Evaluation, models: Answering) -> None:
    turns = [
        [
            {"role": "user", "content": f"number {n} end{n % 3}"},
            {"role": "assistant", "content": f"end{n % 3}"},
        ]
        for n in range(6)
    ]
    content = b"".join(json.dumps({"messages": each}).encode() + b"\n" for each in turns)
    right = RIGHT | {"reference": "{{item.answer}}"}
    eval_id = await acme.make_eval(right)
    part = await acme.upload(content, "ds-test.jsonl")
    part.id = f"ds_{'a' * 24}"
    source: dict[str, Any] = {
        "type": "completions",
        "source": {"type": "dataset", "id": part.id, "part": "test"},
        "model": "new",
        "input_messages": {"type": "item_reference", "item_reference": "item.messages"},
    }

    async def run_of(source: dict[str, Any]) -> Any:
        request = pb.CreateRunRequest(
            eval_id=eval_id, data_source_json=json.dumps(source).encode(), file=part
        )
        return await acme.ended((await acme.call(request)).run)

    run = await run_of(source)
    assert (run.job.status, dict(run.counts)["passed"]) == (SUCCEEDED, 6), run.job.message
    assert [turn.role for turn in models.requests[-1].messages] == ["user"]
    assert json.loads(run.data_source_json)["source"] == source["source"]
    # The data itself, held to its own answers: no model is asked.
    before = len(models.requests)
    own = await run_of({"type": "jsonl", "source": source["source"]})
    assert (dict(own.counts)["passed"], own.model, len(models.requests)) == (6, "", before)
    with pytest.raises(SixfoldError) as caught:
        await acme.call(pb.CreateRunRequest(eval_id=eval_id, data_source_json=json.dumps(source).encode()))
    assert caught.value.reason is Reason.NOT_FOUND  # a data set that the gateway did not find


@pytest.mark.parametrize(
    ("content", "reason", "words"),
    [
        (b"", "EMPTY_DATA", "no row"),
        (b'{"item": {"text": "a", "label": "b"}}\n\nno json\n', "INVALID_ROW", "line 3: it is no JSON"),
        (b'{"item": {"text": "a"}}\n', "INVALID_ROW", "line 1: the item does not follow"),
        (b'{"item": 7}\n', "INVALID_ROW", "line 1: 'item' is no object"),
    ],
)
async def test_bad_rows_end_the_run_and_are_named(
    acme: Evaluation, content: bytes, reason: str, words: str
) -> None:
    eval_id = await acme.make_eval(RIGHT, schema={"type": "object", "required": ["label"]})
    run = await acme.ended(await acme.start_file(eval_id, "new", content))
    assert (run.job.status, run.job.reason) == (FAILED, reason)
    assert words in run.job.message


async def test_rows_that_were_deleted_meanwhile_end_the_run(acme: Evaluation) -> None:
    eval_id = await acme.make_eval(RIGHT)
    gone = await acme.upload(b'{"item": {}}\n')
    await acme.objects.delete(f"{acme.tenant}/{gone.id}")
    source = {"type": "jsonl", "source": {"type": "file_id", "id": gone.id}}
    request = pb.CreateRunRequest(eval_id=eval_id, data_source_json=json.dumps(source).encode(), file=gone)
    run = await acme.ended((await acme.call(request)).run)
    assert (run.job.status, run.job.reason, run.job.attempt) == (FAILED, "FILE_NOT_FOUND", 1)


async def test_a_row_that_no_model_takes_is_one_item_and_no_failed_run(
    acme: Evaluation, models: Answering
) -> None:
    def choosy(text: str, request: Any) -> str:
        if "number 1 " in text:
            raise SixfoldError(Reason.CONTEXT_LENGTH_EXCEEDED, "Too long.")
        return text.split()[-1]

    models.say["new"] = choosy
    eval_id = await acme.make_eval(RIGHT)
    run = await acme.ended(await acme.start_run(eval_id, "new", rows(5)))
    assert dict(run.counts) == {"total": 5, "passed": 4, "failed": 0, "errored": 1}
    items = (await acme.call(pb.ListItemsRequest(eval_id=eval_id, run_id=run.id, status="fail"))).items
    assert [item.reason for item in items] == ["CONTEXT_LENGTH_EXCEEDED"]
    # No answer is no pass: the figure stands on all rows.
    assert {figure.name: figure.items for figure in run.figures}["right"] == 5


async def test_an_unknown_model_ends_the_run(acme: Evaluation, models: Answering) -> None:
    def missing(text: str, request: Any) -> str:
        raise SixfoldError(Reason.MODEL_NOT_FOUND, "There is no such model.")

    models.say["old"] = missing
    eval_id = await acme.make_eval(RIGHT)
    run = await acme.ended(await acme.start_run(eval_id, "old", rows(5)))
    assert (run.job.status, run.job.reason) == (FAILED, "MODEL_NOT_FOUND")


async def test_another_tenants_are_not_there(acme: Evaluation, other: Evaluation) -> None:
    eval_id = await acme.make_eval(RIGHT)
    run = await acme.start_run(eval_id, "new", rows(3))
    foreign = await acme.upload(b'{"item": {}}\n')
    source = {"type": "jsonl", "source": {"type": "file_id", "id": foreign.id}}
    mine = await other.make_eval(RIGHT)
    for request in (
        pb.GetEvalRequest(eval_id=eval_id),
        pb.UpdateEvalRequest(eval_id=eval_id, name="x"),
        pb.DeleteEvalRequest(eval_id=eval_id),
        pb.CreateRunRequest(eval_id=eval_id, data_source_json=json.dumps(source).encode(), file=foreign),
        pb.CreateRunRequest(eval_id=mine, data_source_json=json.dumps(source).encode(), file=foreign),
        pb.GetRunRequest(eval_id=eval_id, run_id=run.id),
        pb.CancelRunRequest(eval_id=eval_id, run_id=run.id),
        pb.DeleteRunRequest(eval_id=eval_id, run_id=run.id),
        pb.ListRunsRequest(eval_id=eval_id),
        pb.ListItemsRequest(eval_id=eval_id, run_id=run.id),
        pb.GetReportRequest(run_id=run.id),
        pb.CompareRunsRequest(base_run_id=run.id, candidate_run_id=run.id),
        pb.CreateReleaseRequest(alias="a", candidate="new", run_ids=[run.id, "evalrun_x"]),
        pb.CreateBatchRequest(endpoint="/v1/chat/completions", input=foreign),
    ):
        with pytest.raises(SixfoldError) as caught:
            await other.call(request)
        assert caught.value.reason is Reason.NOT_FOUND, request
    assert not (await other.call(pb.ListEvalsRequest())).evals[1:]
    assert (await acme.ended(run)).job.status == SUCCEEDED


async def test_the_same_request_id_makes_one(acme: Evaluation) -> None:
    request = pb.CreateEvalRequest(
        request_id="again",
        data_source_config_json=b'{"type": "custom", "item_schema": {}}',
        testing_criteria_json=json.dumps([RIGHT]).encode(),
    )
    first, second = await acme.call(request), await acme.call(request)
    assert first == second
    assert len((await acme.call(pb.ListEvalsRequest())).evals) == 1
    request.name = "another"
    with pytest.raises(SixfoldError) as caught:
        await acme.call(request)
    assert caught.value.reason is Reason.INVALID_REQUEST
    updated = await acme.call(pb.UpdateEvalRequest(eval_id=first.eval.id, name="b"))
    assert updated.eval.name == "b"
    await acme.call(pb.DeleteEvalRequest(eval_id=first.eval.id))
    assert not (await acme.call(pb.ListEvalsRequest())).evals


async def test_a_run_outlives_a_model_service_that_is_away(acme: Evaluation, models: Answering) -> None:
    models.pause = 0.1
    eval_id = await acme.make_eval(RIGHT)
    run = await acme.start_run(eval_id, "new", rows(40))

    async def begun() -> bool:
        return len(models.requests) >= 8

    await until(begun)
    await models.server.stop()
    await asyncio.sleep(3)  # longer than one question's tries
    models.pause = 0
    await models.server.start()
    run = await acme.ended(run)
    assert (run.job.status, run.counts["passed"]) == (SUCCEEDED, 40), run.job.message


async def test_a_run_that_is_called_off_asks_no_more(acme: Evaluation, models: Answering) -> None:
    models.pause = 0.3
    eval_id = await acme.make_eval(RIGHT)
    run = await acme.start_run(eval_id, "new", rows(200))

    async def begun() -> bool:
        return len(models.requests) >= 4

    await until(begun)
    await acme.call(pb.CancelRunRequest(eval_id=eval_id, run_id=run.id))
    ended = await acme.ended(run)
    assert ended.job.status == CANCELLED
    assert len(models.requests) < 200
    await acme.call(pb.DeleteRunRequest(eval_id=eval_id, run_id=run.id))
    assert not (await acme.call(pb.ListRunsRequest(eval_id=eval_id))).runs


async def test_a_killed_service_asks_no_finished_item_again(
    models: Answering, own_eval: Callable[..., EvalProcess]
) -> None:
    service = own_eval(SIXFOLD_EVAL_SERVICE_JOB_PARALLEL="2")
    models.pause = 0.1
    async with Evaluation(service, "acme") as acme:
        eval_id = await acme.make_eval(RIGHT)
        run = await acme.start_run(eval_id, "new", rows(60))

        async def halfway() -> bool:
            return len(models.requests) >= 25

        await until(halfway)
        service.kill()
        asked = len(models.requests)
        models.pause = 0
        service.start()
        run = await acme.ended(run)
        assert run.job.status == SUCCEEDED, run.job.message
        assert run.counts["passed"] == 60
        # At most one checkpoint interval and what was on its way is asked twice.
        assert asked + (60 - asked) <= len(models.requests) <= 60 + 20
