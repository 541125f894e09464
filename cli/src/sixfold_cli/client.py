"""Talking to a gateway over REST, as any other client does."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

from sixfold_cli import lock
from sixfold_cli.errors import CliError, Exit
from sixfold_cli.home import Home
from sixfold_cli.state import read_state
from sixfold_cli.up import address

if TYPE_CHECKING:
    import httpx

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PATIENCE = 180.0
"""Seconds in all that a change waits for a limit or a full queue to pass."""
_CODES = {401: Exit.REFUSED, 403: Exit.REFUSED, 429: Exit.LIMITED, 503: Exit.LIMITED}


@dataclass(frozen=True)
class Api:
    """One gateway and the credential to show it. `url` ends before `/v1`."""

    url: str
    token: str
    timeout: float = 30.0
    kept: httpx.Client | None = None
    """Connections that outlive one call, where `keeping` made them; threads may share them."""

    @contextmanager
    def keeping(self) -> Iterator[Api]:
        """The same gateway over connections that many calls share."""
        with self._connections() as client:
            yield replace(self, kept=client)

    def call(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """The JSON that the gateway answers (None for no content). CliError for everything else."""
        with self._open(method, path, self.timeout, headers, json=body) as answer:
            return self._json(answer)

    def answer(
        self, path: str, body: object, headers: Mapping[str, str] | None = None
    ) -> tuple[httpx.Headers, dict[str, Any]]:
        """Headers and JSON of one whole answer."""
        with self._open("POST", path, self.timeout, headers, json=body) as answer:
            told: dict[str, Any] = self._json(answer)
            return answer.headers, told

    def change(self, method: str, path: str, body: object = None, *, patience: float = _PATIENCE) -> Any:
        """A call that changes something, with an idempotency key; tried again while a limit holds it up."""
        return self._patiently(method, path, patience, json=body)

    def upload(self, name: str, file: IO[bytes], purpose: str = "assistants") -> dict[str, Any]:
        """Sends a file's content as it is read; the file object. Tried again while a limit holds it up."""
        form, files = {"purpose": purpose}, {"file": (name, file)}
        made: dict[str, Any] = self._patiently("POST", "/v1/files", _PATIENCE, data=form, files=files)
        return made

    def content(self, path: str) -> Iterator[bytes]:
        """What is no JSON, piece by piece: a file, a part of a data set, a report."""
        with self._open("GET", path, self.timeout) as answer:
            yield from answer.iter_bytes()

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        """Every item of a list, over all its pages."""
        after, joint = "", "&" if "?" in path else "?"
        while True:
            page = self.call("GET", f"{path}{joint}limit=100{after}")
            found = page.get("data", [])
            yield from found
            if not page.get("has_more") or not found:
                return
            after = f"&after={page.get('last_id') or found[-1]['id']}"  # not every list of OpenAI's names it

    @contextmanager
    def stream(
        self, path: str, body: object, timeout: float
    ) -> Iterator[tuple[httpx.Headers, Iterator[dict[str, Any]]]]:
        """Headers and server-sent events of one answer. Leaving early hangs up, which cancels the work."""
        with self._open("POST", path, timeout, json=body) as answer:
            yield answer.headers, _events(answer)

    def _patiently(self, method: str, path: str, patience: float, **content: Any) -> Any:
        headers, waited = {"idempotency-key": uuid4().hex}, 0.0
        while True:
            try:
                with self._open(method, path, self.timeout, headers, **content) as answer:
                    return self._json(answer)
            except CliError as error:
                wait = max(0.5, error.wait)
                if error.code is not Exit.LIMITED or waited + wait > patience:
                    raise
                for _, file in content.get("files", {}).values():
                    file.seek(0)
                waited += wait
                time.sleep(wait)

    def _json(self, answer: httpx.Response) -> Any:
        answer.read()
        if not answer.content:
            return None
        try:
            return answer.json()
        except ValueError:
            raise CliError(
                f"{self.url} does not speak JSON. Is it a Sixfold?", reason="NOT_SIXFOLD"
            ) from None

    @contextmanager
    def _connections(self) -> Iterator[httpx.Client]:
        import httpx

        if self.kept is not None:
            yield self.kept
            return
        with httpx.Client(trust_env=urlsplit(self.url).hostname not in _LOOPBACK) as client:
            yield client

    @contextmanager
    def _open(
        self, method: str, path: str, timeout: float, more: Mapping[str, str] | None = None, **content: Any
    ) -> Iterator[httpx.Response]:
        """`content` as httpx takes it: json, or data and files."""
        import httpx

        headers = {"authorization": f"Bearer {self.token}", "user-agent": "sixfold-cli", **(more or {})}
        limits = httpx.Timeout(timeout, connect=5.0)
        try:
            with (
                self._connections() as client,
                client.stream(method, self.url + path, headers=headers, timeout=limits, **content) as answer,
            ):
                if answer.status_code >= 400:
                    raise _refusal(answer)
                yield answer
        except httpx.ConnectError:
            raise CliError(
                f"nothing answers at {self.url}.",
                "Start it with `sixfold up`, or name another: --url http://host:port",
                reason="NOT_RUNNING",
                code=Exit.NOT_RUNNING,
            ) from None
        except httpx.TimeoutException:
            raise CliError(f"{self.url} did not answer within {timeout:.0f} s.", reason="TIMEOUT") from None
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise CliError(
                f"the connection to {self.url} broke ({type(error).__name__}).",
                "Try again.",
                reason="CONNECTION_LOST",
            ) from None


