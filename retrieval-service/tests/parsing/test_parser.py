"""The child processes: what they are kept from, and that nothing but one file suffers from one file."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import orjson
import psutil
import pytest
import pytest_asyncio
from parts import files
from parts.files import w_paragraph

from retrieval_service.documents.errors import DocumentError, FileReason
from retrieval_service.documents.parsed import Block, BlockKind, Parsed
from retrieval_service.parsing.limits import ParserLimits
from retrieval_service.parsing.parser import Parser
from retrieval_service.parsing.wire import Malformed, parsed_to_wire, read_answer
from servicekit.errors import Reason, SixfoldError

# A child whose reader does what the file's name says, as one that a file has taken over would.
_EVIL = """
import ctypes, os, socket, sys, time
import orjson
from retrieval_service.documents.parsed import Block, BlockKind, Parsed
from retrieval_service.parsing import reader, worker
from retrieval_service.parsing.limits import ParserLimits

def says(text):
    return Parsed((Block(BlockKind.PARAGRAPH, str(text)),), "text/plain")

def attempt(deed):
    try:
        deed()
    except OSError as error:
        return says(f"refused {error.errno}")
    return says("done")

def read(file, name, limits):
    what, _, argument = name.partition(" ")
    if what == "segfault": ctypes.string_at(0)
    if what == "abort": os.abort()
    if what == "exit": os._exit(3)
    if what == "spin":
        while True: pass
    if what == "sleep": time.sleep(600)
    if what == "memory": return says(len(bytearray(8 << 30)))
    if what == "junk":
        os.write(int(sys.argv[1]), bytes.fromhex(argument))
        time.sleep(600)
    if what == "connect": return attempt(lambda: socket.create_connection(("127.0.0.1", int(argument)), 1))
    if what == "write": return attempt(lambda: open(argument, "w"))
    if what == "read": return attempt(lambda: open(argument).read())
    if what == "list": return attempt(lambda: os.listdir(argument))
    if what == "remove": return attempt(lambda: os.unlink(argument))
    if what == "fork": return attempt(lambda: os.fork() or os._exit(0))
    if what == "run": return attempt(lambda: os.execv("/bin/true", ["true"]))
    if what == "kill": return attempt(lambda: os.kill(int(argument), 0))
    if what == "environment": return says(" ".join(sorted(os.environ)))
    if what == "open": return says(sum(map(is_open, range(200))))
    return says("fine")

def is_open(number):
    try:
        os.fstat(number)
    except OSError:
        return False
    return True

