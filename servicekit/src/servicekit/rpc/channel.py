"""Channels to other services."""

from __future__ import annotations

from typing import Any

import grpc.aio

from servicekit.rpc.limits import MAX_MESSAGE_BYTES, TRANSPORT
from servicekit.rpc.tls import Tls


def open_channel(
    target: str, *, tls: Tls | None = None, max_message_bytes: int = MAX_MESSAGE_BYTES
) -> grpc.aio.Channel:
    """A channel to `host:port`. Open one a target and process, after forking and inside the running loop.

    It connects on first use and, after an outage, again within a second.
    """
    options: list[tuple[str, Any]] = [
        *TRANSPORT,
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_receive_message_length", max_message_bytes),
        # By default the pause grows to two minutes: a restarted service would stay unseen for long.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
        # A peer that vanished without a word is noticed within 15 s.
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    if tls is not None:
        return grpc.aio.secure_channel(target, tls.channel_credentials(), options=options)
    return grpc.aio.insecure_channel(target, options=options)
