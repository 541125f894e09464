"""The five calls of Kubernetes' API that a launcher makes, each with a deadline."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
import orjson

from servicekit.jobs.launchers.k8s.address import Address
from servicekit.jobs.launchers.k8s.manifest import CONTAINER

_SECONDS = 30.0
_PROTOCOL = "v4.channel.k8s.io"
_MAX_ANSWER = 8 * 1024**2
STDIN, STDOUT, STATUS = 0, 1, 3
"""The first byte of a message says whose stream it is."""


class Refused(Exception):
    """The API did not do it, or did not answer. `reason` is its own word, which holds no secret."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason


class Api:
    """One namespace of one cluster. Opens its connections at the first call."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._session: aiohttp.ClientSession | None = None
        self._base = f"{address.api}/api/v1/namespaces/{address.namespace}"
        self._jobs = f"{address.api}/apis/batch/v1/namespaces/{address.namespace}/jobs"

    async def create(self, manifest: Mapping[str, Any]) -> None:
        """Submits a Job."""
        await self._call("POST", self._jobs, body=orjson.dumps(manifest))

    async def pod(self, job: str) -> Mapping[str, Any] | None:
        """The newest pod of a Job, or None while there is none."""
        selector = {"labelSelector": f"batch.kubernetes.io/job-name={job}"}
        found = (await self._call("GET", f"{self._base}/pods", query=selector)).get("items") or []
        return max(found, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")), default=None)

    async def delete(self, job: str) -> None:
        """Removes a Job and its pod. One that is gone is fine."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        try:
            await self._call("DELETE", f"{self._jobs}/{job}", body=orjson.dumps(options))
        except Refused as refused:
            if refused.status != 404:
                raise

    async def execute(self, pod: str, command: Sequence[str]) -> aiohttp.ClientWebSocketResponse:
        """A process in the pod: messages begin with their stream's number."""
        query = [("container", CONTAINER), ("stdin", "true"), ("stdout", "true"), ("stderr", "false")]
        query += [("tty", "false"), *(("command", word) for word in command)]
        session = await self._open()
        try:
            return await session.ws_connect(
                f"{self._base}/pods/{pod}/exec",
                params=query,
                headers=await self._headers(),
                protocols=(_PROTOCOL,),
                max_msg_size=_MAX_ANSWER,
                timeout=aiohttp.ClientWSTimeout(ws_close=_SECONDS),
                autoping=True,
            )
        except aiohttp.WSServerHandshakeError as error:
            raise Refused(error.status, "the pod cannot be talked to") from None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Refused(0, type(error).__name__) from None

    async def close(self) -> None:
        """Twice is fine."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def _call(
        self, method: str, url: str, *, query: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> dict[str, Any]:
        session = await self._open()
        headers = await self._headers() | {"content-type": "application/json"}
        try:
            async with session.request(method, url, params=query, data=body, headers=headers) as response:
                content = await response.content.read(_MAX_ANSWER)
                told = orjson.loads(content) if content else {}
        except (aiohttp.ClientError, OSError, TimeoutError, orjson.JSONDecodeError) as error:
            raise Refused(0, type(error).__name__) from None
        if response.status >= 300:
            raise Refused(response.status, str(told.get("reason", ""))[:100])
        return dict(told)

    async def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=_SECONDS, connect=10)
            connector = aiohttp.TCPConnector(ssl=await asyncio.to_thread(self._tls), limit=64)
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        return self._session

    def _tls(self) -> ssl.SSLContext | bool:
        ca = self._address.ca_file
        return ssl.create_default_context(cafile=str(ca)) if ca is not None else True

    async def _headers(self) -> dict[str, str]:
        """Read for every call: the cluster renews tokens in their files."""
        file = self._address.token_file
        if file is None:
            return {}
        try:
            token = (await asyncio.to_thread(file.read_text)).strip()
        except OSError:
            raise Refused(0, "the token cannot be read") from None
        return {"authorization": f"Bearer {token}"}