reader.read = read
worker.main(int(sys.argv[1]), ParserLimits(**orjson.loads(sys.argv[2])))
"""

linux = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's guards are Linux's")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text("Some words.")
    return path


@pytest_asyncio.fixture
async def parser() -> AsyncIterator[Parser]:
    parser = Parser(processes=1)
    yield parser
    await parser.close()


@pytest_asyncio.fixture
async def evil() -> AsyncIterator[Parser]:
    limits = ParserLimits(seconds=30, cpu_seconds=20)
    parser = Parser(limits, processes=1, command=("-c", _EVIL))
    yield parser
    await parser.close()


async def _reason(parser: Parser, path: Path, name: str) -> FileReason:
    with pytest.raises(DocumentError) as caught:
        await parser.parse(path, name)
    return caught.value.fault.reason


async def test_files_are_read_by_a_child(parser: Parser, tmp_path: Path) -> None:
    path = tmp_path / "stored"
    path.write_bytes(files.docx(w_paragraph("Title", "H1") + w_paragraph("Some words.")))
    before = set(sys.modules)
    parsed = await parser.parse(path, "a.docx")
    assert parsed.blocks == (Block(BlockKind.HEADING, "Title", 1), Block(BlockKind.PARAGRAPH, "Some words."))
    assert parsed.title == "Title"
    (pid,) = parser.pids
    assert pid != os.getpid()
    loaded = set(sys.modules) - before
    assert not [name for name in loaded if "formats" in name or name.startswith("lxml")], "read here"


async def test_empty_and_oversized_files_never_reach_a_child(tmp_path: Path) -> None:
    parser = Parser(ParserLimits(input_bytes=10), processes=1)
    empty, large = tmp_path / "empty.pdf", tmp_path / "large"
    empty.touch()
    large.write_bytes(bytes(11))
    assert await _reason(parser, empty, "empty.pdf") is FileReason.EMPTY
    assert await _reason(parser, large, "a.txt") is FileReason.TOO_LARGE
    assert parser.pids == []


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        ("segfault", FileReason.PARSER_CRASHED),
        ("abort", FileReason.PARSER_CRASHED),
        ("exit", FileReason.PARSER_CRASHED),
        ("memory", FileReason.PARSER_MEMORY),
        ("junk ffffffff", FileReason.PARSER_CRASHED),
        ("junk 020000007b7d", FileReason.PARSER_CRASHED),
        ("junk 03000000ffffff", FileReason.PARSER_CRASHED),
    ],
)
async def test_one_file_fails_and_the_next_is_read(
    evil: Parser, file: Path, deed: str, reason: FileReason
) -> None:
    assert await _reason(evil, file, deed) is reason
    assert (await evil.parse(file, "next")).text == "fine"


@pytest.mark.parametrize(
    ("deed", "limits"),
    [("sleep", ParserLimits(seconds=1)), ("spin", ParserLimits(seconds=60, cpu_seconds=1))],
)
async def test_time_is_limited(file: Path, deed: str, limits: ParserLimits) -> None:
    parser = Parser(limits, processes=1, command=("-c", _EVIL))
    try:
        assert await _reason(parser, file, deed) is FileReason.PARSER_TIMEOUT
        assert (await parser.parse(file, "next")).text == "fine"
    finally:
        await parser.close()


@linux
async def test_a_child_can_do_next_to_nothing(evil: Parser, file: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        secret = tmp_path / "secret"
        secret.write_text("secret")
        said = {
            deed: (await evil.parse(file, deed)).text
            for deed in (
                f"connect {port}",
                f"write {tmp_path}/new",
                f"read {secret}",
                "read /etc/hostname",
                f"list {tmp_path}",
                f"remove {secret}",
                "fork",
                "run",
                f"kill {os.getpid()}",
            )
        }
        assert {deed: text for deed, text in said.items() if not text.startswith("refused")} == {}
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert secret.exists()
    assert not (tmp_path / "new").exists()


async def test_a_child_inherits_nothing(evil: Parser, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIXFOLD_TEST_SECRET", "x")
    assert (await evil.parse(file, "environment")).text.split() == [
        "LC_ALL",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "PATH",
    ]
    # Three standard ones, the socket, the file, and what the system says of its own memory.
    assert int((await evil.parse(file, "open")).text) <= 6


@linux
@pytest.mark.parametrize("name", ["a.docx", "a.html", "a.json", "a.txt"])
async def test_memory_is_limited_in_every_library(tmp_path: Path, name: str) -> None:
    path = tmp_path / "file"
    contents = {
        "a.docx": files.docx(w_paragraph("Some words.") * 400_000),
        "a.html": b"<p>a</p>" * 3_000_000,
        "a.json": b"[" + b"[1]," * 3_000_000 + b"1]",
        "a.txt": b"word " * 12_000_000,
    }
    path.write_bytes(contents[name])
    parser = Parser(ParserLimits(memory_bytes=256 << 20, compression_ratio=10_000), processes=1)
    assert await _reason(parser, path, name) is FileReason.PARSER_MEMORY
    await parser.close()


async def test_nothing_that_a_document_names_is_fetched(parser: Parser, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/x"
        mail = EmailMessage()
        mail["Subject"], mail["From"] = "mail", "a@example.org"
        mail.set_content(f"<p>mail</p><img src='{url}'>", subtype="html")
        refresh = f"<meta http-equiv=refresh content='0;url={url}'>"
        page = (
            f"<html><head><base href='{url}'><link rel=stylesheet href='{url}'><script src='{url}'></script>"
            f"{refresh}</head><body><img src='{url}'><iframe src='{url}'>"
            f"</iframe><object data='{url}'></object><p style='background:url({url})'>page</p></body></html>"
        )
        documents = {
            "a.html": page.encode(),
            "a.md": f"text ![image]({url}) <img src='{url}'>".encode(),
            "a.epub": files.epub(
                [f"<p>book</p><img src='{url}'/>"], doctype=f'<!DOCTYPE html SYSTEM "{url}">'
            ),
            "a.xml": f'<!DOCTYPE r SYSTEM "{url}"><?xml-stylesheet href="{url}"?><r><a>b</a></r>'.encode(),
            "i.xml": f'<r xmlns:i="http://www.w3.org/2001/XInclude"><i:include href="{url}"/>x</r>'.encode(),
            "a.eml": mail.as_bytes(),
            "a.docx": files.docx(
                w_paragraph("word"),
                word___rels__document_xml__rels=(
                    '<Relationships><Relationship Id="t" TargetMode="External" '
                    f'Type="x/attachedTemplate" Target="{url}"/></Relationships>'
                ),
            ),
        }
        for name, data in documents.items():
            path = tmp_path / "document"
            path.write_bytes(data)
            assert (await parser.parse(path, name)).text
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
        with socket.create_connection(server.getsockname()):  # it would have been heard
            server.accept()


async def test_a_killed_child_is_replaced_and_its_file_read_again(evil: Parser, file: Path) -> None:
    assert (await evil.parse(file, "next")).text == "fine"
    (first,) = evil.pids
    os.kill(first, signal.SIGKILL)
    assert (await evil.parse(file, "next")).text == "fine"
    assert evil.pids != [first]


async def test_a_file_whose_child_is_killed_twice_is_given_up(evil: Parser, file: Path) -> None:
    reading = asyncio.create_task(_reason(evil, file, "sleep"))
    killed: set[int] = set()
    while not reading.done():
        for pid in evil.pids:
            # Only once it has the file: until then the pool itself would start another.
            if pid not in killed and any(process.parsed for process in evil._processes if process.pid == pid):
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        await asyncio.sleep(0.01)
    assert await reading is FileReason.PARSER_CRASHED
    assert len(killed) == 2


async def test_leaving_ends_the_child_that_was_reading(evil: Parser, file: Path) -> None:
    reading = asyncio.create_task(evil.parse(file, "sleep"))
    while not any(process.parsed for process in evil._processes):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    (pid,) = evil.pids
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert not psutil.pid_exists(pid)
    assert (await evil.parse(file, "next")).text == "fine"


async def test_children_are_replaced_after_so_many_files(file: Path) -> None:
    parser = Parser(ParserLimits(documents_per_process=2), processes=1)
    seen = []
    for _ in range(4):
        seen += parser.pids or [0]
        await parser.parse(file, "a.txt")
    await parser.close()
    assert len(set(seen)) == 3  # none, the first, none, the second
    assert seen[0] == seen[2] == 0


async def test_several_files_at_a_time(file: Path) -> None:
    parser = Parser(processes=2)
    texts = {
        parsed.text for parsed in await asyncio.gather(*(parser.parse(file, "a.txt") for _ in range(10)))
    }
    pids = parser.pids
    await parser.close()
    assert texts == {"Some words."}
    assert len(pids) == 2
    assert not any(map(psutil.pid_exists, pids))
    with pytest.raises(SixfoldError) as caught:
        await parser.parse(file, "a.txt")
    assert caught.value.reason is Reason.SERVICE_UNAVAILABLE


async def test_a_child_that_cannot_start_is_no_fault_of_the_file(file: Path) -> None:
    parser = Parser(processes=1, command=("-c", "raise SystemExit(1)"))
    for _ in range(2):
        with pytest.raises(SixfoldError) as caught:
            await parser.parse(file, "a.txt")
        assert caught.value.reason is Reason.SERVICE_UNAVAILABLE
    await parser.close()


async def test_a_name_of_any_kind_arrives(parser: Parser, file: Path) -> None:
    for name in ("x" * 100_000 + ".txt", "\ud800.txt", "a\0\n.txt", "", "../../a.txt", "/"):
        assert (await parser.parse(file, name)).text == "Some words."


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"{}",
        b"{",
        b'{"reason": "NO_SUCH", "message": "x"}',
        b'{"reason": "EMPTY", "message": 5}',
        orjson.dumps({"reason": "EMPTY", "message": "x" * 2000}),
    ],
)
def test_what_is_no_answer_is_not_believed(answer: bytes) -> None:
    with pytest.raises(Malformed):
        read_answer(answer)


@pytest.mark.parametrize(
    "lie",
    [
        {"kinds": [99]},
        {"kinds": [-1]},
        {"kinds": ["0"]},
        {"kinds": [True]},
        {"kinds": []},
        {"texts": [None]},
        {"levels": [1.5]},
        {"pages": "1"},
        {"notes": ["x"] * 100},
        {"title": "x" * 5000},
        {"media_type": None},
    ],
)
def test_every_field_of_an_answer_is_checked(lie: dict[str, object]) -> None:
    true = parsed_to_wire(Parsed((Block(BlockKind.CODE, "x"),), "text/plain"))
    assert read_answer(orjson.dumps(true)).blocks == (Block(BlockKind.CODE, "x"),)
    with pytest.raises(Malformed):
        read_answer(orjson.dumps(true | lie))
