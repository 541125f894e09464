"""Topics and offsets, asked of the broker. Blocking: for threads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from threading import Lock
from typing import Any, Literal

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import OffsetSpec, OffsetTimestamp
from kafka.errors import NoError, TopicAlreadyExistsError

from servicekit.bus.kafka.clients import make, translated
from servicekit.bus.kafka.options import KafkaOptions
from servicekit.bus.kafka.records import to_record
from servicekit.bus.wire import Record
from servicekit.errors import Reason, SixfoldError


class Admin:
    """One client, made when first needed, and anew after a failure. For any thread."""

    def __init__(self, options: KafkaOptions) -> None:
        self._options = options
        self._client: Any = None
        self._lock = Lock()
        self._known: set[str] = set()

    def ensure(self, topic: str) -> None:
        """The topic is there afterwards, as it was or as the options say."""
        if topic in self._known:
            return
        options = self._options
        config = {"retention.ms": str(round(1000 * options.retention_seconds))}
        if options.retention_bytes >= 0:
            config["retention.bytes"] = str(options.retention_bytes)
        wanted = {
            topic: {
                "num_partitions": options.partitions,
                "replication_factor": options.replication,
                "configs": config,
            }
        }
        with self._using() as client, suppress(TopicAlreadyExistsError):
            if topic not in client.list_topics():
                client.create_topics(wanted, wait_for_metadata=True)
        self._known.add(topic)

    def check(self) -> None:
        with self._using() as client:
            client.describe_cluster()

    def reset(self, group: str, topics: Sequence[str], to: Literal["beginning"] | datetime) -> None:
        with self._using() as client:
            spec = (
                OffsetTimestamp(round(1000 * to.timestamp()))
                if isinstance(to, datetime)
                else OffsetSpec.EARLIEST
            )
            partitions = self._partitions(client, topics)
            if not partitions:
                return
            answers = client.reset_group_offsets(group, dict.fromkeys(partitions, spec))
        errors = [answer["error"] for answer in answers.values() if answer["error"] is not NoError]
        if errors:
            raise SixfoldError(Reason.CONFLICT, "The group has members: end them first.")

    def lag(self, group: str, topics: Sequence[str]) -> Mapping[str, int]:
        lags = dict.fromkeys(topics, 0)
        with self._using() as client:
            partitions = self._partitions(client, topics)
            if not partitions:
                return lags
            first = client.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.EARLIEST))
            end = client.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
            kept = client.list_group_offsets({group: partitions})[group]
        for partition in partitions:
            done = kept[partition].offset if partition in kept else -1
            lags[partition.topic] += end[partition].offset - max(done, first[partition].offset)
        return lags

    def tail(self, topic: str, limit: int) -> Sequence[Record]:
        with self._using() as client:
            partitions = self._partitions(client, [topic])
            if not partitions:
                return []
            ends = client.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
            firsts = client.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.EARLIEST))
        left = {
            partition: ends[partition].offset
            for partition in partitions
            if ends[partition].offset > firsts[partition].offset
        }
        if not left:
            return []
        found: list[tuple[int, Record]] = []
        with translated():
            reader = make(
                KafkaConsumer, **self._options.connection(), group_id=None, enable_auto_commit=False
            )
            try:
                reader.assign(list(left))
                for partition, end in left.items():
                    reader.seek(partition, max(firsts[partition].offset, end - limit))
                silent = 0
                while left and silent < 20:
                    answer = reader.poll(timeout_ms=500)
                    silent = 0 if answer else silent + 1
                    for records in answer.values():
                        found += [(record.timestamp, to_record(record)) for record in records]
                    left = {p: end for p, end in left.items() if reader.position(p) < end}
            finally:
                reader.close()
        found.sort(key=lambda pair: (pair[0], pair[1].offset))
        return [record for _, record in found][-limit:]

    def close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):
                client.close()

    def _partitions(self, client: Any, topics: Sequence[str]) -> list[TopicPartition]:
        known = set(client.list_topics()) & set(topics)
        described = client.describe_topics(sorted(known)) if known else []
        return [
            TopicPartition(topic["name"], partition["partition_index"])
            for topic in described
            for partition in topic["partitions"]
        ]

    @contextmanager
    def _using(self) -> Iterator[Any]:
        """The client for one question; one that failed is not asked again."""
        with translated():
            try:
                yield self._get()
            except TopicAlreadyExistsError:
                raise
            except Exception:
                self.close()
                raise

    def _get(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = make(KafkaAdminClient, **self._options.connection())
            return self._client
