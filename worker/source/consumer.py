"""The group member on kafka-python 3: what the library does on which thread ends here."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import kafka
from kafka import errors
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.structs import OffsetAndMetadata

from worker.errors import DependencyError, OutOfLogError, SourceUnavailableError, WorkerError
from worker.posts.place import Partition
from worker.source.config import client_config, exposures
from worker.source.interface import Polled, TopicPartition
from worker.source.lookup import ANSWER_S, end_offsets, record_of
from worker.source.membership import LEAVE_S, Membership
from worker.source.reach import brief, connecting

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from worker.settings import Settings
    from worker.source.interface import Rebalances

log = logging.getLogger(__name__)

ZERO_ID: Final = UUID(int=0)
"""A topic's id where the broker is too old for one (before Kafka 2.8)."""
POLL_RECORDS: Final = 2_000
"""At most this many a poll: the library's own 500 costs a fifth of the throughput."""
_ANSWER_MS: Final = round(ANSWER_S * 1_000)
REACH_S: Final = 15.0
"""For a broker at the start: as long as one takes to come up beside us."""
MAX_POLL_INTERVAL_S: Final = 30
"""Or the session timeout, where that is longer. A group's rebalance waits so long for a member that
does not join again; the poll stage never stops polling, and blocks for half of this at most."""
_REFUSED: Final = (
    errors.AuthorizationError,
    errors.FencedInstanceIdError,
    errors.InconsistentGroupProtocolError,
    errors.InvalidGroupIdError,
    errors.InvalidSessionTimeoutError,
)
"""No waiting mends these: what is set is not what the broker, or the rest of the group, takes."""
METADATA_AGE_S: Final = 5
"""New partitions, and a topic made anew under its old name, are noticed within this: until then
the new log's records pass for the old one's. The answer is small."""


class _Listener(kafka.ConsumerRebalanceListener):  # type: ignore[misc]
    """Runs on the consumer's I/O thread, where whatever blocks stalls the heartbeat."""

    def __init__(self, consumer: Any, rebalances: Rebalances) -> None:  # noqa: ANN401
        self._consumer = consumer
        self._rebalances = rebalances

    def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        partitions = list(assigned)
        for partition in partitions:
            with suppress(errors.IllegalStateError, KeyError, ValueError):
                self._consumer.pause(partition)
                # A position of any kind keeps the library from resolving one by its own rules.
                self._consumer.seek(partition, 0)
        self._rebalances.assigned(_places(partitions))

    def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        self._rebalances.revoked(_places(revoked))

    def on_partitions_lost(self, lost: Iterable[Any]) -> None:
        self._rebalances.revoked(_places(lost))


