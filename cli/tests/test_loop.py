"""Data sets, training, evals, releases, feedback and lineage on the command line, before a small gateway."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sixfold_cli.credentials import ensure_secrets, ensure_token
from sixfold_cli.errors import CliError
from sixfold_cli.home import Home
from sixfold_cli.jobs.criteria import parse
from sixfold_cli.jobs.words import curve, percent, size, small, span
from sixfold_cli.main import main

Run = Callable[..., tuple[int, str, str]]
JOB, DATA, BASE_RUN, RUN = f"ftjob-{'a' * 24}", f"ds_{'b' * 24}", f"evalrun_{'c' * 24}", f"evalrun_{'d' * 24}"
EVAL, BATCH, RELEASE, FILE = f"eval_{'e' * 24}", f"batch_{'f' * 24}", f"rel_{'1' * 24}", f"file-{'2' * 24}"
ROWS = [("When do you open?", "hours"), ("I lost my card", "card"), ("Open on Sunday?", "hours")]


class Gateway(ThreadingHTTPServer):
    """Answers by method and path; a list is answered in turn, its last one again and again."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, str]] = []
        self.bodies: dict[str, list[Any]] = {}
        self.keys: list[str] = []
        """Idempotency keys."""
        self.at: dict[str, Any] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def sent(self, call: str) -> Any:
        """The body of the last such call."""
        return self.bodies[call][-1]

    def calls(self, call: str) -> int:
        return len(self.bodies.get(call, []))


class Refused:
    def __init__(self, status: int, message: str, code: str = "failed") -> None:
        self.status, self.body = status, {"error": {"message": message, "code": code}}


