"""The client: its own process, raw sockets, nothing between the clock and the wire.

usage: python -m benchmarks.common.load < plan.json > result.json

The plan: {"host", "port", "path", "token", "connections", "keep_alive", "bodies": [JSON text, …]}. Every
connection sends the next body as soon as its last answer has ended; without "keep_alive" over a new
connection, opened before the clock starts. The result has one entry a request: seconds to the first
content and to the end, content events, status, tokens the server counted.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

TIMEOUT = 180.0
LIMIT = 8 * 2**20


@dataclass(frozen=True)
class Answer:
    """What one request came to."""

    status: int
    first: float
    """Seconds to the first event with content; to the end when the answer is not a stream."""
    seconds: float
    chunks: int
    """Events with content."""
    tokens: int
    """`usage.completion_tokens`, 0 where the server does not say."""
    finish: str
    cache: str
    """The answer's `x-sixfold-cache`, if it has one."""


@dataclass(frozen=True)
class Result:
    """One run of the client."""

    answers: list[Answer]
    seconds: float

    def require(self, *, chunks: int | None = None) -> None:
        """Raises unless every answer is a full success that no cache gave."""
        for answer in self.answers:
            if answer.status != 200 or answer.cache == "hit":
                raise RuntimeError(f"an answer that must not be counted: {answer}")
            if chunks is not None and answer.chunks != chunks:
                raise RuntimeError(f"a stream of {answer.chunks} chunks instead of {chunks}")


def run_load(
    port: int, bodies: Sequence[str], *, connections: int, token: str, keep_alive: bool = True
) -> Result:
    """Sends the bodies from another process and waits for the last answer."""
    plan = {
        "host": "127.0.0.1",
        "port": port,
        "path": "/v1/chat/completions",
        "token": token,
        "connections": connections,
        "keep_alive": keep_alive,
        "bodies": list(bodies),
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.common.load"],
        input=json.dumps(plan).encode(),
        stdout=subprocess.PIPE,
        timeout=TIMEOUT * 2,
        check=True,
    )
    result = json.loads(done.stdout)
    return Result([Answer(**answer) for answer in result["answers"]], result["seconds"])


async def _main(plan: dict[str, Any]) -> dict[str, Any]:
    bodies = [body.encode() for body in plan["bodies"]]
    queue = list(reversed(range(len(bodies))))
    answers: list[dict[str, Any]] = []
    head = (
        f"POST {plan['path']} HTTP/1.1\r\nHost: {plan['host']}:{plan['port']}\r\n"
        f"Authorization: Bearer {plan['token']}\r\nContent-Type: application/json\r\nContent-Length: "
    ).encode()

    async def connection() -> None:
        reader, writer = await asyncio.open_connection(plan["host"], plan["port"], limit=LIMIT)
        try:
            while queue:
                body = bodies[queue.pop()]
                begin = time.perf_counter()
                writer.write(head + str(len(body)).encode() + b"\r\n\r\n" + body)
                answer = await asyncio.wait_for(_answer(reader, begin), TIMEOUT)
                answers.append(answer)
                if answer["status"] != 200:
                    sys.stderr.write(f"status {answer['status']}\n")
                    return
                if queue and not plan["keep_alive"]:
                    writer.close()
                    reader, writer = await asyncio.open_connection(plan["host"], plan["port"], limit=LIMIT)
        finally:
            writer.close()

    begin = time.perf_counter()
    await asyncio.gather(*(connection() for _ in range(min(plan["connections"], len(bodies)))))
    return {"answers": answers, "seconds": time.perf_counter() - begin}


async def _answer(reader: asyncio.StreamReader, begin: float) -> dict[str, Any]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    lines = head.split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    found: dict[str, Any] = {
        "status": int(lines[0].split()[1]),
        "first": 0.0,
        "chunks": 0,
        "tokens": 0,
        "finish": "",
        "cache": headers.get("x-sixfold-cache", ""),
    }
    if headers.get("transfer-encoding") == "chunked":
        rest = b""
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            rest += (await reader.readexactly(size + 2))[:-2]
            events = rest.replace(b"\r\n", b"\n").split(b"\n\n")
            rest = events.pop()
            for event in events:
                _event(event, found, begin)
        await reader.readuntil(b"\r\n")
        body = rest
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    found["seconds"] = time.perf_counter() - begin
    if body.strip().startswith(b"{"):
        found["first"] = found["seconds"]
        answer = json.loads(body)
        found["tokens"] = (answer.get("usage") or {}).get("completion_tokens") or 0
        found["finish"] = ((answer.get("choices") or [{}])[0]).get("finish_reason") or ""
        if found["status"] != 200:
            sys.stderr.write(body.decode(errors="replace")[:500] + "\n")
    return found


def _event(event: bytes, found: dict[str, Any], begin: float) -> None:
    line = event.strip()
    if not line.startswith(b"data: {"):
        return
    chunk = json.loads(line[6:])
    for choice in chunk.get("choices") or []:
        if (choice.get("delta") or {}).get("content"):
            found["chunks"] += 1
            found["first"] = found["first"] or time.perf_counter() - begin
        found["finish"] = choice.get("finish_reason") or found["finish"]
    if usage := chunk.get("usage"):
        found["tokens"] = usage.get("completion_tokens") or found["tokens"]


if __name__ == "__main__":
    json.dump(asyncio.run(_main(json.load(sys.stdin))), sys.stdout)
