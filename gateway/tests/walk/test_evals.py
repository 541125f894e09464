"""Evals with the official client: made, run, read item by item, compared, deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
from parts.fake_engine import FakeEngine
from parts.fake_evaluation import FakeEvaluation, evaluation_server
from parts.fake_training import JobsServer

EVALS = "/v1/evals"
NO_EVAL, NO_RUN, NO_FILE = f"eval_{'0' * 24}", f"evalrun_{'0' * 24}", f"file-{'0' * 24}"
CONFIG: Any = {
    "type": "custom",
    "item_schema": {"type": "object", "properties": {"n": {"type": "integer"}}},
    "include_sample_schema": True,
}
CRITERIA: Any = [
    {
        "type": "string_check",
        "name": "exact",
        "input": "{{sample.output_text}}",
        "reference": "{{item.answer}}",
        "operation": "eq",
    }
]


@pytest.fixture
def evaluation() -> FakeEvaluation:
    return FakeEvaluation()  # type: ignore[abstract]  # batches and releases are not asked for here


@pytest.fixture
async def server(house: Any, evaluation: FakeEvaluation) -> AsyncIterator[JobsServer]:
    server = evaluation_server(evaluation, house.service_key)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def ready(house: Any, engine: FakeEngine, server: JobsServer) -> Any:
    house.write_config("")
    await house.start(eval_service=f"127.0.0.1:{server.port}", jobs_seconds=5)
    return house


async def make(client: openai.AsyncOpenAI, name: str = "intents") -> str:
    made = await client.evals.create(name=name, data_source_config=CONFIG, testing_criteria=CRITERIA)
    return made.id


def completions(source: Any) -> Any:
    return {
        "type": "completions",
        "model": "tiny",
        "source": source,
        "input_messages": {"type": "template", "template": [{"role": "user", "content": "{{item.n}}"}]},
    }


async def test_an_eval_from_birth_to_end(client: openai.AsyncOpenAI) -> None:
    made = await client.evals.create(
        name="intents", data_source_config=CONFIG, testing_criteria=CRITERIA, metadata={"team": "help"}
    )
    assert (made.object, made.name, made.metadata) == ("eval", "intents", {"team": "help"})
    config: Any = made.data_source_config
    assert config.type == "custom"
    assert config.schema_["properties"]["item"] == CONFIG["item_schema"]
    assert config.schema_["required"] == ["item", "sample"]
    criterion: Any = made.testing_criteria[0]
    assert (criterion.type, criterion.name, criterion.operation) == ("string_check", "exact", "eq")
    changed = await client.evals.update(made.id, name="renamed")
    assert (changed.name, changed.metadata) == ("renamed", {"team": "help"})
    assert (await client.evals.retrieve(made.id)).name == "renamed"
    others = [await make(client, str(n)) for n in range(3)]
    assert [each.id async for each in client.evals.list(limit=2)] == [made.id, *others]
    assert [each.id async for each in client.evals.list(order="desc")][-1] == made.id
    gone = await client.evals.delete(made.id)
    assert (gone.deleted, gone.eval_id, gone.object) == (True, made.id, "eval.deleted")
    with pytest.raises(openai.NotFoundError):
        await client.evals.retrieve(made.id)


async def test_a_run_over_a_file_from_order_to_items(
    client: openai.AsyncOpenAI, http: httpx.AsyncClient, evaluation: FakeEvaluation
) -> None:
    eval_id = await make(client)
    file = await client.files.create(file=("rows.jsonl", b'{"item": {"n": 1}}\n'), purpose="evals")
    run = await client.evals.runs.create(
        eval_id, name="base", data_source=completions({"type": "file_id", "id": file.id})
    )
    assert (run.object, run.status, run.model, run.name) == ("eval.run", "queued", "tiny", "base")
    assert (run.result_counts.total, len(run.per_model_usage)) == (0, 0)
    sent = evaluation.requests[-1].file
    assert (sent.id, sent.bytes, sent.object_key.split("/")[0]) == (file.id, file.bytes, "default")

    evaluation.finish(run.id, True, False, True, True)
    done = await client.evals.runs.retrieve(run.id, eval_id=eval_id)
    counts = done.result_counts
    assert (done.status, counts.total, counts.passed, counts.failed) == ("completed", 4, 3, 1)
    (usage,) = done.per_model_usage
    assert (usage.run_model_name, usage.prompt_tokens, usage.total_tokens) == ("tiny", 12, 20)
    (criterion,) = done.per_testing_criteria_results
    assert (criterion.testing_criteria, criterion.passed, criterion.failed) == ("exact", 3, 1)
    told: Any = (done.model_extra or {})["sixfold"]
    assert [figure["name"] for figure in told["figures"]] == ["exact", "passed", "latency_seconds"]
    assert (told["figures"][0]["low"], told["model_version"]) == (0.375, "v1")

    items = [item async for item in client.evals.runs.output_items.list(run.id, eval_id=eval_id, limit=3)]
    assert [item.status for item in items] == ["pass", "fail", "pass", "pass"]
    assert [item.datasource_item for item in items] == [{"n": n} for n in range(4)]
    failed = client.evals.runs.output_items.list(run.id, eval_id=eval_id, status="fail")
    (bad,) = [item async for item in failed]
    one = await client.evals.runs.output_items.retrieve(bad.id, eval_id=eval_id, run_id=run.id)
    assert one.to_dict() == bad.to_dict()
    assert (one.results[0].name, one.results[0].passed) == ("exact", False)
    assert [(turn.role, turn.content) for turn in one.sample.output] == [("assistant", "answer 1")]
    assert (one.sample.input[0].content, one.sample.usage.total_tokens) == ("question 1", 5)

    page = await http.get(httpx.URL(done.report_url).path)
    assert (page.status_code, page.text) == (200, "<h1>Report</h1>")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    facts = await http.get(httpx.URL(done.report_url).path, params={"format": "json"})
    assert facts.json() == {"run": 1}


async def test_runs_are_compared_called_off_and_deleted(
    client: openai.AsyncOpenAI, http: httpx.AsyncClient, evaluation: FakeEvaluation
) -> None:
    eval_id = await make(client)
    source = completions({"type": "file_content", "content": [{"item": {"n": 1}}]})
    first = await client.evals.runs.create(eval_id, data_source=source)
    second = await client.evals.runs.create(eval_id, data_source=source)
    assert not evaluation.requests[-1].HasField("file")
    path = f"{EVALS}/{eval_id}/runs/{second.id}/comparison"
    compared = (await http.get(path, params={"base_run_id": first.id})).json()["data"]
    assert [(each["name"], each["difference"], each["test"]) for each in compared] == [
        ("exact", 0.5, "mcnemar")
    ]
    called_off = await client.evals.runs.cancel(second.id, eval_id=eval_id)
    assert called_off.status == "canceled"
    evaluation.fail(first.id, "MODEL_NOT_FOUND", "There is no such model.")
    failed = await client.evals.runs.retrieve(first.id, eval_id=eval_id)
    assert failed.status == "failed"
    assert (failed.error.code, failed.error.message) == ("model_not_found", "There is no such model.")
    listed = client.evals.runs.list(eval_id, status="canceled")
    assert [run.id async for run in listed] == [second.id]
    gone: Any = await client.evals.runs.delete(second.id, eval_id=eval_id)
    assert (gone.deleted, gone.run_id) == (True, second.id)
    assert [run.id async for run in client.evals.runs.list(eval_id)] == [first.id]


async def test_another_tenants_evals_runs_and_files_are_not_there(
    ready: Any, client: openai.AsyncOpenAI, evaluation: FakeEvaluation
) -> None:
    eval_id = await make(client)
    source = completions({"type": "file_content", "content": [{"item": {"n": 1}}]})
    run = await client.evals.runs.create(eval_id, data_source=source)
    evaluation.finish(run.id, True)
    other = ready.http(tenant="umbrella")
    runs = f"{EVALS}/{eval_id}/runs"
    for method, path in (
        ("GET", f"{EVALS}/{eval_id}"),
        ("POST", f"{EVALS}/{eval_id}"),
        ("DELETE", f"{EVALS}/{eval_id}"),
        ("GET", runs),
        ("GET", f"{runs}/{run.id}"),
        ("POST", f"{runs}/{run.id}"),
        ("DELETE", f"{runs}/{run.id}"),
        ("GET", f"{runs}/{run.id}/output_items"),
        ("GET", f"{runs}/{run.id}/report"),
        ("GET", f"{runs}/{run.id}/comparison?base_run_id={run.id}"),
    ):
        answer = await other.request(method, path, json={} if method == "POST" else None)
        assert answer.status_code == 404, (method, path, answer.text)
    assert (await other.get(EVALS)).json()["data"] == []
    file = await client.files.create(file=("rows.jsonl", b"{}\n"), purpose="evals")
    theirs = (
        await other.post(EVALS, json={"data_source_config": CONFIG, "testing_criteria": CRITERIA})
    ).json()
    body = {"data_source": completions({"type": "file_id", "id": file.id})}
    refused = await other.post(f"{EVALS}/{theirs['id']}/runs", json=body)
    assert refused.status_code == 404
    assert refused.json()["error"]["param"] == "data_source.source.id"


async def test_bad_bodies_name_the_field(client: openai.AsyncOpenAI, http: httpx.AsyncClient) -> None:
    eval_id = await make(client)
    for path, body, status, param in (
        (EVALS, {"testing_criteria": CRITERIA}, 400, "data_source_config"),
        (EVALS, {"data_source_config": CONFIG, "testing_criteria": []}, 400, "testing_criteria"),
        (EVALS, {"data_source_config": CONFIG, "testing_criteria": [{}]}, 400, "testing_criteria[0].type"),
        (EVALS, {"data_source_config": {"n": 1 << 70}, "testing_criteria": [{}]}, 400, "data_source_config"),
        (f"{EVALS}/{eval_id}/runs", {}, 400, "data_source"),
        (f"{EVALS}/{NO_EVAL}/runs", {"data_source": {}}, 404, None),
        (
            f"{EVALS}/{eval_id}/runs",
            {"data_source": completions({"type": "file_id", "id": NO_FILE})},
            404,
            "data_source.source.id",
        ),
    ):
        answer = await http.post(path, json=body)
        assert answer.status_code == status, (path, body, answer.text)
        assert answer.json()["error"]["param"] == param
    assert (await http.get(f"{EVALS}/{eval_id}/runs/{NO_RUN}")).status_code == 404


async def test_a_run_that_is_sent_again_is_one_run(
    client: openai.AsyncOpenAI, http: httpx.AsyncClient, evaluation: FakeEvaluation
) -> None:
    path = f"{EVALS}/{await make(client)}/runs"
    body = {"data_source": completions({"type": "file_content", "content": [{"item": {"n": 1}}]})}
    first = await http.post(path, json=body)
    assert first.status_code == 201
    again = await http.post(path, json=body, headers={"x-stainless-retry-count": "1"})
    assert again.json()["id"] == first.json()["id"]
    assert len(evaluation.runs) == 1


async def test_viewers_read_and_no_service_says_so(
    house: Any, ready: Any, client: openai.AsyncOpenAI
) -> None:
    eval_id = await make(client)
    viewer = ready.http(role="viewer")
    assert (await viewer.get(f"{EVALS}/{eval_id}")).status_code == 200
    refused = await viewer.post(EVALS, json={"data_source_config": CONFIG, "testing_criteria": CRITERIA})
    assert refused.status_code == 403
    assert "evals:write" in refused.json()["error"]["message"]


async def test_without_an_eval_service_evals_say_so(house: Any, engine: FakeEngine) -> None:
    house.write_config("")
    await house.start()
    answer = await house.http().get(EVALS)
    assert answer.status_code == 503
    assert "not configured" in answer.json()["error"]["message"]
