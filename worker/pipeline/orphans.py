"""Partitions that the group leaves to nobody: no worker that has them can notice it.

A cooperative rebalance moves a partition in two steps. Where the second one never comes, as after a
broker's restart, each member is content and one partition is nobody's. Any rebalance mends it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.errors import SourceUnavailableError
from worker.source import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from worker.posts.place import Partition
    from worker.store.interface import Position


@dataclass(frozen=True, slots=True)
class _Seen:
    position: tuple[int | None, int]
    since: float


class Orphans:
    """Watches the positions of partitions that others should read. Used from one thread.

    Args:
        stall_s: WORKER_STALL_SECONDS: so long one that was named is left in peace, for each time
            all members join again.
        clock: Seconds, monotonic.
        nobody_s: One that has records before it and does not move, and that nobody claims, for so
            long counts as nobody's; None: `stall_s`.
    """

    def __init__(
        self, stall_s: float, clock: Callable[[], float], nobody_s: float | None = None
    ) -> None:
        self._peace_s = stall_s
        self._nobody_s = stall_s if nobody_s is None else min(stall_s, nobody_s)
        self._clock = clock
        self._seen: dict[Partition, _Seen] = {}
        self._peace: dict[Partition, tuple[int | None, float]] = {}

    @property
    def every_s(self) -> float:
        """How often to look, seconds."""
        return self._nobody_s / 4

    def look(
        self,
        positions: Sequence[Position],
        mine: Collection[TopicPartition],
        ends: Callable[[Sequence[TopicPartition]], Mapping[TopicPartition, int]],
    ) -> list[Partition]:
        """Those that are nobody's.

        Args:
            positions: Of the group, of the logs that its topics are now.
            mine: What is assigned to this worker.
            ends: Asks the broker where logs end.

        Raises:
            SourceUnavailableError: From `ends`.
        """
        now = self._clock()
        before, self._seen = self._seen, {}
        still = []
        for row in positions:
            place = TopicPartition.of(row.partition)
            if place in mine:
                continue
            stands = (row.next_offset, row.owner_epoch)
            seen = before.get(row.partition)
            if seen is None or seen.position != stands:
                seen = _Seen(stands, now)
            self._seen[row.partition] = seen
            # The group that assigns anew moves the epoch; only records that are read end the peace.
            at, until = self._peace.get(row.partition, (None, now))
            in_peace = at == row.next_offset and now < until
            if now >= seen.since + self._nobody_s and not in_peace:
                still.append(row)
        if not still:
            return []
        try:
            found = ends([TopicPartition.of(row.partition) for row in still])
        except SourceUnavailableError:
            self.forget()  # one without a leader is not asked for again and again
            raise
        orphans = [
            row.partition
            for row in still
            if found.get(TopicPartition.of(row.partition), 0) > (row.next_offset or 0)
        ]
        for row in still:
            # Those at their end as well: what is written from now on has its time to be read.
            self._seen[row.partition] = _Seen((row.next_offset, row.owner_epoch), now)
            if row.partition in orphans:
                self._peace[row.partition] = (row.next_offset, now + self._peace_s)
        return orphans

    def forget(self) -> None:
        """Begins anew: for a while nobody could have been seen to read."""
        self._seen = {}
