"""POST /v1/files, POST /v1/uploads/{upload_id}/parts and GET /v1/files/{file_id}/content.

Their bodies stream between the client and the object store; a request holds about a megabyte at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, aclosing, contextmanager
from dataclasses import dataclass, field

import orjson

from gateway import metrics
from gateway.api.exchange import JSON, Disconnected, Exchange
from gateway.api.hot.forms import Form, boundary_of, shown
from gateway.api.hot.sending import admitted, attachment, no_body, send_stored
from gateway.api.incoming import Pace, declared, pieces
from gateway.api.raw import RawRoute
from gateway.files.ports import Finished
from gateway.files.service import FilesService
from gateway.files.types import UploadPart
from gateway.files.uploads import UploadsService
from gateway.identity.authenticator import Authenticator
from gateway.identity.principal import Principal
from gateway.identity.roles import FILES_READ, FILES_WRITE
from gateway.limits.admission import Admission
from gateway.openai import fields
from gateway.openai.files import parse_new_file, parse_purpose, same_file, write_file, write_part
from gateway.retrieval.repeats import Repeats, digest, keyed
from servicekit.errors import Reason, SixfoldError

_AROUND = 64 * 1024
"""Bytes of a form beside its file."""
_FIELD_BYTES = 256
_FIELDS = frozenset({"purpose", "expires_after[anchor]", "expires_after[seconds]"})


@dataclass(frozen=True, slots=True)
class FileDeps:
    """What the streaming routes stand on."""

    authenticator: Authenticator
    admission: Admission
    files: FilesService
    uploads: UploadsService
    pace: Pace
    slow_reader: float
    """Seconds that a client may leave a download unread."""
    max_receiving: int
    """Files and parts that are received at once."""
    repeats: Repeats = field(default_factory=Repeats)


class FilesEndpoint:
    """The handlers."""

    def __init__(self, deps: FileDeps) -> None:
        self._deps = deps
        self._receiving = 0

    def routes(self) -> list[RawRoute]:
        """Where they are."""
        return [
            RawRoute("POST", "/v1/files", self.create),
            RawRoute("POST", "/v1/uploads/{upload_id}/parts", self.add_part),
            RawRoute("GET", "/v1/files/{file_id}/content", self.content),
        ]

    async def create(self, exchange: Exchange) -> None:
        """Stores a file."""
        async with self._caller(exchange, FILES_WRITE) as caller:
            with self._slot(), _counted("file"):
                done = await self._receive_file(exchange, caller)
        exchange.facts["bytes"], exchange.facts["purpose"] = done.file.bytes, done.file.purpose
        headers = [JSON, (b"idempotent-replayed", b"true")] if done.repeated else [JSON]
        await exchange.respond(200, orjson.dumps(write_file(done.file)), headers)

    async def add_part(self, exchange: Exchange, upload_id: str) -> None:
        """Stores a part of an upload."""
        async with self._caller(exchange, FILES_WRITE) as caller:
            with self._slot(), _counted("part"):
                part = await self._receive_part(exchange, caller, upload_id)
        exchange.facts["bytes"] = part.bytes
        await exchange.respond(200, orjson.dumps(write_part(part)), [JSON])

    async def content(self, exchange: Exchange, file_id: str) -> None:
        """Gives a file out."""
        async with self._caller(exchange, FILES_READ) as caller:
            await no_body(exchange, self._deps.pace.idle)
            file = await self._deps.files.show(caller, file_id)
            headers = [
                (b"content-type", b"application/octet-stream"),
                (b"content-length", b"%d" % file.bytes),
                attachment(file.filename),
            ]
            content = self._deps.files.content(file)
            await send_stored(exchange, content, headers, slow_reader=self._deps.slow_reader)

    async def _receive_file(self, exchange: Exchange, caller: Principal) -> Finished:
        files = self._deps.files
        limit = files.rules.max_file + _AROUND
        form, expected = self._form(exchange, limit)
        said: dict[str, str] = {}
        filename: str | None = None
        async with files.receive(caller, min(expected, files.rules.max_file)) as receiving:
            async with aclosing(form.fields()) as given:
                async for item in given:
                    if item.name == "file":
                        if receiving.stored is not None:
                            raise fields.invalid("file", "send one file a request.")
                        filename = item.filename
                        await receiving.take(item.chunks())
                    elif item.name in _FIELDS and item.name not in said:
                        said[item.name] = await item.text(_FIELD_BYTES)
                        if item.name == "purpose":  # before a file of any size follows
                            parse_purpose(said["purpose"])
                    else:
                        raise _unwanted(item.name, again=item.name in said)
            if receiving.stored is None:
                raise fields.missing("file")
            wanted = parse_new_file(said, filename)
            with self._named(exchange, caller, same_file(wanted, receiving.stored.sha256)) as token:
                done = await files.finish(receiving, wanted, token)
        metrics.FILE_BYTES.inc(0 if done.repeated else done.file.bytes)
        return done

    async def _receive_part(self, exchange: Exchange, caller: Principal, upload_id: str) -> UploadPart:
        uploads = self._deps.uploads
        upload = await uploads.expecting(caller, upload_id)
        form, _ = self._form(exchange, uploads.rules.max_part + _AROUND)
        part: UploadPart | None = None
        async with aclosing(form.fields()) as given:
            async for item in given:
                if item.name != "data" or part is not None:
                    raise _unwanted(item.name, again=item.name == "data")
                stored = await uploads.store_part(upload, item.chunks())
                with self._named(exchange, caller, stored.sha256.encode()) as token:
                    part = await uploads.add_part(upload, stored, token)
        if part is None:
            raise fields.missing("data")
        metrics.FILE_BYTES.inc(part.bytes)
        return part

    def _form(self, exchange: Exchange, limit: int) -> tuple[Form, int]:
        """The form of a request, and its size if the head tells it. Nothing is read yet."""
        expected = declared(exchange, limit)
        exchange.unread = True
        boundary = boundary_of(exchange.headers.get(b"content-type"))
        return Form(pieces(exchange, limit, self._deps.pace), boundary), expected

    def _caller(self, exchange: Exchange, scope: str) -> AbstractAsyncContextManager[Principal]:
        return admitted(exchange, self._deps.authenticator, self._deps.admission, scope)

    @contextmanager
    def _slot(self) -> Iterator[None]:
        """A place among those that are received at once."""
        if self._receiving >= self._deps.max_receiving:
            raise SixfoldError(
                Reason.SERVICE_UNAVAILABLE, "Too many files are being received.", retry_after=1
            )
        self._receiving += 1
        try:
            yield
        finally:
            self._receiving -= 1

    @contextmanager
    def _named(self, exchange: Exchange, caller: Principal, content: bytes) -> Iterator[str]:
        """The name of a change. With an Idempotency-Key it is the caller's for a day, in every process.

        Without one, two requests with the same content are two files: only a request that says that it is
        a repeat, as the official client's do, is taken for one, while this process remembers the first.
        """
        path = exchange.scope["path"]
        key = exchange.headers.get(b"idempotency-key")
        if key is not None:
            yield keyed(caller, "POST", path, _checked_key(key))
            return
        repeated = exchange.headers.get(b"x-stainless-retry-count", b"0") not in (b"", b"0")
        same = digest(caller, "POST", path, content)
        name = self._deps.repeats.begin(same, repeated=repeated)
        answered = False
        try:
            yield name
            answered = True
        finally:
            self._deps.repeats.ended(same, name, answered=answered)


@contextmanager
def _counted(kind: str) -> Iterator[None]:
    """Counts how receiving ended."""
    outcome = "stored"
    try:
        yield
    except SixfoldError as error:
        outcome = "refused" if error.status.http < 500 else "failed"
        raise
    except (Disconnected, asyncio.CancelledError):
        outcome = "client_left"
        raise
    except Exception:
        outcome = "failed"
        raise
    finally:
        metrics.FILES_RECEIVED.labels(kind, outcome).inc()


def _unwanted(name: str, *, again: bool) -> SixfoldError:
    if again:
        return fields.invalid(shown(name), "given twice.")
    return fields.unsupported(shown(name), f"The form has a field that does not belong there: {shown(name)}.")


def _checked_key(key: bytes) -> str:
    if not 1 <= len(key) <= 255 or any(not 0x21 <= byte <= 0x7E for byte in key):
        raise fields.invalid("Idempotency-Key", "1 to 255 visible ASCII characters.")
    return key.decode()
