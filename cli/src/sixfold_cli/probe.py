"""Asks a service whether it is ready, without threads or a heavy client."""

from __future__ import annotations

import asyncio
import json

_LIMIT = 64 * 1024


async def is_ready(host: str, port: int, timeout: float = 2.0) -> tuple[bool, str]:
    """Whether `GET /readyz` answers 200, and otherwise why not, in few words."""
    try:
        async with asyncio.timeout(timeout):
            status, body = await _get(host, port, "/readyz")
    except TimeoutError:
        return False, "it does not answer in time"
    except (OSError, ValueError, EOFError):
        return False, "it does not answer yet"
    return status == 200, "" if status == 200 else _reason(status, body)


async def _get(host: str, port: int, path: str) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection(host, port, limit=_LIMIT)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        status = int((await reader.readline()).split(b" ", 2)[1])
        while (await reader.readline()).strip():
            pass
        return status, await reader.read(_LIMIT)
    except IndexError:
        raise ValueError("not HTTP") from None
    finally:
        writer.close()


def _reason(status: int, body: bytes) -> str:
    try:
        answer = json.loads(body)
        unwell = [f"{name}: {word}" for name, word in answer.get("checks", {}).items() if word != "ok"]
        return ", ".join(unwell) or str(answer.get("state") or f"status {status}")
    except (ValueError, AttributeError):
        return f"status {status}"
