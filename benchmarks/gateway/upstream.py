"""The mock upstream: an OpenAI-compatible server that answers at once from prepared bytes.

usage: python -m benchmarks.gateway.upstream PORT

A request with `"stream": true` gets 200 chunks, each written on its own: `PACE` seconds apart, or without
a pause when the request's `seed` is 0. `GET /count` says how many answers it has given, so that a run can
prove that every request reached it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

CHUNKS = 200
PACE = 0.002

_BASE: dict[str, Any] = {"id": "chatcmpl-bench", "created": 1, "model": "bench", "system_fingerprint": "fp_1"}
_USAGE = {"prompt_tokens": 12, "completion_tokens": CHUNKS, "total_tokens": 12 + CHUNKS}


def _chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    event = (
        b"data: "
        + json.dumps({**_BASE, "object": "chat.completion.chunk", "choices": [choice]}).encode()
        + b"\n\n"
    )
    return b"%x\r\n%s\r\n" % (len(event), event)


def _tail(usage: bool) -> bytes:
    parts = [b"data: [DONE]\n\n"]
    if usage:
        last = {**_BASE, "object": "chat.completion.chunk", "choices": [], "usage": _USAGE}
        parts.insert(0, b"data: " + json.dumps(last).encode() + b"\n\n")
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


_FIRST, _LAST = _chunk({"role": "assistant", "content": "The"}), _chunk({}, "stop")
# Each differs from the one before: LiteLLM ends a stream that repeats itself a hundred times.
_NEXT = [_chunk({"content": f" word{number}"}) for number in range(1, CHUNKS)]
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_MESSAGE = {"role": "assistant", "content": "A plain answer of some thirty words, " * 4}
_BODY = json.dumps(
    {
        **_BASE,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": _MESSAGE, "logprobs": None, "finish_reason": "stop"}],
        "usage": _USAGE,
    }
).encode()


def _plain(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
        len(body),
        body,
    )


class Upstream:
    """Counts its answers."""

    def __init__(self) -> None:
        self.answers = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, kept alive."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = 0
                for line in head.split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        length = int(line[15:])
                body = await reader.readexactly(length)
                if head.startswith(b"get /count"):
                    writer.write(_plain(b'{"answers": %d}' % self.answers))
                elif head.startswith(b"get "):
                    writer.write(_plain(b'{"object": "list", "data": [{"id": "bench", "object": "model"}]}'))
                else:
                    await self._answer(json.loads(body), writer)
                    self.answers += 1
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        if not request.get("stream"):
            writer.write(_plain(_BODY))
            return
        pace = 0.0 if request.get("seed") == 0 else PACE
        writer.write(_STREAM_HEAD + _FIRST)
        for chunk in _NEXT:
            await asyncio.sleep(pace)
            writer.write(chunk)
        writer.write(_LAST + _tail(bool((request.get("stream_options") or {}).get("include_usage"))))


async def _main(port: int) -> None:
    server = await asyncio.start_server(Upstream().serve, "127.0.0.1", port, backlog=512)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