def _events(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    """The JSON of every `data:` line up to `[DONE]`. CliError when the stream breaks or carries an error."""
    for line in answer.iter_lines():
        if not line.startswith("data:"):
            continue
        data = line[5:].strip()
        if data == "[DONE]":
            return
        event = json.loads(data)
        if "error" in event:
            raise _error(event["error"], Exit.FAILED, answer.headers.get("x-request-id", ""))
        yield event
    raise CliError("the answer broke off before its end.", "Ask again.", reason="STREAM_INTERRUPTED")


def _refusal(answer: httpx.Response) -> CliError:
    answer.read()
    code = _CODES.get(answer.status_code, Exit.FAILED)
    try:
        error = answer.json()["error"]
    except (ValueError, KeyError, TypeError):
        error = {"message": f"The server answered {answer.status_code} without saying why."}
    wait = answer.headers.get("retry-after", "") if code is Exit.LIMITED else ""
    return _error(error, code, answer.headers.get("x-request-id", ""), wait, answer.status_code)


def _error(error: Any, code: Exit, request_id: str, wait: str = "", status: int = 0) -> CliError:
    body = error if isinstance(error, dict) else {"message": str(error)}
    hints = []
    if code is Exit.REFUSED:
        hints.append("`sixfold up` renews the owner's token; or set SIXFOLD_TOKEN.")
    if wait:
        hints.append(f"Try again in {wait} s.")
    if request_id:
        hints.append(f"Request id: {request_id}")
    reason = str(body.get("code") or body.get("reason") or "FAILED")
    message = str(body.get("message", "It failed."))
    return CliError(message, " ".join(hints), reason=reason, code=code, wait=_seconds(wait), status=status)


def _seconds(text: str) -> float:
    """A `retry-after` in seconds; 0 where it is none."""
    try:
        return min(60.0, max(0.0, float(text)))
    except ValueError:
        return 0.0


def connect(home: Home, url: str | None, timeout: float = 30.0) -> Api:
    """The gateway that was named, else the one that runs on this home, else the default address."""
    named = url or os.environ.get("SIXFOLD_URL")
    if named is None:
        state = read_state(home) if lock.holder(home) else None
        named = state.url if state else address()[2]
    base = named.rstrip("/").removesuffix("/v1")
    if urlsplit(base).scheme not in ("http", "https") or not urlsplit(base).hostname:
        raise CliError(f"'{named}' is no address.", "Say http://host:port", reason="BAD_URL", code=Exit.USAGE)
    return Api(base, _token(home, base), timeout)


def _token(home: Home, base: str) -> str:
    if given := os.environ.get("SIXFOLD_TOKEN"):
        return given.strip()
    if urlsplit(base).hostname not in _LOOPBACK:  # this machine's token is nobody else's business
        raise CliError(
            f"no token for {base}.", "Set SIXFOLD_TOKEN.", reason="MISSING_CREDENTIALS", code=Exit.REFUSED
        )
    try:
        return home.token.read_text("ascii").strip()
    except OSError:
        raise CliError(
            f"there is no token at {home.token}.",
            "Start it with `sixfold up`, name its home (--home), or set SIXFOLD_TOKEN.",
            reason="MISSING_CREDENTIALS",
            code=Exit.NOT_RUNNING if not home.root.exists() else Exit.REFUSED,
        ) from None