class KafkaSource:
    """Implements `worker.source.Source`; joins the group on its first poll.

    Raises:
        DependencyError: No broker answers in time, or not as one.
    """

    def __init__(self, settings: Settings, rebalances: Rebalances) -> None:
        for exposure in exposures(settings):
            log.warning(exposure)
        session_s = settings.kafka_session_timeout_ms / 1_000
        self._settings = settings
        self._brokers = settings.kafka
        self._rebalances = rebalances
        self._membership = Membership(
            settings.group, session_s=session_s, round_s=max(MAX_POLL_INTERVAL_S, session_s)
        )
        self._consumer: Any = self._consume()
        self._membership.attach(self._consumer)

    def _consume(self) -> Any:  # noqa: ANN401
        """A consumer that joins the group on its first poll.

        Raises:
            DependencyError: No broker answers in time, or not as one.
        """
        settings = self._settings
        session_ms = settings.kafka_session_timeout_ms
        assignor = (
            CooperativeStickyAssignor
            if settings.assignor == "cooperative-sticky"
            else RangePartitionAssignor
        )
        with connecting(settings, timeout_s=REACH_S):
            consumer: Any = kafka.KafkaConsumer(
                **client_config(settings),
                group_id=settings.group,
                group_instance_id=settings.kafka_group_instance_id,
                session_timeout_ms=session_ms,
                # Three may be lost before the broker gives us up (Kafka's own advice).
                heartbeat_interval_ms=max(session_ms // 3, 1) if session_ms < 9_000 else 3_000,
                max_poll_interval_ms=max(MAX_POLL_INTERVAL_S * 1_000, session_ms),
                partition_assignment_strategy=[assignor],
                enable_auto_commit=False,
                # Out of range is ours to decide and to say, never the library's to settle silently.
                auto_offset_reset="none",
                # What an aborted transaction wrote was never said.
                isolation_level="read_committed",
                allow_auto_create_topics=False,
                metadata_max_age_ms=METADATA_AGE_S * 1_000,
                max_poll_records=POLL_RECORDS,
                bootstrap_timeout_ms=round(REACH_S * 1_000),
            )
        # The setting of that name does not reach the library's metadata requests (3.0.12).
        consumer._cluster.config["allow_auto_create_topics"] = False  # noqa: SLF001
        consumer.subscribe(
            topics=list(settings.topics), listener=_Listener(consumer, self._rebalances)
        )
        return consumer

    def joined(self) -> bool:
        """See `Source.joined`."""
        return self._membership.joined()

    def rejoin(self) -> None:
        """See `Source.rejoin`."""
        self._membership.rejoin()

    def partition(self, place: TopicPartition) -> tuple[Partition, int] | None:
        """See `Source.partition`."""
        cluster = self._consumer._cluster  # noqa: SLF001 - KIP-516 ids have no public door yet
        siblings = cluster.partitions_for_topic(place.topic)
        if not siblings:
            return None
        topic_id = cluster.topic_id(place.topic) or ZERO_ID
        return Partition(place.topic, topic_id, place.number), max(siblings) + 1

    def refresh(self) -> None:
        """See `Source.refresh`."""
        consumer = self._consumer
        try:
            # One that is under way may have been asked before: the one after it counts.
            for _ in range(2 if consumer._cluster.metadata_refresh_in_progress else 1):  # noqa: SLF001
                update = consumer._cluster.request_update()  # noqa: SLF001 - no public door
                consumer._net.run(consumer._manager.wait_for, update, _ANSWER_MS)  # noqa: SLF001
        except errors.KafkaError as error:
            raise _unanswered(self._brokers, error) from None

    def siblings(self, topic: str) -> list[TopicPartition]:
        """All partitions of `topic`; none if the broker does not know it.

        Raises:
            SourceUnavailableError: The broker does not answer.
        """
        try:
            numbers = self._consumer.partitions_for_topic(topic)
        except errors.KafkaError as error:
            raise _unanswered(self._brokers, error) from None
        return [TopicPartition(topic, number) for number in sorted(numbers)]

    def poll(self, timeout_s: float) -> Mapping[TopicPartition, Polled]:
        """See `Source.poll`."""
        self._see_to_join()
        try:
            answer = self._consumer.poll(timeout_ms=int(timeout_s * 1_000))
        except errors.OffsetOutOfRangeError as error:
            raise OutOfLogError(brief(error), _named(*error.args[:1])) from None
        except errors.LogTruncationError as error:
            raise OutOfLogError(brief(error), _named(error.divergent_offsets)) from None
        except (errors.CorruptRecordError, errors.UnsupportedCodecError) as error:
            # The library's next poll would not return, so there is no going on in this process.
            raise WorkerError(
                f"The broker at {self._brokers} sent a batch that cannot be read: {brief(error)}. "
                "Mend the log, or move the group past it."
            ) from None
        except (KeyError, AttributeError) as error:
            # A rebalance took a partition away while its records were being handed over.
            log.debug("a poll lost a race with a rebalance: %r", error)
            return {}
        except errors.NoOffsetForPartitionError:
            return {}  # assigned this instant, the listener has not had its turn
        except _REFUSED as error:
            raise DependencyError(
                f"The broker at {self._brokers} refuses this member of the group: {brief(error)}. "
                "Do WORKER_ASSIGNOR (one for the whole group), WORKER_KAFKA_SESSION_TIMEOUT_MS and "
                "its user's rights fit?"
            ) from None
        except errors.KafkaError as error:
            raise _unanswered(self._brokers, error) from None
        return {
            TopicPartition(partition.topic, partition.partition): self._polled(partition, records)
            for partition, records in answer.items()
        }

    def _see_to_join(self) -> None:
        """Mends a join that does not end.

        Raises:
            SourceUnavailableError: Another consumer is to be tried, and no broker answers.
        """
        done = self._membership.look()
        if done is not None:
            log.error(done, extra={"group": self._settings.group})
            self._rebalances.join_mended()
        overdue_s = self._membership.overdue_s
        if overdue_s is None:
            return
        log.error(
            "the group does not let this member in: it joins as another",
            extra={"group": self._settings.group, "for_s": round(overdue_s, 1)},
        )
        try:
            consumer = self._consume()
        except DependencyError as error:
            self._membership.wait_on()
            raise SourceUnavailableError(str(error)) from None
        self._membership.leave()
        old, self._consumer = self._consumer, consumer
        self._membership.attach(consumer)
        self._rebalances.join_mended()
        with suppress(errors.KafkaError):  # its listener gives up what it had
            old.close(autocommit=False, timeout_ms=int(LEAVE_S * 1_000))

    def _polled(self, partition: Any, raw: Sequence[Any]) -> Polled:  # noqa: ANN401
        place = TopicPartition(partition.topic, partition.partition)
        known = self.partition(place)
        topic_id = ZERO_ID if known is None else known[0].topic_id
        read = Partition(place.topic, topic_id, place.number)
        records = [record_of(read, one) for one in raw]
        last = raw[-1].offset + 1
        return Polled(records, max(last, self.position(place) or last))

    def hold(self, places: Iterable[TopicPartition]) -> None:
        """See `Source.hold`."""
        for place in places:
            with suppress(errors.IllegalStateError, KeyError):
                self._consumer.pause(kafka.TopicPartition(*place))

    def resume(self, places: Iterable[TopicPartition]) -> None:
        """See `Source.resume`."""
        for place in places:
            with suppress(errors.IllegalStateError, KeyError):
                self._consumer.resume(kafka.TopicPartition(*place))

    def start(self, place: TopicPartition, offset: int) -> bool:
        """See `Source.start`."""
        partition = kafka.TopicPartition(*place)
        try:
            self._consumer.seek(partition, offset)
            self._consumer.resume(partition)
        except (errors.IllegalStateError, KeyError, ValueError):
            return False  # a rebalance took it; `seek` says so by a ValueError
        return True

    def position(self, place: TopicPartition) -> int | None:
        """See `Source.position`."""
        try:
            position: int | None = self._consumer.position(
                kafka.TopicPartition(*place), timeout_ms=100
            )
        except (errors.KafkaError, KeyError):
            return None
        return position

    def bounds(self, places: Sequence[TopicPartition]) -> Mapping[TopicPartition, tuple[int, int]]:
        """See `Source.bounds`."""
        partitions = self._led(places)
        try:
            first = self._consumer.beginning_offsets(partitions, timeout_ms=_ANSWER_MS)
            end = self._consumer.end_offsets(partitions, timeout_ms=_ANSWER_MS)
        except errors.KafkaError as error:
            raise _unanswered(self._brokers, error) from None
        return {
            TopicPartition(*partition): (first[partition], end[partition])
            for partition in partitions
        }

    def ends(self, places: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """See `Source.ends`."""
        try:
            ends = self._consumer.end_offsets(self._led(places), timeout_ms=_ANSWER_MS)
        except errors.KafkaError as error:
            raise _unanswered(self._brokers, error) from None
        return {
            TopicPartition(*partition): max(end, self._highwater(partition) or end)
            for partition, end in ends.items()
        }

    def _led(self, places: Sequence[TopicPartition]) -> list[Any]:
        """Those that have a leader; where none seems to have one, all.

        kafka-python 3.0.12 has no answer for any where one has none: it asks on until it is late.
        """
        cluster = self._consumer._cluster  # noqa: SLF001 - no public door
        partitions = [kafka.TopicPartition(*place) for place in places]
        led = [p for p in partitions if cluster.leader_for_partition(p) not in {None, -1}]
        return led or partitions

    def _highwater(self, partition: Any) -> int | None:  # noqa: ANN401
        try:
            highwater: int | None = self._consumer.highwater(partition)
        except (errors.IllegalStateError, KeyError):
            return None
        return highwater

    def ends_by_reading(self, places: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """See `Source.ends_by_reading`."""
        return end_offsets(self._settings, places)

    def committed(self, place: TopicPartition) -> int | None:
        """See `Source.committed`."""
        try:
            offset: int | None = self._consumer.committed(
                kafka.TopicPartition(*place), timeout_ms=_ANSWER_MS
            )
        except errors.KafkaError as error:
            raise _unanswered(self._brokers, error) from None
        return offset

    def mirror(self, positions: Mapping[TopicPartition, int]) -> None:
        """See `Source.mirror`."""
        offsets = {
            kafka.TopicPartition(*place): OffsetAndMetadata(offset, "", -1)
            for place, offset in positions.items()
        }
        try:
            self._consumer.commit_async(offsets)
        except (errors.KafkaError, KeyError) as error:
            log.debug("mirroring offsets failed: %s", error)

    def close(self, timeout_s: float) -> None:
        """See `Source.close`."""
        deadline = time.monotonic() + timeout_s
        self._membership.settle(deadline)
        with suppress(errors.KafkaError):
            left = max(LEAVE_S, deadline - time.monotonic())
            self._consumer.close(autocommit=False, timeout_ms=int(left * 1_000))


def _places(partitions: Iterable[Any]) -> list[TopicPartition]:
    return [TopicPartition(partition.topic, partition.partition) for partition in partitions]


def _named(partitions: object = None) -> list[TopicPartition]:
    """The partitions that an error of the library names, if it names any."""
    return _places(partitions) if isinstance(partitions, dict) else []


def _unanswered(brokers: str, error: Exception) -> SourceUnavailableError:
    return SourceUnavailableError(f"The broker at {brokers} did not answer: {brief(error)}.")
