"""The commands as people run them: output, JSON, exit codes. The gateway is a small server in here."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sixfold_cli.credentials import ensure_secrets, ensure_token
from sixfold_cli.home import Home
from sixfold_cli.main import main

Run = Callable[..., tuple[int, str, str]]


class Double(ThreadingHTTPServer):
    """Answers what a test told it to, and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, str, str, Any]] = []
        self.status = 200
        self.headers: dict[str, str] = {"content-type": "application/json"}
        self.body = b"{}"
        self.at: dict[str, object] = {}
        """What single paths answer, by "GET /path" without a query."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, body: object, status: int = 200, **headers: str) -> None:
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.status = status
        self.headers |= {name.replace("_", "-"): value for name, value in headers.items()}

    def stream(self, *events: object, end: bool = True) -> None:
        lines = [f"data: {json.dumps(event)}\n\n" for event in events]
        self.answer(
            "".join([*lines, "data: [DONE]\n\n" if end else ""]).encode(), content_type="text/event-stream"
        )


class _Handler(BaseHTTPRequestHandler):
    server: Double

    def _any(self) -> None:
        sent = self.rfile.read(int(self.headers.get("content-length") or 0))
        bearer = self.headers.get("authorization", "")
        is_json = self.headers.get("content-type") == "application/json"
        body = json.loads(sent) if is_json and sent else None
        self.server.asked.append((self.command, self.path, bearer, body))
        here = self.server.at.get(f"{self.command} {self.path.split('?')[0]}")
        answer = self.server.body if here is None else json.dumps(here).encode()
        self.send_response(self.server.status)
        for name, value in {**self.server.headers, "content-length": str(len(answer))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_DELETE = _any  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def gateway() -> Iterator[Double]:
    with Double() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def run(home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `sixfold …` on this test's home; exit code, standard output, standard error."""
    ensure_secrets(home)
    ensure_token(home)
    monkeypatch.setenv("SIXFOLD_HOME", str(home.root))

    def sixfold(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["sixfold", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        code = main()
        return code, *capsys.readouterr()

    return sixfold


def delta(text: str, finish: str | None = None) -> dict[str, object]:
    return {"model": "m", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]}


def test_ask_streams_and_shows_the_owners_token(run: Run, gateway: Double, home: Home) -> None:
    gateway.stream(
        delta("Because "), delta("of light.", "stop"), {"choices": [], "usage": {"completion_tokens": 4}}
    )
    code, out, err = run(
        "ask", "Why?", "--url", gateway.url, "--system", "Be brief.", "--max-tokens", "9", "-v"
    )
    assert (code, out) == (0, "Because of light.\n")
    assert "4 tokens" in err
    method, path, bearer, body = gateway.asked[0]
    assert (method, path) == ("POST", "/v1/chat/completions")
    assert bearer == f"Bearer {home.token.read_text().strip()}"
    assert [each["role"] for each in body["messages"]] == ["system", "user"]
    assert (body["model"], body["stream"], body["max_completion_tokens"]) == ("default", True, 9)


def test_ask_reads_standard_input_and_gives_json(run: Run, gateway: Double) -> None:
    gateway.stream(delta("Yes.", "stop"), {"choices": [], "usage": {"completion_tokens": 2}})
    code, out, _ = run("ask", "-", "--json", "--url", f"{gateway.url}/v1", stdin="Is it?\n")
    answer = json.loads(out)
    assert code == 0
    assert (answer["content"], answer["finish_reason"], answer["usage"]) == (
        "Yes.",
        "stop",
        {"completion_tokens": 2},
    )
    assert gateway.asked[0][3]["messages"] == [{"role": "user", "content": "Is it?\n"}]


def test_an_answer_that_breaks_off_fails(run: Run, gateway: Double) -> None:
    gateway.stream(delta("Because "), end=False)
    code, out, err = run("ask", "Why?", "--url", gateway.url)
    assert code == 1
    assert out.startswith("Because")
    assert "broke off" in err


def test_an_error_inside_a_stream_fails(run: Run, gateway: Double) -> None:
    gateway.stream(
        delta("Because "), {"error": {"message": "The engine was lost.", "code": "STREAM_INTERRUPTED"}}
    )
    code, out, _ = run("ask", "Why?", "--url", gateway.url, "--json")
    assert code == 1
    assert json.loads(out)["error"]["reason"] == "STREAM_INTERRUPTED"


@pytest.mark.parametrize(("status", "expected"), [(401, 4), (403, 4), (404, 1), (429, 5), (500, 1), (503, 5)])
def test_each_refusal_has_its_exit_code(run: Run, gateway: Double, status: int, expected: int) -> None:
    error = {"error": {"message": "No.", "code": "SOME_REASON", "type": "t", "param": None}}
    gateway.answer(error, status, x_request_id="req-1", retry_after="7")
    code, out, err = run("models", "--url", gateway.url)
    assert (code, out) == (expected, "")
    assert "No." in err
    assert "req-1" in err
    assert ("7 s" in err) == (expected == 5)
    code, out, err = run("models", "--url", gateway.url, "--json")
    assert (code, err) == (expected, "")
    assert json.loads(out)["error"]["reason"] == "SOME_REASON"


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"error": "plain"}'])
def test_an_answer_that_is_no_sixfolds_is_one_line(run: Run, gateway: Double, body: bytes) -> None:
    gateway.answer(body, 502)
    code, _, err = run("models", "--url", gateway.url)
    assert code == 1
    assert err.startswith("sixfold: ")
    assert "Traceback" not in err


