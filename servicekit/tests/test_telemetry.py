"""Traces across processes, kept in a file. Each case runs in a process of its own: tracing is global."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from servicekit.telemetry import configure_tracing, enabled, traceparent

COMMON = """
    import asyncio, sys
    import grpc
    from servicekit import telemetry
    from servicekit.errors import Reason, SixfoldError
    from servicekit.identity import ServiceIdentity
    from servicekit.lifecycle import Lifecycle
    from servicekit.logs import configure_logs
    from servicekit.rpc import RpcServer, call_metadata, open_channel
    from sixfold.model.v1 import model_service_pb2 as pb, model_service_pb2_grpc as pb_grpc

    class Servicer(pb_grpc.ModelServiceServicer):
        async def Generate(self, request, context):
            with telemetry.tracer("engine").start_as_current_span("chat smollm2"):
                yield pb.GenerateResponse()
        async def GetModel(self, request, context):
            with telemetry.tracer("engine").start_as_current_span("load"):
                raise ValueError("what somebody asked")

    async def main(sample):
        configure_logs("bakery", "error", "json")
        stop = telemetry.configure_tracing("bakery", sys.argv[1], sample=sample)
        identity = ServiceIdentity("s", bytes(32))
        server = RpcServer("127.0.0.1:0", service="s", identity=identity, lifecycle=Lifecycle("s"))
        server.add(pb_grpc.add_ModelServiceServicer_to_server, Servicer(), "sixfold.model.v1.ModelService")
        port = await server.start()
        async with open_channel(f"127.0.0.1:{port}") as channel:
            stub = pb_grpc.ModelServiceStub(channel)
            with telemetry.tracer("rest").start_as_current_span("POST /v1/chat/completions"):
                metadata = call_metadata(identity, "s", "acme")
                async for _ in stub.Generate(pb.GenerateRequest(), metadata=metadata, timeout=5):
                    pass
                try:
                    await stub.GetModel(pb.GetModelRequest(), metadata=metadata, timeout=5)
                except grpc.aio.AioRpcError:
                    pass
        await server.stop(1)
        stop()
        print(dict(metadata).get("traceparent", ""))
"""


def trace(tmp_path: Path, sample: float, url: str | None = None) -> tuple[str, list[dict[str, Any]]]:
    file = tmp_path / "traces" / "t.jsonl"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(COMMON) + f"\nasyncio.run(main({sample}))",
            url or f"file://{file}",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "GRPC_VERBOSITY": "NONE"},
    )
    lines = file.read_text().splitlines() if file.exists() else []
    return done.stdout.strip(), [json.loads(line) for line in lines]


def test_one_trace_from_rest_to_the_engine(tmp_path: Path) -> None:
    sent, spans = trace(tmp_path, 1.0)
    named = {span["name"]: span for span in spans}
    rest = named["POST /v1/chat/completions"]
    rpc = named["sixfold.model.v1.ModelService/Generate"]
    engine = named["chat smollm2"]
    assert {span["trace_id"] for span in spans} == {rest["trace_id"]}
    assert rpc["parent_id"] == rest["span_id"]
    assert engine["parent_id"] == rpc["span_id"]
    *ids, flags = sent.split("-")
    assert ids == ["00", rest["trace_id"], rest["span_id"]]
    assert int(flags, 16) & 1
    assert rpc["kind"] == "server"
    assert rpc["service"] == "bakery"
    assert rpc["attributes"]["rpc.grpc.status_code"] == 0


def test_what_an_exception_says_is_in_no_trace(tmp_path: Path) -> None:
    _, spans = trace(tmp_path, 1.0)
    [failed] = [span for span in spans if span["name"] == "load"]
    assert failed["status"] == "error"
    assert failed["events"][0]["attributes"] == {"exception.type": "ValueError"}
    assert "what somebody asked" not in json.dumps(spans)
    [rpc] = [span for span in spans if span["name"].endswith("/GetModel")]
    assert rpc["attributes"]["error.type"] == "INTERNAL"


def test_the_first_process_decides_what_is_sampled(tmp_path: Path) -> None:
    sent, spans = trace(tmp_path, 0.0)
    assert spans == []
    assert not int(sent.split("-")[-1], 16) & 1


def test_a_collector_that_is_away_breaks_nothing(tmp_path: Path) -> None:
    sent, _ = trace(tmp_path, 1.0, "otlp://127.0.0.1:9")
    assert sent.startswith("00-")


def test_off_is_off() -> None:
    configure_tracing("bakery", "off")()
    assert not enabled()
    assert traceparent() is None


def test_off_loads_no_sdk() -> None:
    code = (
        "import sys, servicekit.rpc, servicekit.telemetry as t; t.configure_tracing('s', 'off');"
        "print([m for m in sys.modules if m.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("url", ["jaeger://x", "on", "http://x:4318"])
def test_an_unknown_url_is_one_clear_line(url: str) -> None:
    with pytest.raises(SystemExit, match="SIXFOLD_TELEMETRY_URL"):
        configure_tracing("bakery", url)


def test_a_trace_file_does_not_grow_for_ever(tmp_path: Path) -> None:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    from servicekit.tracing import FileExporter

    file = tmp_path / "t.jsonl"
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(FileExporter(file, max_bytes=4000)))
    for number in range(100):
        provider.get_tracer("x").start_span(f"span-{number}").end()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.jsonl", "t.jsonl.1"]
    assert file.stat().st_size <= 4000
    assert "span-99" in file.read_text()