class _Handler(BaseHTTPRequestHandler):
    server: Gateway

    def _any(self) -> None:
        sent = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.headers.get("transfer-encoding") == "chunked":
            while length := int(self.rfile.readline(), 16):
                sent += self.rfile.read(length)
                self.rfile.readline()
            self.rfile.readline()
        is_json = self.headers.get("content-type") == "application/json"
        path, _, query = self.path.partition("?")
        call = f"{self.command} {path}"
        self.server.asked.append((call, query))
        self.server.bodies.setdefault(call, []).append(json.loads(sent) if is_json and sent else sent)
        if key := self.headers.get("idempotency-key"):
            self.server.keys.append(key)
        answer = self.server.at.get(call, Refused(404, f"There is nothing at {path}."))
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        status = answer.status if isinstance(answer, Refused) else 200
        body = answer.body if isinstance(answer, Refused) else answer
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        stream = content.startswith(b"data:")
        self.send_header("content-type", "text/event-stream" if stream else "application/json")
        self.send_header("content-length", str(len(content)))
        self.send_header("x-request-id", "req-7")
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = _any  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        empty = {"object": "list", "data": [], "has_more": False}
        server.at |= {
            f"GET /v1/{path}": empty
            for path in ("fine_tuning/jobs", "evals", "batches", "datasets", "releases")
        }
        server.at |= {"POST /v1/files": {"id": FILE}, f"DELETE /v1/files/{FILE}": {"deleted": True}}
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def run(
    home: Home, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Runs `sixfold …` against the gateway; exit code, standard output, standard error."""
    ensure_secrets(home)
    ensure_token(home)
    monkeypatch.setenv("SIXFOLD_HOME", str(home.root))
    monkeypatch.setenv("SIXFOLD_URL", gateway.url)
    monkeypatch.setattr("sixfold_cli.jobs.watch._FIRST", 0.01)

    def sixfold(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["sixfold", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        code = main()
        return code, *capsys.readouterr()

    return sixfold


def listed(*data: Any) -> dict[str, Any]:
    return {"object": "list", "data": list(data), "has_more": False}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in ROWS))
    return path


# ---- data sets


def dataset(status: str = "succeeded", **more: Any) -> dict[str, Any]:
    return {
        "id": DATA, "object": "dataset", "name": "intents", "version": "9f" * 32, "kind": "supervised",
        "status": status, "job_id": "job", "created_at": 1_700_000_000,
        "rows": {"train": 2, "validation": 0, "test": 1}, "left_out": {}, "warnings": [], "error": None,
        **more,
    }  # fmt: skip


CARD = (
    "# intents\n\n## Left out\n\n| reason | rows |\n|---|---|\n| `BAD_JSON` | 1 |\n\n"
    "- rows.jsonl, line 7: not valid JSON\n\n## Warnings\n\n- one label has 3 rows\n"
)


def test_a_data_set_is_made_and_a_bad_row_is_shown_with_its_line(
    run: Run, gateway: Gateway, rows: Path
) -> None:
    made = dataset(left_out={"BAD_JSON": 1}, warnings=["one label has 3 rows"])
    gateway.at |= {
        "POST /v1/datasets": dataset("queued"),
        f"GET /v1/datasets/{DATA}": [dataset("queued"), dataset("running"), made],
        f"GET /v1/datasets/{DATA}/card": CARD.encode(),
    }
    code, out, err = run(
        "datasets", "create", "intents", "--file", str(rows), "--feedback", "--since", "7d", "--seed", "3",
        "--strict", "--test-share", "0.3",
    )  # fmt: skip
    assert code == 0, err
    assert "rows: 2 train, 1 test" in out
    assert "left out: 1 (1 BAD_JSON)" in out
    assert "rows.jsonl, line 7: not valid JSON" in out
    assert "warning: one label has 3 rows" in out
    assert "running" in err, "progress is no result"
    form = gateway.sent("POST /v1/files")
    assert b"fine-tune" in form
    assert b"I lost my card" in form
    body = gateway.sent("POST /v1/datasets")
    since = body["sources"][1].pop("since")
    assert abs(since - (time.time() - 7 * 86_400)) < 60
    assert body == {
        "name": "intents", "sources": [{"type": "file", "file_id": FILE}, {"type": "feedback"}],
        "validation_share": 0.1, "test_share": 0.3, "seed": 3, "strict": True,
    }  # fmt: skip
    assert len(set(gateway.keys)) == 2, "each change has an idempotency key of its own"


def test_a_data_set_that_cannot_be_made_says_why(run: Run, gateway: Gateway, rows: Path) -> None:
    why = {"code": "BAD_ROWS", "message": "1 rows cannot be used: rows.jsonl, line 7: not valid JSON."}
    gateway.at |= {
        "POST /v1/datasets": dataset("queued"),
        f"GET /v1/datasets/{DATA}": dataset("failed", error=why),
    }
    code, out, err = run("datasets", "create", "intents", "--file", str(rows))
    assert (code, out) == (1, "")
    assert "line 7" in err
    code, out, _ = run("datasets", "create", "intents", "--file", str(rows), "--json")
    assert code == 1
    assert json.loads(out)["error"] == why


def test_nothing_is_sent_unless_all_is_there(run: Run, gateway: Gateway, rows: Path) -> None:
    assert run("datasets", "create", "intents")[0] == 2
    code, _, err = run("datasets", "create", "intents", "--file", str(rows), "--file", "gone.jsonl")
    assert (code, err) == (2, "sixfold: gone.jsonl: No such file.\n")
    gateway.at["GET /v1/datasets"] = Refused(403, "The scope is missing.")
    assert run("datasets", "create", "intents", "--file", str(rows))[0] == 4
    assert gateway.calls("POST /v1/files") == 0


def test_data_sets_are_found_by_name_and_read_row_by_row(run: Run, gateway: Gateway) -> None:
    older = dataset("succeeded", id=f"ds_{'0' * 24}", created_at=1_600_000_000)
    newer = dataset("failed", id=f"ds_{'9' * 24}", created_at=1_800_000_000)
    gateway.at |= {
        "GET /v1/datasets": listed(older, dataset(), newer),
        f"GET /v1/datasets/{DATA}/parts/train": b'{"a": 1}\n{"a": 2}\n{"a": 3}',
        f"GET /v1/datasets/{DATA}/card": CARD.encode(),
    }
    code, out, _ = run("datasets", "rows", "intents", "--part", "train", "-n", "2")
    assert (code, out) == (0, '{"a": 1}\n{"a": 2}\n')
    assert run("datasets", "rows", "intents", "--part", "train")[1].splitlines()[-1] == '{"a": 3}'
    assert run("datasets", "show", "intents", "--card")[1] == CARD + "\n"
    assert [line.split()[1] for line in run("datasets")[1].splitlines()[1:]] == [
        newer["id"], DATA, older["id"],
    ]  # fmt: skip
    gateway.at["GET /v1/datasets"] = listed()
    code, _, err = run("datasets", "show", "nobody")
    assert code == 1
    assert "no data set 'nobody'" in err


# ---- training

COST = {
    "object": "fine_tuning.estimate",
    "seconds": 45.4,
    "tokens": 12_340,
    "memory_bytes": 12e8,
    "disk_bytes": 3e8,
}
MODEL = "ft:tiny:default:intents:abc123"


def training(status: str = "running", **metrics: float) -> dict[str, Any]:
    done = status == "succeeded"
    return {
        "id": JOB, "object": "fine_tuning.job", "created_at": 1_700_000_000, "model": "tiny",
        "finished_at": 1_700_000_100 if done else None, "fine_tuned_model": MODEL if done else None,
        "status": status, "error": None, "method": {"type": "supervised"}, "training_file": FILE, "seed": 7,
        "trained_tokens": 12_000 if done else None,
        "sixfold": {"status": status, "progress": metrics.get("step", 0) / 10, "metrics": metrics,
                    "attempt": 1, "started_at": 1_700_000_010},
    }  # fmt: skip


def orders(gateway: Gateway, *looks: Any) -> None:
    event = {
        "id": "e1",
        "level": "warn",
        "message": "Rows left out: 2 DUPLICATE",
        "type": "message",
        "data": {},
    }
    look = {"id": "e2", "level": "info", "message": "Step 5: validation loss", "type": "metrics", "data": {}}
    gateway.at |= {
        "POST /v1/fine_tuning/estimates": COST,
        "POST /v1/fine_tuning/jobs": training("queued"),
        f"GET /v1/fine_tuning/jobs/{JOB}": list(looks),
        f"GET /v1/fine_tuning/jobs/{JOB}/events": listed(look, event),
    }


def test_training_says_what_it_takes_then_how_far_it_is_then_the_models_name(
    run: Run, gateway: Gateway, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sixfold_cli.jobs.progress._QUIET", 0.0)
    orders(
        gateway,
        training("queued"),
        training(step=1, steps=10, loss=3.91, eta_seconds=90),
        training(step=5, steps=10, loss=1.5, validation_loss=1.75, eta_seconds=50),
        training("succeeded", step=10, steps=10, loss=0.41, validation_loss=0.52),
    )
    code, out, err = run(
        "train", str(rows), "--base", "tiny", "--epochs", "3", "--suffix", "intents", "--seed", "7"
    )
    assert code == 0, err
    first, *_ = out.splitlines()
    assert first == "about 45 s, 12,340 tokens, 1.2 GB of memory, 300.0 MB of disk"
    assert "step 1/10 · loss 3.91 · 90 s left" in err
    assert "step 5/10 · loss 1.5 · validation 1.75 · 50 s left" in err
    assert err.count("warn: Rows left out: 2 DUPLICATE") == 1
    assert "validation loss" not in err, "figures are in the progress already"
    assert f"trained {MODEL} in 90 s · 12,000 tokens · loss 3.91 → 0.41 · validation 0.52" in out
    assert f"sixfold ask -m {MODEL}" in out
    body = gateway.sent("POST /v1/fine_tuning/jobs")
    assert body == gateway.sent("POST /v1/fine_tuning/estimates")
    assert body == {
        "model": "tiny", "training_file": FILE, "suffix": "intents", "seed": 7,
        "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3}}},
    }  # fmt: skip


def test_an_estimate_orders_nothing_and_leaves_nothing(run: Run, gateway: Gateway, rows: Path) -> None:
    orders(gateway, training())
    code, out, _ = run("train", str(rows), "--base", "tiny", "--estimate", "--json")
    assert code == 0
    assert json.loads(out) == COST
    assert gateway.calls("POST /v1/fine_tuning/jobs") == 0
    assert gateway.calls(f"DELETE /v1/files/{FILE}") == 1


def test_a_training_that_is_refused_or_fails(run: Run, gateway: Gateway, rows: Path) -> None:
    orders(gateway, training())
    gateway.at["POST /v1/fine_tuning/estimates"] = Refused(
        404, "There is no base model 'tiny'.", "model_not_found"
    )
    code, out, err = run("train", str(rows), "--base", "tiny")
    assert (code, out) == (1, "")
    assert "no base model" in err
    assert gateway.calls(f"DELETE /v1/files/{FILE}") == 1, "what was sent for nothing is not kept"
    why = {"code": "context_length_exceeded", "message": "rows.jsonl, line 3: the row has 900 tokens."}
    orders(gateway, {**training("failed"), "error": why})
    code, _, err = run("train", DATA, "--base", "tiny")
    assert code == 1
    assert "line 3" in err
    assert f"sixfold jobs show {JOB}" in err
    orders(gateway, training("cancelled"))
    code, out, _ = run("train", DATA, "--base", "tiny", "--json")
    assert code == 1
    assert json.loads(out)["status"] == "cancelled"


def test_a_gateway_that_restarts_ends_no_watching(run: Run, gateway: Gateway) -> None:
    away = Refused(503, "The service is starting.")
    orders(
        gateway, training(step=1, steps=10, loss=2), away, training("succeeded", step=10, steps=10, loss=1)
    )
    code, out, _ = run("jobs", "watch", JOB)
    assert code == 0
    assert MODEL in out


def test_ctrl_c_leaves_the_training_alone(home: Home, gateway: Gateway) -> None:
    ensure_secrets(home)
    ensure_token(home)
    orders(gateway, training(step=1, steps=10, loss=2, eta_seconds=9))
    env = {**os.environ, "SIXFOLD_HOME": str(home.root), "SIXFOLD_URL": gateway.url}
    command = [sys.executable, "-m", "sixfold_cli", "train", DATA, "--base", "tiny"]
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        while gateway.calls(f"GET /v1/fine_tuning/jobs/{JOB}") < 2:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"{JOB} goes on" in err
    assert f"sixfold jobs watch {JOB}" in err
    assert f"sixfold jobs cancel {JOB}" in err
    assert "Traceback" not in err
    assert not any("cancel" in call for call, _ in gateway.asked)


def test_a_terminal_gets_a_bar_with_figures_that_fit(home: Home, gateway: Gateway) -> None:
    ensure_secrets(home)
    ensure_token(home)
    figures = {"steps": 100, "loss": 1.25, "validation_loss": 1.75, "eta_seconds": 50}
    orders(
        gateway,
        training(step=4, **figures),
        training(step=5, **{**figures, "loss": 0.5}),
        training("succeeded"),
    )
    env = {
        **os.environ, "SIXFOLD_HOME": str(home.root), "SIXFOLD_URL": gateway.url, "TERM": "xterm",
        "COLUMNS": "80",
    }  # fmt: skip
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "sixfold_cli", "train", DATA, "--base", "tiny"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=theirs, text=True) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # the other end is closed
            while piece := os.read(ours, 65_536):
                shown += piece
        out, _ = process.communicate(timeout=30)
    os.close(ours)
    assert process.returncode == 0
    assert "step 4/100 · loss 1.25 · validation 1.75 · 50 s left" in shown.decode()
    assert "Rows left out: 2 DUPLICATE" in shown.decode()
    assert f"trained {MODEL}" in out
    assert "\x1b" not in out


def test_the_newcomer_gets_no_terminal_codes_into_a_file(run: Run, gateway: Gateway) -> None:
    orders(gateway, training("succeeded", step=10, steps=10, loss=1))
    code, out, err = run("train", DATA, "--base", "tiny")
    assert code == 0
    assert "\x1b" not in out + err


# ---- jobs


def eval_run(
    status: str = "completed", passed: int = 2, model: str = "new", run_id: str = RUN
) -> dict[str, Any]:
    share = passed / 3
    figure = {"low": share / 2, "high": 1.0, "items": 3, "passed": passed, "higher_is_better": True}
    return {
        "id": run_id, "object": "eval.run", "eval_id": EVAL, "name": model, "created_at": 1_700_000_200,
        "status": status, "model": model, "error": None,
        "result_counts": {"total": 3, "passed": passed, "failed": 3 - passed, "errored": 0},
        "sixfold": {"progress": 0.5, "figures": [
            {"name": "passed", "value": share, **figure},
            {"name": "label.macro_f1", "value": 0.625, **{**figure, "passed": 0}},
        ]},
    }  # fmt: skip


def test_all_jobs_are_listed_together_newest_first(run: Run, gateway: Gateway) -> None:
    batch = {
        "id": BATCH, "object": "batch", "endpoint": "/v1/embeddings", "status": "in_progress", "errors": None,
        "created_at": 1_700_000_300, "request_counts": {"total": 10, "completed": 4, "failed": 1},
    }  # fmt: skip
    gateway.at |= {
        "GET /v1/fine_tuning/jobs": listed(training(step=4, steps=10, loss=1.5)),
        "GET /v1/evals": listed({"id": EVAL}),
        f"GET /v1/evals/{EVAL}/runs": listed(eval_run()),
        "GET /v1/batches": listed(batch),
        "GET /v1/datasets": Refused(503, "There is no training service here."),
    }
    code, out, err = run("jobs")
    assert code == 0
    _, *lines = out.splitlines()
    assert [line.split()[0] for line in lines] == [BATCH, RUN, JOB]
    assert "4 of 10 answered · 1 failed" in lines[0]
    assert "2 of 3 passed" in lines[1]
    assert re.search(r"running +40%", lines[2])
    assert err == "not shown: data sets: There is no training service here.\n"
    assert [each["id"] for each in json.loads(run("jobs", "--json")[1])["data"]] == [BATCH, RUN, JOB]


def test_jobs_are_steered_by_their_ids(run: Run, gateway: Gateway) -> None:
    gateway.at |= {
        "GET /v1/evals": listed({"id": f"eval_{'9' * 24}"}, {"id": EVAL}),
        f"GET /v1/evals/{EVAL}/runs/{RUN}": eval_run("in_progress"),
        f"POST /v1/evals/{EVAL}/runs/{RUN}/cancel": eval_run("canceled"),
        f"POST /v1/fine_tuning/jobs/{JOB}/pause": training("paused"),
    }
    assert run("jobs", "cancel", RUN)[:2] == (0, f"{RUN} is called off: canceled\n")
    assert run("jobs", "pause", JOB)[:2] == (0, f"{JOB} is to stand still: paused\n")
    for arguments, word in (
        (("pause", BATCH), "can be told to cancel"),
        (("cancel", DATA), "datasets delete"),
        (("cancel", "what"), "no id of a job"),
    ):
        code, _, err = run("jobs", *arguments)
        assert code == 2
        assert word in err, arguments
    assert run("jobs", "show", f"evalrun_{'0' * 24}")[0] == 1


# ---- evals

COMPARED = {
    "name": "passed", "difference": 1 / 3, "low": -0.1, "high": 0.7, "p_value": 0.04321, "test": "mcnemar",
    "items": 3, "wins": 1, "losses": 0,
}  # fmt: skip


@pytest.fixture
def measured(gateway: Gateway) -> Gateway:
    """An eval whose runs come out as 1 and 2 of 3."""
    base = eval_run(passed=1, model="old", run_id=BASE_RUN)
    gateway.at |= {
        "POST /v1/evals": {"id": EVAL},
        f"POST /v1/evals/{EVAL}/runs": [base, eval_run()],
        f"GET /v1/evals/{EVAL}/runs/{BASE_RUN}": [eval_run("in_progress", model="old"), base],
        f"GET /v1/evals/{EVAL}/runs/{RUN}": eval_run(),
        f"GET /v1/evals/{EVAL}/runs/{RUN}/comparison": listed(COMPARED),
        f"GET /v1/evals/{EVAL}/runs/{RUN}/report": b"<!doctype html><h1>Report</h1>",
    }
    return gateway


def test_two_models_are_compared_on_the_same_rows(
    run: Run, measured: Gateway, rows: Path, tmp_path: Path
) -> None:
    page = tmp_path / "out.html"
    code, out, err = run(
        "eval", str(rows), "--model", "new", "--against", "old", "--system", "Name the intent.",
        "--constrain", "--report", str(page),
    )  # fmt: skip
    assert code == 0, err
    assert re.search(r"old +1 of 3 +33% +17% to 100%", out)
    assert re.search(r"new +2 of 3 +67% +33% to 100%", out)
    assert "label.macro_f1 0.625" in out
    assert "better on 1, worse on 0 of 3" in out
    assert "p = 0.0432 (mcnemar)" in out
    assert f"models promote ALIAS new --run {BASE_RUN} --run {RUN}" in out
    assert page.read_text().startswith("<!doctype html>")
    assert f"base_run_id={BASE_RUN}" in dict(measured.asked)[f"GET /v1/evals/{EVAL}/runs/{RUN}/report"]
    sent = measured.sent("POST /v1/files")
    assert b"evals" in sent
    item = json.loads(next(line for line in sent.splitlines() if b"lost my card" in line))["item"]
    assert item == {
        "messages": [
            {"role": "system", "content": "Name the intent."},
            {"role": "user", "content": "I lost my card"},
        ],
        "question": "I lost my card",
        "answer": "card",
    }
    (criterion,) = measured.sent("POST /v1/evals")["testing_criteria"]
    assert (criterion["type"], criterion["labels"]) == ("labels", ["card", "hours"])
    first, second = measured.bodies[f"POST /v1/evals/{EVAL}/runs"]
    assert (first["data_source"]["model"], second["data_source"]["model"]) == ("old", "new")
    assert first["data_source"]["source"] == {"type": "file_id", "id": FILE}
    assert first["data_source"]["sampling_params"]["response_format"]["choices"] == ["card", "hours"]
    assert measured.calls(f"DELETE /v1/files/{FILE}") == 1


def test_a_share_that_is_too_small_is_exit_code_1(run: Run, measured: Gateway, rows: Path) -> None:
    measured.at[f"POST /v1/evals/{EVAL}/runs"] = eval_run()
    assert run("eval", str(rows), "--model", "new", "--min-pass", "0.6")[0] == 0
    code, out, _ = run("eval", str(rows), "--model", "new", "--min-pass", "0.7", "--json")
    assert code == 1
    told = json.loads(out)
    assert (round(told["passed"], 3), told["min_pass"], told["runs"][0]["id"]) == (0.667, 0.7, RUN)


def test_a_data_sets_rows_are_asked_where_they_are(run: Run, measured: Gateway) -> None:
    turns = [{"role": "user", "content": "Open?"}, {"role": "assistant", "content": "hours"}]
    other = [{"role": "user", "content": "Lost!"}, {"role": "assistant", "content": "card"}]
    lines = [{"messages": turns}, {"messages": [{"role": "system", "content": "S"}, *other]}]
    measured.at |= {
        "GET /v1/datasets": listed(dataset()),
        f"GET /v1/datasets/{DATA}/parts/test": "\n".join(map(json.dumps, lines)).encode(),
        f"POST /v1/evals/{EVAL}/runs": eval_run(),
    }
    assert run("eval", "intents", "--model", "new")[0] == 0
    source = measured.sent(f"POST /v1/evals/{EVAL}/runs")["data_source"]
    assert source["source"] == {"type": "dataset", "id": DATA, "part": "test"}
    assert source["input_messages"] == {"type": "item_reference", "item_reference": "item.messages"}
    assert run("eval", "intents", "--model", "new", "--system", "Be brief.")[0] == 0
    source = measured.sent(f"POST /v1/evals/{EVAL}/runs")["data_source"]
    assert source["source"]["type"] == "dataset"
    assert [turn["content"] for turn in source["input_messages"]["template"]] == [
        "Be brief.",
        "{{item.question}}",
    ]
    assert measured.calls("POST /v1/files") == 0


def test_a_run_that_fails_says_why(run: Run, measured: Gateway, rows: Path) -> None:
    failed = {
        **eval_run("failed"),
        "error": {"code": "model_not_found", "message": "There is no model 'new'."},
    }
    measured.at |= {f"POST /v1/evals/{EVAL}/runs": failed, f"GET /v1/evals/{EVAL}/runs/{RUN}": failed}
    code, _, err = run("eval", str(rows), "--model", "new")
    assert code == 1
    assert "There is no model 'new'." in err


def test_bad_rows_are_named_with_file_and_line(run: Run, measured: Gateway, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"text": "a", "label": "x"}\n\n{oops\n{"text": "", "label": "x"}\n{"n": 1}\n')
    code, out, err = run("eval", str(path), "--model", "new")
    assert (code, out) == (1, "")
    assert "3 of 4 rows cannot be used" in err
    for line in (
        "bad.jsonl, line 3: it is no JSON.",
        "bad.jsonl, line 4: nothing is asked in it.",
        "bad.jsonl, line 5: expected 'messages', 'prompt' and 'completion', or 'text' and 'label'.",
    ):
        assert line in err
    table = tmp_path / "rows.csv"
    table.write_text("Utterance,Intent\nwhen?,hours\n,card\n")
    code, _, err = run("eval", str(table), "--model", "new")
    assert code == 1
    assert "rows.csv, line 3" in err
    assert measured.calls("POST /v1/evals") == 0


def test_criteria_by_name() -> None:
    kinds = {
        each["name"]: each for each in parse(["exact", "contains", "similarity:0.9", "judge:m:1"], ["a", "b"])
    }
    assert kinds["similarity"]["pass_threshold"] == 0.9
    assert kinds["judge"]["model"] == "m:1", "models may have colons in their names"
    assert (kinds["exact"]["type"], kinds["contains"]["operation"]) == ("exact_match", "ilike")
    assert len(parse(["label", "f1"], ["a", "b"])) == 1
    for wrong in ("judge", "best", "similarity:2", "exact:1"):
        with pytest.raises(CliError, match="no criterion"):
            parse([wrong], ["a", "b"])
    with pytest.raises(CliError) as caught:
        parse(["label"], ["a"])
    assert "one answer only" in caught.value.hint


# ---- feedback and lineage


def test_feedback_finds_what_was_asked_last(run: Run, gateway: Gateway, home: Home) -> None:
    code, _, err = run("feedback", "last", "--up")
    assert code == 2
    assert "nothing was asked" in err
    delta = {"model": "m", "choices": [{"index": 0, "delta": {"content": "Paris."}, "finish_reason": "stop"}]}
    gateway.at |= {
        "POST /v1/chat/completions": f"data: {json.dumps(delta)}\n\ndata: [DONE]\n\n".encode(),
        "POST /v1/feedback": {"id": "fb_1", "kind": "thumbs", "value": -1, "request_id": "req-7"},
    }
    assert run("ask", "Where?")[1] == "Paris.\n"
    assert oct((home.run / "last-request.json").stat().st_mode)[-3:] == "600"
    assert run("feedback", "last", "--down")[1] == "fb_1: thumbs down on req-7\n"
    for options, body in (
        (("--down", "--comment", "no"), {"kind": "thumbs", "value": -1, "comment": "no"}),
        (("--score", "0.3"), {"kind": "score", "value": 0.3}),
        (("--correction", "Lyon."), {"kind": "correction", "correction": "Lyon."}),
        (("--flag", "unsafe"), {"kind": "flag", "comment": "unsafe"}),
    ):
        assert run("feedback", "last", *options)[0] == 0
        assert gateway.sent("POST /v1/feedback") == {"request_id": "req-7", **body}
    for options in ((), ("--up", "--down"), ("--flag", "x", "--comment", "y")):
        assert run("feedback", "last", *options)[0] == 2
    assert run("feedback", "req-9", "--up")[0] == 0
    assert gateway.sent("POST /v1/feedback")["request_id"] == "req-9"
    (home.run / "last-request.json").write_text(json.dumps({"request_id": "x", "url": "http://elsewhere"}))
    code, _, err = run("feedback", "last", "--up")
    assert code == 2
    assert "http://elsewhere" in err


def test_lineage_is_a_tree(run: Run, gateway: Gateway) -> None:
    gateway.at["GET /v1/requests/req-7/lineage"] = {
        "object": "request.lineage",
        "request": {"id": "req-7", "at": 1_700_000_000, "requested_model": "support", "route": "rule"},
        "model": {"name": MODEL, "version": "v9", "base": "tiny@v1", "owner": "default"},
        "training": {"job_id": JOB, "method": "supervised", "run_id": "mlrun", "data_sha256": "ab" * 32},
        "dataset": {"id": DATA, "name": "intents", "rows": {"train": 2, "test": 1},
                    "sources": [{"type": "file", "filename": "rows.jsonl", "rows": 3}]},
        "release": {"id": RELEASE, "status": "promoted", "share": 1, "policy": "default",
                    "policy_sha256": "cd" * 32,
                    "verdicts": [{"rule": "better", "passed": True, "reason": "+0.3"}],
                    "approvals": [
                        {"subject": "grace", "role": "admin", "approved": True, "at": 1_700_000_000}
                    ]},
        "evaluations": [{"run_id": RUN, "eval_id": EVAL, "model": MODEL, "report": "/v1/evals/…/report"}],
        "passages": [{"file_id": FILE, "filename": "a.md", "page": 2, "cited": True}],
        "warnings": ["The eval service is away."],
        "feedback": [{"kind": "thumbs", "value": -1, "created_by": "ada"}],
    }  # fmt: skip
    code, out, _ = run("lineage", "req-7")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("req-7")
    assert f"├─ answered by {MODEL} · version v9" in lines
    assert f"│  └─ trained by {JOB} · supervised" in lines
    assert f"│     ├─ data set intents · {DATA} · 2 train, 1 test" in lines
    assert "│     │  └─ file rows.jsonl · 3 rows" in lines
    assert f"├─ released by {RELEASE} · promoted · share 100%" in lines
    assert "│  ├─ kept  better: +0.3" in lines
    assert "│  ├─ approved by grace · admin · 2023-11-14 22:13" in lines
    assert f"│  ├─ measured by {RUN} · {MODEL} · /v1/evals/…/report" in lines
    assert "│  └─ a.md, page 2 · cited" in lines
    assert lines[-1] == "not known: The eval service is away."
    assert "   └─ thumbs down · ada" in lines


def test_an_answer_of_a_plain_model_has_a_short_lineage(run: Run, gateway: Gateway) -> None:
    gateway.at["GET /v1/requests/req-8/lineage"] = {
        "object": "request.lineage", "request": {"id": "req-8", "at": 1, "requested_model": "default"},
        "model": {"name": "tiny", "version": "v1", "base": "", "owner": ""}, "training": None,
        "dataset": None, "release": None, "evaluations": [], "passages": [], "feedback": [],
    }  # fmt: skip
    assert run("lineage", "req-8")[1].splitlines()[1:] == ["└─ answered by tiny · version v1"]
    code, _, err = run("lineage", "req-0")
    assert code == 1
    assert err


def test_audit_is_a_table_and_as_long_as_asked_for(run: Run, gateway: Gateway) -> None:
    entry = {"id": "1", "at": 1_700_000_000, "action": "promoted", "alias": "support", "candidate": MODEL,
             "subject": "grace", "reason": "The canary is better."}  # fmt: skip
    gateway.at["GET /v1/audit"] = {**listed(*[entry] * 3), "has_more": True, "last_id": "1"}
    code, out, _ = run("audit", "-n", "5", "--alias", "support", "--action", "promoted")
    assert code == 0
    assert gateway.asked[0][1].startswith("alias=support&action=promoted&limit=")
    assert len(out.splitlines()) == 6
    assert "grace" in out


# ---- models


def release(status: str, **more: Any) -> dict[str, Any]:
    return {
        "id": RELEASE, "object": "release", "alias": "support", "champion": "tiny", "candidate": MODEL,
        "status": status, "reason": "", "verdicts": [
            {"rule": "better", "passed": status != "refused", "reason": "It passed more.",
             "comparison": COMPARED}
        ],
        "policy": "default", "policy_sha256": "0" * 64, "run_ids": [BASE_RUN, RUN], "approvals": [],
        "share": 0.0, "canary": None, "created_at": 1_700_000_000, "changed_at": 1_700_000_000,
        "subject": "ada", **more,
    }  # fmt: skip


def test_models_lists_alone_and_as_a_group(run: Run, gateway: Gateway) -> None:
    gateway.at["GET /v1/models"] = listed({"id": "tiny", "capabilities": ["chat"], "ready": True})
    assert run("models") == run("models", "list")
    assert "tiny" in run("models")[1]
    assert run("models", "--json")[1] == run("--json", "models")[1]


def test_a_promotion_waits_for_the_gate_and_tells_the_next_step(run: Run, gateway: Gateway) -> None:
    path = f"/v1/releases/{RELEASE}"
    gateway.at |= {
        "POST /v1/releases": release("evaluating"),
        f"GET {path}": [release("evaluating"), release("awaiting_approval")],
    }
    promote = ("models", "promote", "support", MODEL, "--run", BASE_RUN, "--run", RUN)
    code, out, _ = run(*promote, "--policy", "strict")
    assert code == 0
    assert "kept    better: It passed more." in out
    assert f"sixfold models approve {RELEASE}" in out
    assert gateway.sent("POST /v1/releases") == {
        "alias": "support", "candidate": MODEL, "run_ids": [BASE_RUN, RUN], "policy": "strict",
    }  # fmt: skip
    gateway.at[f"GET {path}"] = release("refused", reason="The gate refused.")
    code, out, err = run(*promote)
    assert code == 1
    assert "broken  better" in out
    assert "The gate refused." in err
    seen = {"metric": "feedback", "champion_answers": 9, "champion_good": 5, "candidate_answers": 4,
            "candidate_good": 4, "low": -0.1, "high": 0.9}  # fmt: skip
    canary = release("canary", share=0.2, canary=seen)
    gateway.at[f"GET {path}"] = [canary, release("rolled_back", reason="Errors rose.")]
    code, _, err = run(*promote, "--watch")
    assert code == 1
    assert "20% of requests · feedback: champion 5 of 9, candidate 4 of 4" in err
    assert "Errors rose." in err
    waits = release("awaiting_approval")
    gateway.at[f"GET {path}"] = [waits, waits, canary, release("promoted", share=1.0)]
    code, _, err = run(*promote, "--watch")
    assert code == 0
    assert err.count(f"sixfold models approve {RELEASE}") == 1, (
        "whoever watches is told once what is waited for"
    )
    gateway.at[f"GET {path}"] = [canary, release("promoted", share=1.0)]
    code, out, _ = run(*promote, "--watch", "--json")
    assert code == 0
    assert json.loads(out)["status"] == "promoted"


def test_a_release_is_approved_refused_and_taken_back(run: Run, gateway: Gateway) -> None:
    word = {"subject": "grace", "role": "admin", "approved": True, "at": 1_700_000_000, "comment": "good"}
    gateway.at |= {
        f"POST /v1/releases/{RELEASE}/approve": release("canary", share=0.05, approvals=[word]),
        "POST /v1/releases/rollback": release("rolled_back", reason="slow"),
        "GET /v1/releases": listed(release("rolled_back")),
    }
    code, out, _ = run("models", "approve", RELEASE, "--comment", "good")
    assert code == 0
    assert "grace (admin) approved, 2023-11-14 22:13: good" in out
    run("models", "approve", RELEASE, "--reject")
    assert gateway.sent(f"POST /v1/releases/{RELEASE}/approve") == {"approved": False}
    assert run("models", "rollback", "support")[0] == 2, "a reason is asked for"
    code, out, _ = run("models", "rollback", "support", "--reason", "slow")
    assert code == 0
    assert "rolled back: slow" in out
    assert gateway.sent("POST /v1/releases/rollback") == {"alias": "support", "reason": "slow"}
    assert RELEASE in run("models", "releases", "--alias", "support")[1]


# ---- words


def test_numbers_in_words() -> None:
    assert [span(n) for n in (0, 45.4, 119, 600, 7_200 * 2, 86_400 * 5)] == [
        "0 s", "45 s", "119 s", "10 min", "4 h", "5 d",
    ]  # fmt: skip
    assert [percent(n) for n in (0, 0.004, 0.5, 0.996, 1)] == ["0%", "0.4%", "50%", "99.6%", "100%"]
    assert (size(512), size(1.25e9), small(1e-7), small(0.04)) == (
        "512 B",
        "1.2 GB",
        "p < 0.0001",
        "p = 0.0400",
    )
    assert (curve([1.0]), curve([3, 2, 1]), curve([1, 1])) == ("", "█▅▁", "▁▁")
