"""Options of `kafka://`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from servicekit.bus.options import Query

_SASL = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclass(frozen=True, slots=True)
class KafkaOptions:
    """Times are in seconds."""

    servers: tuple[str, ...]
    client: str = "sixfold"
    timeout: float = 10
    partitions: int = 8
    replication: int = 1
    retention_seconds: float = 7 * 86400
    retention_bytes: int = -1
    """Per partition; -1 leaves it to the broker."""
    lease_seconds: float = 15
    """A member that is silent for so long loses its partitions."""
    security: dict[str, Any] = field(default_factory=dict, repr=False)
    """The client's settings for TLS and passwords."""

    @classmethod
    def parse(cls, url: str, *, client: str, timeout: float) -> KafkaOptions:
        """From `kafka://host:port,host:port`. Raises ValueError, never quoting the URL."""
        parts = urlsplit(url)
        login, _, hosts = parts.netloc.rpartition("@")
        servers = tuple(host for host in hosts.split(",") if host)
        if not servers or parts.path not in ("", "/"):
            raise ValueError("a Kafka bus needs its servers: kafka://host:port,host:port")
        query = Query(parts.query)
        options = cls(
            servers=tuple(server if ":" in server else f"{server}:9092" for server in servers),
            client=client,
            timeout=timeout,
            partitions=int(query.number("partitions", 8, least=1, most=10_000)),
            replication=int(query.number("replication", 1, least=1, most=100)),
            retention_seconds=3600 * query.number("retention_hours", 168, least=1 / 3600, most=876_000),
            retention_bytes=int(query.number("retention_bytes", -1, least=-1, most=1 << 50)),
            lease_seconds=query.number("lease_seconds", 15, least=1, most=600),
            security=_security(login, query),
        )
        query.end()
        return options

    def connection(self) -> dict[str, Any]:
        """What every client is told."""
        return {
            "bootstrap_servers": list(self.servers),
            "client_id": self.client,
            "bootstrap_timeout_ms": round(1000 * self.timeout),
            "request_timeout_ms": round(1000 * self.timeout),
            "reconnect_backoff_max_ms": 1000,
            **self.security,
        }


def _security(login: str, query: Query) -> dict[str, Any]:
    tls = query.choice("tls", "false", "true", "false") == "true"
    found: dict[str, Any] = {}
    for name, option in (("ca", "ssl_cafile"), ("cert", "ssl_certfile"), ("key", "ssl_keyfile")):
        if given := query.text(name):
            if not tls:
                raise ValueError(f"the bus's option {name} needs tls=true")
            found[option] = given
    user, _, password = login.partition(":")
    if file := query.text("password_file"):
        password = Path(file).read_text().strip()
    mechanism = query.choice("sasl", "SCRAM-SHA-512", *_SASL)
    if user:
        found |= {
            "sasl_mechanism": mechanism,
            "sasl_plain_username": unquote(user),
            "sasl_plain_password": unquote(password) if not file else password,
        }
    found["security_protocol"] = ("SASL_" if user else "") + ("SSL" if tls else "PLAINTEXT")
    return found
