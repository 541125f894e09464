"""A bus's URL: what it may say, and that a mistake in it is told without quoting it."""

from __future__ import annotations

from pathlib import Path

import pytest

from servicekit.bus import open_bus
from servicekit.bus.kafka.options import KafkaOptions
from servicekit.bus.sqlite.options import EmbeddedOptions


def test_embedded_options() -> None:
    options = EmbeddedOptions.parse(
        "sqlite:////data/bus%20log.db?partitions=3&retention_hours=2&retention_bytes=2000000"
        "&poll_ms=50&lease_seconds=2",
        timeout=5,
    )
    assert options == EmbeddedOptions(
        path=Path("/data/bus log.db"),
        timeout=5,
        partitions=3,
        retention_seconds=7200,
        retention_bytes=2_000_000,
        poll_seconds=0.05,
        lease_seconds=2,
    )
    assert EmbeddedOptions.parse("sqlite:///bus.db", timeout=5).path == Path("bus.db")


def test_kafka_options(tmp_path: Path) -> None:
    plain = KafkaOptions.parse("kafka://one,two:9094", client="gateway", timeout=5)
    assert plain.servers == ("one:9092", "two:9094")
    assert plain.connection()["security_protocol"] == "PLAINTEXT"
    assert plain.connection()["client_id"] == "gateway"
    (tmp_path / "password").write_text("s3cret\n")
    safe = KafkaOptions.parse(
        f"kafka://user@one:9093?tls=true&ca=/ca.pem&password_file={tmp_path}/password"
        "&replication=3&partitions=12&retention_bytes=5000000",
        client="gateway",
        timeout=5,
    )
    assert (safe.replication, safe.partitions, safe.retention_bytes) == (3, 12, 5_000_000)
    settings = safe.connection()
    assert settings["security_protocol"] == "SASL_SSL"
    assert settings["ssl_cafile"] == "/ca.pem"
    assert settings["sasl_mechanism"] == "SCRAM-SHA-512"
    assert settings["sasl_plain_username"] == "user"
    assert settings["sasl_plain_password"] == "s3cret"
    assert "s3cret" not in repr(safe)
    inline = KafkaOptions.parse("kafka://u:p%40ss@one?sasl=PLAIN", client="c", timeout=5).connection()
    assert (inline["sasl_plain_password"], inline["security_protocol"]) == ("p@ss", "SASL_PLAINTEXT")


@pytest.mark.parametrize(
    "url",
    [
        "redis://host",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite://host/path.db",
        "sqlite:///bus.db?partition=3",
        "sqlite:///bus.db?partitions=0",
        "sqlite:///bus.db?partitions=x",
        "sqlite:///bus.db?partitions=2&partitions=3",
        "kafka://",
        "kafka://user:s3cret@",
        "kafka://user:s3cret@host/topic",
        "kafka://user:s3cret@host?sasl=NONE",
        "kafka://user:s3cret@host?tls=maybe",
        "kafka://user:s3cret@host?ca=/ca.pem",
        "kafka://user:s3cret@host?polling=3",
    ],
)
def test_a_mistake_is_told_without_quoting_it(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        open_bus(url)
    assert "s3cret" not in str(caught.value)
