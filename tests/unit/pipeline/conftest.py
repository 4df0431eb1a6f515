"""The pipeline with both ends in memory: a log with its group, a ledger, and one thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fakes.broker import MemoryBroker
from tests.fakes.clock import ManualClock
from tests.fakes.member import Member
from tests.fakes.store import Tables

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.fakes.store import Row
    from worker.pipeline.starts import Reset
    from worker.posts.place import Partition
    from worker.source import TopicPartition
    from worker.store.interface import Claim


class Rig(Member):
    """A member with a broker and a database of its own, under a clock that only the test moves."""

    def __init__(
        self,
        *,
        partitions: int = 1,
        reset: Reset = "earliest",
        adopt: bool = False,
        posts: int = 3,
        linger_s: float = 0.0,
        targets: Mapping[Partition, int] | None = None,
        breaker_share: float = 0.0,
        broker: MemoryBroker | None = None,
        tables: Tables | None = None,
    ) -> None:
        super().__init__(
            MemoryBroker() if broker is None else broker,
            Tables() if tables is None else tables,
            ManualClock(),
            reset=reset,
            adopt=adopt,
            posts=posts,
            linger_s=linger_s,
            targets=targets,
            breaker_share=breaker_share,
        )
        self.places = list(self.source.logs) or self.source.make(partitions)

    @property
    def now(self) -> float:
        return self.clock.now

    @now.setter
    def now(self, seconds: float) -> None:
        self.clock.now = seconds

    def row(self, place: TopicPartition) -> Row:
        return self.store.rows[self.source.partition_at(place)]

    def stored(self, place: TopicPartition) -> list[int]:
        return self.store.stored.get(self.source.partition_at(place), [])

    def claim_elsewhere(self, place: TopicPartition) -> Claim:
        """Another worker claims the partition."""
        return self.store.claim(self.source.partition_at(place), len(self.places), "another")


@pytest.fixture(scope="session")
def make_rig() -> Callable[..., Rig]:
    """`make_rig(partitions=..., reset=..., ...)`: see `Rig`."""
    return Rig


@pytest.fixture
def rig() -> Rig:
    """One partition, read from its start, batches of three, no linger."""
    return Rig()
