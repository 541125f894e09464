"""The reading end: one member of a consumer group, polled from a thread of its own.

The client keeps the membership alive by itself. A slow handler does not leave the group: its
partitions are paused, and polling goes on.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from kafka import AsyncConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import (
    CommitFailedError,
    FencedInstanceIdError,
    IllegalGenerationError,
    KafkaError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from kafka.structs import OffsetAndMetadata

from servicekit.bus.kafka.clients import make
from servicekit.bus.kafka.fetched import Fetched
from servicekit.bus.kafka.options import KafkaOptions
from servicekit.bus.kafka.records import to_record
from servicekit.bus.log import Keeper
from servicekit.bus.wire import Partition, Record
from servicekit.logs import get_logger

_ALL = 1_000_000_000
_FETCH_BYTES = 8 * 1024 * 1024
"""Of one fetch; what is fetched and not yet handled is never much more."""
_LOOK_SECONDS = 0.01
_COMMIT_SECONDS = 5.0
_MOVED_ON = (CommitFailedError, FencedInstanceIdError, IllegalGenerationError, UnknownMemberIdError)
"""The group went on without this member: what it did not keep, others do again."""

_log = get_logger("servicekit.bus")


class KafkaSource:
    """See `servicekit.bus.log.Source`."""

    def __init__(self, options: KafkaOptions, topics: Sequence[str], group: str, keeper: Keeper) -> None:
        self._group = group
        self._topics = tuple(topics)
        self._kept: dict[TopicPartition, int] = {}
        lease = round(1000 * options.lease_seconds)
        self._client = make(
            KafkaConsumer,
            **options.connection(),
            metrics_enabled=False,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            allow_auto_create_topics=False,
            session_timeout_ms=lease,
            heartbeat_interval_ms=max(200, lease // 5),
            partition_assignment_strategy=[CooperativeStickyAssignor],
            fetch_max_wait_ms=500,
            fetch_max_bytes=_FETCH_BYTES,
        )
        self._fetched = Fetched()
        self._unsettled_since: float | None = None
        self._patience = max(30.0, 2 * options.lease_seconds)
        try:
            self._client.subscribe(self._topics, listener=_Listener(self._client, keeper, self._fetched))
            # Partitions are known before the group is joined. A client (3.0) that learns of them afterwards
            # joins once more, and when its poll ends in the middle of that, for ever.
            self._client.topics()
        except BaseException:
            self.close()
            raise

    def held(self) -> int:
        return len(self._client.assignment())

    def wake(self) -> None:
        return None  # its polls are short

    def poll(self, seconds: float, paused: Collection[Partition], limit: int) -> Sequence[Record]:
        records = self._fetched.take(paused, limit)
        self._pause({*paused, *self._fetched.partitions()})
        # Everything that came is taken at once and kept here: the client (3.0) forgets what is left of a
        # fetch when its partition is paused and resumed.
        answer = self._client.poll(timeout_ms=0 if records else round(1000 * seconds), max_records=_ALL)
        for partition, found in answer.items():
            self._kept.setdefault(partition, found[0].offset)
            self._fetched.add(Partition(*partition), [to_record(record) for record in found])
        return records or self._fetched.take(paused, limit)

    def _pause(self, partitions: Collection[Partition]) -> None:
        held = self._client.assignment()
        wanted = {TopicPartition(*partition) for partition in partitions} & held
        now = self._client.paused() & held
        if wanted - now:
            self._client.pause(*(wanted - now))
        if now - wanted:
            self._client.resume(*(now - wanted))

    def commit(self, offsets: Mapping[Partition, int]) -> bool:
        try:
            self._client.commit(_to_kafka(offsets), timeout_ms=round(1000 * _COMMIT_SECONDS))
        except _MOVED_ON:
            return True
        except RebalanceInProgressError:
            self._unsettled_since = self._unsettled_since or time.monotonic()
            if time.monotonic() - self._unsettled_since > self._patience:
                raise  # stuck: a new client joins anew
            return False
        except KafkaError as error:
            _log.info("offsets not kept now", group=self._group, error=type(error).__name__)
            return False
        self._unsettled_since = None
        self._kept |= {TopicPartition(*partition): offset for partition, offset in offsets.items()}
        return True

    def lag(self) -> Mapping[str, int]:
        lags = dict.fromkeys(self._topics, 0)
        for partition in self._client.assignment():
            end, kept = self._client.highwater(partition), self._kept.get(partition)
            if end is not None and kept is not None:
                lags[partition.topic] += max(0, end - kept)
        return lags

    def close(self) -> None:
        self._client.close(autocommit=False, timeout_ms=round(1000 * _COMMIT_SECONDS))


class _Listener(AsyncConsumerRebalanceListener):  # type: ignore[misc]  # the client has no types
    """Called in the client's own loop, while its heartbeats go on."""

    def __init__(self, client: Any, keeper: Keeper, fetched: Fetched) -> None:
        self._client = client
        self._keeper = keeper
        self._fetched = fetched

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        partitions = [Partition(*partition) for partition in assigned]
        self._fetched.open(partitions)
        self._keeper.take_up(partitions)

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Handlers end and offsets are kept before anybody else gets these partitions."""
        offsets = await self._let_go(revoked)
        if offsets:
            try:
                await self._client.commit_async(_to_kafka(offsets))
            except KafkaError as error:
                _log.info("offsets not kept while partitions move", error=type(error).__name__)

    async def on_partitions_lost(self, lost: Collection[TopicPartition]) -> None:
        """Others have them already."""
        await self._let_go(lost)

    async def _let_go(self, gone: Collection[TopicPartition]) -> Mapping[Partition, int]:
        partitions = [Partition(*partition) for partition in gone]
        self._fetched.drop(partitions)
        ending = self._keeper.let_go(partitions)
        while not ending.done():
            # The client's loop is not asyncio's, and offers listeners nothing else to wait with.
            await self._client._net.sleep(_LOOK_SECONDS)
        return ending.result()


def _to_kafka(offsets: Mapping[Partition, int]) -> dict[TopicPartition, OffsetAndMetadata]:
    return {TopicPartition(*p): OffsetAndMetadata(offset, "", -1) for p, offset in offsets.items()}
