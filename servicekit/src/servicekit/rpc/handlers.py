"""Wraps a servicer's methods so that every call goes through the steps.

The request is decoded here, inside the steps: what is not authenticated is not parsed, and bytes that
are no message come back as INVALID_REQUEST. A stream's messages pass one loop: the handler's own
generator is written out directly, and its next message is asked for only when the transport has
taken the one before, so a slow reader holds one message here, not a queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio

from servicekit.errors import Reason, SixfoldError
from servicekit.rpc.steps import Call, Proceed
from servicekit.rpc.watches import Watches

_Context = grpc.aio.ServicerContext[Any, Any]
_Decode = Callable[[bytes], Any]


def guard(method: str, handler: Any, proceed: Proceed, watches: Watches | None = None) -> Any:
    """The same method handler (of any of gRPC's four kinds) behind the steps.

    With `watches` it is a stream that ends when the service drains.
    """
    decode = _decoder(handler.request_deserializer)
    encode = handler.response_serializer
    if handler.response_streaming:
        inner = handler.stream_stream if handler.request_streaming else handler.unary_stream
        make = (
            grpc.stream_stream_rpc_method_handler
            if handler.request_streaming
            else grpc.unary_stream_rpc_method_handler
        )
        wrapped = _streaming(method, inner, decode, handler.request_streaming, proceed, watches)
    else:
        inner = handler.stream_unary if handler.request_streaming else handler.unary_unary
        make = (
            grpc.stream_unary_rpc_method_handler
            if handler.request_streaming
            else grpc.unary_unary_rpc_method_handler
        )
        wrapped = _single(method, inner, decode, encode, handler.request_streaming, proceed)
        encode = None
    return make(wrapped, request_deserializer=None, response_serializer=encode)


def _single(method: str, inner: Any, decode: _Decode, encode: Any, many: bool, proceed: Proceed) -> Any:
    inner = _check(method, inner, inspect.iscoroutinefunction(inner))

    async def handle(raw: Any, context: _Context) -> Any:
        async def work() -> Any:
            # Encoded here too: gRPC would send the text of what goes wrong to the caller.
            return encode(await inner(_each(decode, raw) if many else decode(raw), context))

        return await proceed(Call(method, context, work))

    return handle


def _streaming(
    method: str, inner: Any, decode: _Decode, many: bool, proceed: Proceed, watches: Watches | None
) -> Any:
    generates = inspect.isasyncgenfunction(inner)
    inner = _check(method, inner, generates or inspect.iscoroutinefunction(inner))

    async def handle(raw: Any, context: _Context) -> None:
        async def work() -> None:
            request = _each(decode, raw) if many else decode(raw)
            if not generates:  # it writes by itself
                await inner(request, context)
                return
            messages = inner(request, context)
            write = context.write
            try:
                async for message in messages:
                    await write(message)
            except grpc.aio.InternalError:
                # The caller reset the stream while a message waited for room: it has left.
                raise asyncio.CancelledError from None
            finally:
                # A cancelled write leaves the generator at its yield: end it now, not when it is collected.
                await messages.aclose()

        async def watch() -> None:
            async with watches.until_drain() if watches else contextlib.nullcontext():
                await work()

        await proceed(Call(method, context, watch))

    return handle


def _check(method: str, inner: Any, is_async: bool) -> Any:
    """The handler, if it is async; one that answers UNIMPLEMENTED if the servicer left the method out."""
    if is_async:
        return inner
    if not inner.__module__.endswith("_pb2_grpc"):
        raise TypeError(f"{method} is not written with async def")

    async def unimplemented(request: Any, context: _Context) -> Any:
        raise SixfoldError(Reason.UNIMPLEMENTED, "The service does not know this method.")

    return unimplemented


def _decoder(decode: _Decode | None) -> _Decode:
    if decode is None:
        return lambda raw: raw

    def checked(raw: bytes) -> Any:
        try:
            return decode(raw)
        except Exception:  # protobuf's DecodeError, or a text that is not UTF-8
            raise SixfoldError(Reason.INVALID_REQUEST, "The message does not follow the contract.") from None

    return checked


async def _each(decode: _Decode, raw: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    async for item in raw:
        yield decode(item)
