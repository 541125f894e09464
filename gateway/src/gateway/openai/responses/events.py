"""A response as server-sent events, numbered from 0.

Nearly every event is a piece of text, so the bytes around it are made once a part.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from gateway.openai.pieces import Delta
from gateway.openai.responses.output import ResponseBuilder
from gateway.openai.responses.request import ResponseRequest
from gateway.retrieval.types import Hit
from servicekit.errors import SixfoldError

_DELTA = "response.output_text.delta"


class ResponseEvents:
    """`gateway.openai.chunks.Writer` for one response."""

    def __init__(
        self,
        request: ResponseRequest,
        identifier: str,
        created: int,
        model: str,
        queries: Sequence[str] | None,
        hits: Sequence[Hit],
    ) -> None:
        self.builder = ResponseBuilder(request, identifier, created, model, self._tell)
        self._search = queries, hits
        self._begun = False
        self._number = 0
        self._out: list[bytes] = []
        self._around: tuple[str, bytes] = ("", b"")

    def begin(self) -> bytes:
        """See Writer."""
        self._begin()
        return self._taken()

    def pieces(self, deltas: Iterable[Delta]) -> list[bytes]:
        """See Writer."""
        for delta in deltas:
            self.builder.add(delta)
        out, self._out = self._out, []
        return out

    def end(self, usage: Sequence[int]) -> bytes:
        """See Writer."""
        self.builder.finish(usage)
        return self._taken()

    def broken(self, error: SixfoldError) -> bytes:
        """See Writer."""
        if not self._begun:
            self._begin()
        self.builder.fail(error)
        return self._taken()

    def replay(self, record: dict[str, Any]) -> bytes:
        """See Writer."""
        self._begin()
        self.builder.take(record["choices"][0])
        return self.end(record["usage"])

    def _begin(self) -> None:
        self._begun = True
        self.builder.begin(*self._search)

    def _tell(self, kind: str, fields: dict[str, Any]) -> None:
        number, self._number = self._number, self._number + 1
        if kind == _DELTA and not fields["logprobs"]:
            self._out += (
                self._head(fields),
                orjson.dumps(fields["delta"]),
                b',"sequence_number":%d}\n\n' % number,
            )
            return
        data = orjson.dumps({"type": kind, **fields, "sequence_number": number})
        self._out += (b"event: ", kind.encode(), b"\ndata: ", data, b"\n\n")

    def _head(self, fields: dict[str, Any]) -> bytes:
        """What stands before the text of a piece."""
        if self._around[0] != fields["item_id"]:
            rest = {key: value for key, value in fields.items() if key != "delta"}
            head = orjson.dumps({"type": _DELTA, **rest})[:-1]
            self._around = fields["item_id"], b"event: %s\ndata: %s" % (_DELTA.encode(), head) + b',"delta":'
        return self._around[1]

    def _taken(self) -> bytes:
        out, self._out = b"".join(self._out), []
        return out
