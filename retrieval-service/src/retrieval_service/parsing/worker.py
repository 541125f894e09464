"""A parser process: `python -m retrieval_service.parsing.worker DESCRIPTOR LIMITS`.

It loads what it will need, gives up its rights, says so, and then reads one file after another that the
service sends it, open, over the socket.
"""

from __future__ import annotations

import contextlib
import os
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

    link.sendall(pack({"guards": enter(limits.memory_bytes)}))
    while True:
        request, file = _receive(link)
        if file is None:
            os._exit(0)
        allow_processor_time(limits.cpu_seconds)
        with file:
            answer = _answer(reader.read, file, str(request["filename"]), limits)
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


def _answer(read: Any, file: BinaryIO, filename: str, limits: ParserLimits) -> bytes:
    try:
        try:
            return pack(parsed_to_wire(read(file, filename, limits)))
        except DocumentError as error:
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
