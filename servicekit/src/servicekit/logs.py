"""Structured logs: one line an event on stderr, with request, trace and tenant, without personal data.

Log facts, never content: `log.info("answer ended", model=name, completion_tokens=17)`. The scrubber is
the second lock, not the first. The standard library's loggers run through the same pipeline.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, BinaryIO

import orjson
from opentelemetry import trace

from servicekit.scrub import REMOVED, is_secret_key, scrub, scrub_text

# structlog loads rich wherever that is installed: 7 MB for pretty tracebacks that no service prints.
_hidden = "rich" not in sys.modules and "structlog" not in sys.modules
if _hidden:
    sys.modules["rich"] = None  # type: ignore[assignment]
import structlog  # noqa: E402

if _hidden:
    del sys.modules["rich"]

get_logger = structlog.get_logger
bind = structlog.contextvars.bind_contextvars
"""Adds fields (request_id, tenant) to every later line of the running task."""

Event = MutableMapping[str, Any]
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_FIRST = ("time", "level", "service", "event")
_QUIET = (
    "asyncio",
    "httpx",
    "httpcore",
    "uvicorn.access",
    "uvicorn.error",
    "sqlalchemy",
    "alembic",
    "grpc",
    "kafka",
)
_TRACEBACK_LIMIT = 12_000


def configure_logs(service: str, level: str, fmt: str, stream: BinaryIO | None = None) -> None:
    """Sends every log line of the process to stderr as JSON (`fmt` "json") or as text for people ("text")."""
    number = _LEVELS[level.lower()]
    out = _Unfailing(stream or sys.stderr.buffer)
    render = _as_json if fmt == "json" else _as_text

    def emit(event: Event) -> bytes:
        event.setdefault("service", service)
        return render(_finish(event))

    def last(_logger: Any, method: str, event: Event) -> bytes:
        event["level"] = "error" if method == "exception" else method
        return emit(event)

    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=_Factory(out),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Bridge(out, emit)]
    root.setLevel(number)
    for name in list(logging.root.manager.loggerDict):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    logging.captureWarnings(True)


class _Unfailing:
    """A log line never breaks the work that it tells of: where there is no room for it, on a full disk or
    behind a closed pipe, it is lost.
    """

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def write(self, line: bytes) -> int:
        with contextlib.suppress(OSError, ValueError):
            return self._out.write(line)
        return len(line)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._out.flush()


class _Factory:
    def __init__(self, out: Any) -> None:
        self._out = out

    def __call__(self, *args: Any) -> structlog.BytesLogger:
        return structlog.BytesLogger(self._out)


class _Bridge(logging.Handler):
    """Gives the standard library's records the same way out."""

    def __init__(self, out: Any, emit: Callable[[Event], bytes]) -> None:
        super().__init__()
        self._write = structlog.BytesLogger(out).msg
        self._emit = emit

    def emit(self, record: logging.LogRecord) -> None:
        try:
            event: Event = {
                "event": record.getMessage(),
                "logger": record.name,
                "level": record.levelname.lower(),
                **structlog.contextvars.get_contextvars(),
            }
            if record.exc_info and record.exc_info[1] is not None:
                event["exc_info"] = record.exc_info
            self._write(self._emit(event))
        except Exception:  # a log line must never break the work it tells of
            self.handleError(record)


def _finish(event: Event) -> dict[str, Any]:
    """Adds time and trace, turns an exception into text, takes secrets out."""
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event["trace_id"] = f"{span.trace_id:032x}"
        event["span_id"] = f"{span.span_id:016x}"
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()
    if isinstance(error, tuple):
        error = error[1]
    line: dict[str, Any] = {"time": datetime.now(UTC).isoformat(timespec="milliseconds")}
    for name in _FIRST[1:]:
        if name in event:
            line[name] = scrub_text(str(event.pop(name)))
    for name, value in event.items():
        line[name] = REMOVED if is_secret_key(name) else scrub(value)
    if isinstance(error, BaseException):
        line["error_type"] = type(error).__name__
        line["exception"] = scrub_text(format_exception(error), _TRACEBACK_LIMIT)
    return line


def format_exception(error: BaseException) -> str:
    """The traceback. Each exception's own words are cut short; those that quote their input lose them."""
    told = traceback.TracebackException.from_exception(error, limit=-20, compact=True)
    _shorten(told, error, set())
    return "".join(told.format()).rstrip()


def _shorten(told: traceback.TracebackException, error: BaseException, seen: set[int]) -> None:
    if id(error) in seen:
        return
    seen.add(id(error))
    words = str(error) if not _quotes_input(error) else f"{REMOVED} (it quotes what was sent)"
    # TracebackException keeps the words privately; there is no public way to shorten them.
    told._str = words[:500]  # type: ignore[attr-defined]
    if told.__cause__ is not None and error.__cause__ is not None:
        _shorten(told.__cause__, error.__cause__, seen)
    if told.__context__ is not None and error.__context__ is not None:
        _shorten(told.__context__, error.__context__, seen)
    for part, inner in zip(told.exceptions or (), getattr(error, "exceptions", ()), strict=False):
        _shorten(part, inner, seen)


def _quotes_input(error: BaseException) -> bool:
    # pydantic and the JSON, protobuf, unicode and SQL errors put the offending value into their text
    names = {cls.__name__ for cls in type(error).__mro__}
    return bool(
        names
        & {
            "ValidationError",
            "UnicodeError",
            "JSONDecodeError",
            "StatementError",
            "IntegrityError",
            "ParseError",
        }
    )


def _as_json(line: dict[str, Any]) -> bytes:
    return orjson.dumps(line, option=orjson.OPT_NON_STR_KEYS)


def _as_text(line: Mapping[str, Any]) -> bytes:
    rest = " ".join(f"{k}={v}" for k, v in line.items() if k not in (*_FIRST, "exception"))
    head = (
        f"{line['time'][11:23]} {line.get('level', ''):<7} {line.get('service', '')}: {line.get('event', '')}"
    )
    tail = "\n" + line["exception"] if "exception" in line else ""
    return f"{head} {rest}".rstrip().encode(errors="replace") + tail.encode(errors="replace")
