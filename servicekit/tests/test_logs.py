"""Log lines: shape, context, exceptions, and the standard library's loggers."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import logging
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import pydantic
import pytest
import structlog
from opentelemetry import trace

from servicekit.logs import bind, configure_logs, get_logger


class Lines:
    def __init__(self, level: str = "info", fmt: str = "json") -> None:
        self.out = io.BytesIO()
        configure_logs("bakery", level, fmt, self.out)

    def all(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.getvalue().splitlines()]

    def one(self) -> dict[str, Any]:
        [line] = self.all()
        return line


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_a_line_is_one_json_object() -> None:
    lines = Lines()
    get_logger("x").info("bread is\nready", loaves=3, oven=None)
    line = lines.one()
    assert list(line)[:4] == ["time", "level", "service", "event"]
    assert (line["level"], line["service"], line["event"]) == ("info", "bakery", "bread is\nready")
    assert (line["loaves"], line["oven"]) == (3, None)
    assert line["time"].endswith("+00:00")


def test_less_severe_lines_are_left_out() -> None:
    lines = Lines("warning")
    get_logger().info("a")
    logging.getLogger("b").info("b")
    get_logger().warning("c")
    logging.getLogger("d").warning("d")
    assert [line["event"] for line in lines.all()] == ["c", "d"]


async def test_what_a_task_binds_is_on_its_lines_only() -> None:
    lines = Lines()

    async def work(number: int) -> None:
        bind(request_id=f"r{number}", tenant=f"t{number}")
        await asyncio.sleep(0)
        get_logger().info("structlog")
        logging.getLogger("library").warning("stdlib")

    await asyncio.gather(*(asyncio.create_task(work(n)) for n in range(3)))
    for line in lines.all():
        assert line["request_id"][1:] == line["tenant"][1:]
    assert {line["tenant"] for line in lines.all()} == {"t0", "t1", "t2"}


def test_the_trace_is_on_the_line() -> None:
    lines = Lines()
    context = trace.SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=trace.TraceFlags(1))
    with trace.use_span(trace.NonRecordingSpan(context)):
        get_logger().info("in")
    get_logger().info("out")
    inside, outside = lines.all()
    assert inside["trace_id"] == f"{0xABC:032x}"
    assert inside["span_id"] == f"{0xDEF:016x}"
    assert "trace_id" not in outside


def test_an_exception_is_told_without_secrets() -> None:
    lines = Lines()
    try:
        try:
            raise KeyError("sk-proj-abcdefghijkl")
        except KeyError as error:
            raise RuntimeError("for ada@example.com with Bearer abcdefghijkl " + "y" * 5000) from error
    except RuntimeError:
        get_logger().exception("failed", messages=["what somebody asked"])
    line = lines.one()
    assert line["level"] == "error"
    assert line["error_type"] == "RuntimeError"
    assert "test_an_exception_is_told_without_secrets" in line["exception"]
    for secret in ("ada@example.com", "abcdefghijkl", "y" * 501, "what somebody asked"):
        assert secret not in json.dumps(line)


def test_exceptions_that_quote_their_input_lose_their_words() -> None:
    class Body(pydantic.BaseModel):
        n: int

    lines = Lines()
    failures: list[Any] = [
        lambda: Body.model_validate({"n": "what somebody asked"}),
        lambda: json.loads('{"what somebody asked"'),
        lambda: b"what somebody asked \xff".decode(),
    ]
    for fail in failures:
        try:
            fail()
        except Exception:
            get_logger().exception("failed")
    assert len(lines.all()) == 3
    assert all("quotes what was sent" in line["exception"] for line in lines.all())
    assert not any("asked" in line["exception"].split("\n")[-1] for line in lines.all())


def test_the_standard_library_takes_the_same_way() -> None:
    early = logging.getLogger("uvicorn")
    early.addHandler(logging.StreamHandler())
    early.propagate = False
    lines = Lines()
    early.warning("refused %s", "Bearer abcdefghijkl")
    try:
        raise ValueError("for ada@example.com")
    except ValueError:
        logging.getLogger("grpc").exception("broke")
    first, second = lines.all()
    assert (first["logger"], first["level"]) == ("uvicorn", "warning")
    assert "abcdefghijkl" not in first["event"]
    assert second["error_type"] == "ValueError"
    assert "ada@example.com" not in second["exception"]


def test_a_record_that_cannot_be_formatted_breaks_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Lines()
    logging.getLogger("x").warning("%d", "no number")
    assert "TypeError" in capsys.readouterr().err


def test_text_is_for_people() -> None:
    lines = Lines(fmt="text")
    get_logger().info("bread is ready", loaves=3)
    try:
        raise ValueError("burnt")
    except ValueError:
        get_logger().exception("failed")
    text = lines.out.getvalue().decode()
    assert "info    bakery: bread is ready loaves=3\n" in text
    assert text.endswith("ValueError: burnt\n")


class Full(io.RawIOBase):
    """A stream on a full disk."""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_line_that_cannot_be_written_breaks_nothing() -> None:
    configure_logs("test", "info", "json", cast(BinaryIO, Full()))
    get_logger("test").warning("nobody reads this")
    logging.getLogger("test").warning("nor this")
