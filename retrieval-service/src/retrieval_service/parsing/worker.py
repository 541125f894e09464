"""A parser process: `python -m retrieval_service.parsing.worker DESCRIPTOR LIMITS`.

It loads what it will need, gives up its rights, says so, and then reads one file after another that the
service sends it, open, over the socket.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import sys
from typing import Any, BinaryIO

import orjson

from retrieval_service.documents.errors import DocumentError, FileReason
from retrieval_service.parsing.limits import ParserLimits
from retrieval_service.parsing.sandbox import allow_processor_time, die_with_parent, enter
from retrieval_service.parsing.wire import LENGTH, fault_to_wire, pack, parsed_to_wire

_REQUEST_BYTES = 1 << 16


def main(descriptor: int, limits: ParserLimits) -> None:
    """Serve until the service closes the socket. Ends the process."""
    # A Ctrl-C reaches the whole group; the service drains first and closes the socket afterwards.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    die_with_parent()
    link = socket.socket(fileno=descriptor)
    sys.modules["numpy"] = None  # type: ignore[assignment]  # openpyxl would load its 30 MB for nothing
    from retrieval_service.parsing import reader  # only after that

    memory = _Memory(limits.memory_bytes)
    link.sendall(pack({"guards": enter(limits.memory_bytes)}))
    while True:
        request, file = _receive(link)
        if file is None:
            os._exit(0)
        allow_processor_time(limits.cpu_seconds)
        with file:
            answer = _answer(reader.read, file, str(request["filename"]), limits, memory)
        try:
            link.sendall(answer)
        except OSError:
            os._exit(0)


def _receive(link: socket.socket) -> tuple[dict[str, Any], BinaryIO | None]:
    data, descriptors, _, _ = socket.recv_fds(link, _REQUEST_BYTES, 1)
    if not data or not descriptors:
        return {}, None
    (length,) = LENGTH.unpack_from(data)
    while len(data) < LENGTH.size + length:
        data += link.recv(_REQUEST_BYTES)
    request: dict[str, Any] = orjson.loads(data[LENGTH.size :])
    return request, os.fdopen(descriptors[0], "rb")


class _Memory:
    """The most that this process has had, as far as the system tells."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._status: int | None = None
        with contextlib.suppress(OSError):
            self._status = os.open("/proc/self/status", os.O_RDONLY)  # nothing can be opened later

    def peak(self) -> int:
        """In bytes; 0 where the system does not tell."""
        found = None
        if self._status is not None:
            found = re.search(rb"VmPeak:\s*(\d+) kB", os.pread(self._status, 4096, 0))
        return int(found[1]) << 10 if found else 0

    def ran_out_since(self, before: int) -> bool:
        """Libraries in C fail in many words when they get no more; most asked for twice what they had."""
        return self.peak() > max(before, self._limit // 2)


def _answer(read: Any, file: BinaryIO, filename: str, limits: ParserLimits, memory: _Memory) -> bytes:
    before = memory.peak()
    try:
        try:
            return pack(parsed_to_wire(read(file, filename, limits)))
        except DocumentError as error:
            if error.fault.reason is FileReason.CORRUPT and memory.ran_out_since(before):
                raise MemoryError from None
            return pack(fault_to_wire(error))
        except RecursionError:
            return pack(_fault(FileReason.TOO_LARGE, "It is nested too deeply."))
    except MemoryError:
        return pack(_fault(FileReason.PARSER_MEMORY, "Reading it takes more memory than is allowed."))


def _fault(reason: FileReason, message: str) -> dict[str, Any]:
    return fault_to_wire(DocumentError(reason, message))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(int(sys.argv[1]), ParserLimits(**orjson.loads(sys.argv[2])))