def test_nothing_there_is_exit_code_three(run: Run, gateway: Double) -> None:
    gateway.server_close()
    code, _, err = run("ask", "Why?", "--url", gateway.url)
    assert code == 3
    assert "sixfold up" in err


def test_the_owners_token_is_not_sent_to_another_host(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, _ = run("models", "--url", "http://models.example:8080", "--json")
    assert code == 4
    assert json.loads(out)["error"]["reason"] == "MISSING_CREDENTIALS"


def test_models_are_a_table(run: Run, gateway: Double) -> None:
    card = {"id": "smol", "created": 1, "owned_by": "sixfold", "context_tokens": 8192, "ready": True}
    gateway.answer(
        {"object": "list", "data": [card, {**card, "id": "default", "root": "smol"}, {"id": "bare"}]}
    )
    code, out, _ = run("models", "--url", gateway.url)
    assert code == 0
    rows = [line.split() for line in out.splitlines()[1:]]
    assert rows[0] == ["smol", "-", "-", "8192", "-", "yes"]
    assert rows[1][:2] == ["default", "smol"]
    assert rows[2] == ["bare", "-", "-", "-", "-", "-"]


def test_keys_over_the_gateway(run: Run, gateway: Double) -> None:
    gateway.answer({"id": "abc", "key": "sk-sixfold-abc-secret"}, 201)
    options = ("--scopes", "chat:write", "--expires", "30d", "--url", gateway.url)
    assert run("keys", "create", "site", *options)[:2] == (0, "sk-sixfold-abc-secret\n")
    asked = {"name": "site", "scopes": ["chat:write"], "expires_in_seconds": 30 * 86_400}
    assert gateway.asked[-1][3] == asked
    run("keys", "create", "--name", "ci", "--url", gateway.url)
    assert gateway.asked[-1][3] == {"name": "ci", "expires_in_seconds": 90 * 86_400}
    kept = {"id": "abc", "name": "site", "scopes": ["chat:write"], "expires_at": 1_800_000_000}
    gateway.answer({"data": [kept], "has_more": False})
    assert "abc" in run("keys", "list", "--url", gateway.url)[1]
    gateway.answer(b"", 204)
    assert run("keys", "delete", "abc", "--url", gateway.url)[0] == 0
    assert gateway.asked[-1][:2] == ("DELETE", "/v1/keys/abc")


STORES = {"data": [{"id": "vs_1", "name": "handbook", "file_counts": {"completed": 2}}], "has_more": False}
CITED = {
    "type": "file_citation", "number": 1, "file_id": "file-1", "filename": "travel.pdf",
    "vector_store_id": "vs_1", "page": 3, "last_page": 4, "headings": ["Travel", "Trains"], "index": 9,
}  # fmt: skip


def test_ask_over_a_store_ends_with_its_numbered_sources(run: Run, gateway: Double) -> None:
    gateway.at["GET /v1/vector_stores"] = STORES
    path = {"attributes": {"path": "handbook/travel.pdf"}}
    gateway.at["GET /v1/vector_stores/vs_1/files/file-1"] = path
    other = {**CITED, "number": 2, "file_id": "file-2", "filename": "b.md", "page": None, "headings": []}
    cited = {"choices": [{"index": 0, "delta": {"annotations": [other, CITED, CITED]}}]}
    gateway.stream(delta("By train."), cited, delta("", "stop"))
    arguments = ("ask", "--store", "handbook", "How do I travel?", "-f", "year>=2025", "--url", gateway.url)
    code, out, _ = run(*arguments)
    assert code == 0
    assert out.splitlines() == [
        "By train.",
        "",
        "Sources:",
        "  [1] handbook/travel.pdf, pages 3–4 · Travel › Trains",
        "  [2] b.md",
    ]
    asked = next(body for method, path, _, body in gateway.asked if path == "/v1/chat/completions")
    assert asked["vector_store_ids"] == ["vs_1"]
    assert asked["file_search"] == {"filters": {"type": "gte", "key": "year", "value": 2025}}
    answer = json.loads(run(*arguments, "--json")[1])
    assert [each["number"] for each in answer["sources"]] == [2, 1, 1]


def test_an_answer_without_sources_says_so(run: Run, gateway: Double) -> None:
    gateway.at["GET /v1/vector_stores"] = STORES
    gateway.stream(delta("I could not find it.", "stop"))
    out = run("ask", "--store", "vs_1", "Who?", "--url", gateway.url)[1]
    assert "No sources: nothing was found" in out
    gateway.headers["x-sixfold-grounding"] = "passages=2; files=1"
    assert "passages were read" in run("ask", "--store", "vs_1", "Who?", "--url", gateway.url)[1]
    assert run("ask", "--store", "nobody", "Who?", "--url", gateway.url)[0] == 1
    assert run("ask", "Who?", "-f", "a=b", "--url", gateway.url)[0] == 2


def test_search_shows_rank_score_place_and_words(run: Run, gateway: Double) -> None:
    gateway.at["GET /v1/vector_stores"] = STORES
    hit = {
        "file_id": "file-1", "filename": "travel.pdf", "score": 0.834, "attributes": {},
        "content": [{"type": "text", "text": "Book trains\nearly."}],
        "place": {"page_first": 3, "page_last": 3, "headings": ["Trains"]},
    }  # fmt: skip
    gateway.at["POST /v1/vector_stores/vs_1/search"] = {"data": [hit, {**hit, "score": 0.2}]}
    arguments = ("search", "trains", "--store", "handbook", "-n", "2", "-f", "team=hr", "--url", gateway.url)
    code, out, _ = run(*arguments)
    assert code == 0
    assert out.splitlines()[:2] == [" 1  0.83  travel.pdf, page 3 · Trains", "    Book trains early."]
    sent = {"query": "trains", "max_num_results": 2, "filters": {"type": "eq", "key": "team", "value": "hr"}}
    assert gateway.asked[-1][3] == sent
    assert json.loads(run(*arguments, "--json")[1])["data"][0]["score"] == 0.834
    gateway.at["POST /v1/vector_stores/vs_1/search"] = {"data": []}
    assert run(*arguments)[:2] == (0, "nothing was found\n")


def test_stores_and_files_are_listed_and_deleted(run: Run, gateway: Double) -> None:
    gateway.at["GET /v1/vector_stores"] = STORES
    assert "handbook" in run("stores", "--url", gateway.url)[1]
    assert json.loads(run("--json", "stores", "--url", gateway.url)[1])["data"] == STORES["data"]
    assert json.loads(run("stores", "--json", "list", "--url", gateway.url)[1])["data"] == STORES["data"]
    failed = {
        "id": "file-1", "status": "failed", "filename": "scan.pdf", "attributes": {"path": "a/scan.pdf"},
        "last_error": {"code": "invalid_file", "message": "There is no text in it."},
    }  # fmt: skip
    gateway.at["GET /v1/vector_stores/vs_1/files"] = {"data": [failed], "has_more": False}
    shown = run("files", "--store", "handbook", "--url", gateway.url)[1]
    assert "a/scan.pdf" in shown
    assert "There is no text in it." in shown
    file = {"id": "file-2", "filename": "x.md", "bytes": 1200, "purpose": "assistants", "created_at": 1}
    gateway.at["GET /v1/files"] = {"data": [file], "has_more": False}
    assert "1.2 kB" in run("files", "--url", gateway.url)[1]
    assert run("files", "delete", "file-2", "--url", gateway.url)[:2] == (0, "deleted file-2\n")
    assert gateway.asked[-1][:2] == ("DELETE", "/v1/files/file-2")
    assert run("stores", "delete", "handbook", "--files", "--url", gateway.url)[0] == 0
    assert [each[:2] for each in gateway.asked[-2:]] == [
        ("DELETE", "/v1/files/file-1"),
        ("DELETE", "/v1/vector_stores/vs_1"),
    ]


def test_a_list_is_read_over_all_its_pages(
    run: Run, gateway: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = iter(
        [{"data": [{"id": "vs_1"}], "has_more": True, "last_id": "vs_1"}, {"data": [{"id": "vs_2"}]}]
    )
    monkeypatch.setattr(gateway, "at", {"GET /v1/vector_stores": None})
    monkeypatch.setattr(type(gateway), "body", property(lambda _: json.dumps(next(pages)).encode()), False)
    found = json.loads(run("stores", "--json", "--url", gateway.url)[1])["data"]
    assert [each["id"] for each in found] == ["vs_1", "vs_2"]
    assert gateway.asked[-1][1] == "/v1/vector_stores?limit=100&after=vs_1"


def test_ingest_brings_a_folder_in_and_says_what_it_left_out(
    run: Run, gateway: Double, tmp_path: Path
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# One\n")
    (tmp_path / "docs" / "photo.png").write_bytes(b"png")
    gateway.at = {
        "GET /v1/vector_stores": {"data": []},
        "POST /v1/vector_stores": {"id": "vs_1", "name": "handbook"},
        "POST /v1/files": {"id": "file-1"},
        "POST /v1/vector_stores/vs_1/file_batches": {"id": "vsfb_1"},
        "GET /v1/vector_stores/vs_1/file_batches/vsfb_1": {"file_counts": {"total": 1, "in_progress": 0}},
        "GET /v1/vector_stores/vs_1/file_batches/vsfb_1/files": {
            "data": [{"id": "file-1", "status": "completed"}]
        },
    }
    arguments = (
        "ingest",
        str(tmp_path / "docs"),
        "--store",
        "handbook",
        "-a",
        "year=2026",
        "--url",
        gateway.url,
    )
    code, out, _ = run(*arguments)
    assert code == 0, out
    assert "handbook: 1 added" in out
    assert "docs/photo.png  not a kind of document that is read (.png)" in out
    attached = next(
        body for method, path, _, body in gateway.asked if path.endswith("/file_batches") and body
    )
    assert attached["files"][0]["attributes"]["path"] == "docs/a.md"
    assert attached["files"][0]["attributes"]["year"] == 2026
    report = json.loads(run(*arguments, "--json")[1])
    assert report["store"] == {"id": "vs_1", "name": "handbook"}
    assert (report["added"], report["skipped"][0]["reason"]) == (["docs/a.md"], "UNSUPPORTED")


def test_ingest_without_any_document_makes_no_store(run: Run, gateway: Double, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "photo.txt").touch()
    gateway.at["GET /v1/vector_stores"] = {"data": []}
    code, out, _ = run("ingest", str(tmp_path / "in"), "--url", gateway.url, "--json")
    assert code == 1
    assert json.loads(out)["error"]["reason"] == "NOTHING_TO_INGEST"
    assert "in/photo.txt: empty" in json.loads(out)["error"]["hint"]
    assert all(method == "GET" for method, *_ in gateway.asked)


def test_token_prints_only_the_token(run: Run) -> None:
    code, out, err = run("token", "--tenant", "acme", "--role", "viewer", "--expires", "1h")
    assert (code, err) == (0, "")
    assert out.count(".") == 2
    assert len(out.split()) == 1
    assert run("token", "--role", "king")[0] == 2


def test_status_and_down_when_nothing_runs(run: Run) -> None:
    code, out, _ = run("status", "--json")
    assert code == 3
    assert json.loads(out)["running"] is False
    assert run("status")[0] == 3
    code, out, _ = run("down", "--json")
    assert code == 0
    assert json.loads(out)["stopped"] is False


def test_logs_merge_by_time_and_choose_by_level(run: Run, home: Home) -> None:
    def line(second: int, level: str, event: str) -> str:
        return f'{{"time":"2026-01-01T10:00:0{second}.000+00:00","level":"{level}","event":"{event}"}}\n'

    (home.logs / "gateway.log").write_text(line(1, "info", "one") + line(3, "warning", "three"))
    (home.logs / "model-service.log").write_text(line(2, "info", "two") + "plain words\n")
    shown = run("logs")[1]
    assert [word for word in shown.split() if word in ("one", "two", "three", "plain")] == [
        "one",
        "two",
        "plain",
        "three",
    ]
    assert "one" not in run("logs", "--level", "warning")[1]
    assert json.loads(run("logs", "gateway", "-n", "1", "--json")[1])["event"] == "three"
    assert run("logs", "nobody")[0] == 1


def test_shared_options_stand_before_the_command_too(run: Run, gateway: Double, tmp_path: Path) -> None:
    code, out, _ = run("--json", "status")
    assert json.loads(out)["running"] is False
    code, out, _ = run("--json", "--url", gateway.url, "keys", "list")
    assert (code, json.loads(out)["data"]) == (0, [])
    code, out, _ = run("--json", "--home", str(tmp_path / "other"), "status")
    assert json.loads(out)["home"] == str(tmp_path / "other")


def test_wrong_usage_is_exit_code_two_and_json_where_asked(run: Run) -> None:
    assert run("fly")[0] == 2
    code, out, _ = run("ask", "--json")
    assert code == 2
    assert json.loads(out)["error"]["reason"] == "USAGE"
    assert run("ask", " ")[0] == 2


def test_up_says_each_fault_in_one_line(run: Run, gateway: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIXFOLD_PORT", str(gateway.server_address[1]))
    code, _, err = run("up")
    assert code == 1
    assert f"port {gateway.server_address[1]}" in err
    code, out, _ = run("up", "-d", "--json")
    assert json.loads(out)["error"]["message"].startswith(f"port {gateway.server_address[1]}")
    assert code == 1
    monkeypatch.setenv("SIXFOLD_PORT", "eighty")
    assert "SIXFOLD_PORT=eighty" in run("up")[2]


def test_help_imports_nothing_heavy() -> None:
    check = """
import sys
sys.argv = ["sixfold", "--help"]
from sixfold_cli.main import main
assert main() == 0
heavy = {"torch", "httpx", "psutil", "jwt", "grpc", "asyncio", "pydantic", "rich"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for word in (
        "up",
        "down",
        "status",
        "ask",
        "ingest",
        "search",
        "models",
        "token",
        "keys",
        "logs",
        "Exit codes",
    ):
        assert word in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_for_each_shell(shell: str) -> None:
    command = [sys.executable, "-m", "sixfold_cli", "--show-completion", shell]
    named = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=named)
    assert done.returncode == 0
    assert "sixfold" in done.stdout
