"""Any interleaving of workers, group, log, broker and database; and that a missing guard shows.

What the machine does not find, because another guard makes up for it: a repeated commit that is
taken for a fenced one (the partition is claimed again), a fenced one that is taken for repeated
(the watch over each partition's progress has it claimed again), and a store stage that writes what
is no longer ours, but for the check that sees it (the fence of its epoch stops it).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.fakes.machine import Pipelines
from tests.fakes.store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.fakes.group import Style
    from tests.fakes.member import Member
    from tests.fakes.store import Row
    from worker.posts import Record
    from worker.posts.place import Partition, Span
    from worker.source import TopicPartition
    from worker.source.assignment import Assignment
    from worker.store.interface import Claim

STEPS = 40


class Cooperative(Pipelines):
    style: Style = "cooperative-sticky"


class Eager(Pipelines):
    style: Style = "range"


TestCooperative = Cooperative.TestCase
TestCooperative.settings = settings(max_examples=40, stateful_step_count=STEPS, deadline=None)
TestEager = Eager.TestCase
TestEager.settings = settings(max_examples=40, stateful_step_count=STEPS, deadline=None)


# Guards taken away


class NoEpoch(MemoryStore):
    def _owns(self, row: Row, span: Span) -> bool:
        return True


class NoCompareAndSet(MemoryStore):
    def _stands_at(self, row: Row, span: Span) -> bool:
        return True


class NoRowLock(MemoryStore):
    def claim(self, partition: Partition, siblings: int, owner: str) -> Claim:
        locked, self.tables.locked = self.tables.locked, set()
        try:
            return super().claim(partition, siblings, owner)
        finally:
            self.tables.locked = locked


class UnfencedSettle(MemoryStore):
    def settle(self, claim: Claim, offset: int) -> bool:
        row = self.rows[claim.partition]
        return super().settle(replace(claim, epoch=row.epoch, next_offset=row.next_offset), offset)


class Credulous:
    """An assignment that holds whatever it ever held."""

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment

    def holds(self, place: TopicPartition, epoch: int) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._assignment, name)


def _credulous(stage: str) -> Callable[[Member], None]:
    def weaken(member: Member) -> None:
        of_stage = getattr(member, stage)
        for part in (of_stage, *vars(of_stage).values()):
            if hasattr(part, "_assignment"):
                part._assignment = Credulous(part._assignment)

    return weaken


def _from_the_first_record(member: Member) -> None:
    """Spans that begin at their first record: they expect no position behind a gap."""
    batcher: Any = member.poll._batcher
    add = batcher.add

    def wrong(
        partition: Partition, epoch: int, start: int, items: Sequence[Record], end: int
    ) -> Any:
        first = items[0].record.ref.offset if items else start  # type: ignore[attr-defined]
        return add(partition, epoch, first, items, end)

    batcher.add = wrong


@pytest.mark.slow
@pytest.mark.parametrize(
    ("machine", "store", "weaken", "found"),
    [
        (Cooperative, NoEpoch, None, "written by a fenced worker"),
        (Eager, NoCompareAndSet, None, "counted twice"),
        (Cooperative, NoRowLock, None, "written by a fenced worker"),
        (Eager, UnfencedSettle, None, "counted twice"),
        (Cooperative, None, _credulous("poll"), "the poll stage hands on what is no longer ours"),
        (Eager, None, _credulous("classifying"), "the classify stage hands on what is no longer"),
        (Cooperative, None, _credulous("storing"), "the store writes what is no longer ours"),
        (Eager, None, _from_the_first_record, "in the end"),
    ],
    ids=[
        *("epoch", "compare-and-set", "row lock", "settle's fence"),
        *("holds: poll", "holds: classify", "holds: store", "spans over gaps"),
    ],
)
def test_a_guard_that_is_missing_is_noticed(
    machine: type[Pipelines],
    store: type[MemoryStore] | None,
    weaken: Callable[[Member], None] | None,
    found: str,
) -> None:
    class Weakened(machine):  # type: ignore[valid-type,misc]
        def make_store(self) -> MemoryStore:
            return (store or MemoryStore)(self.tables, wall=self.clock.wall)

        def weaken(self, member: Member) -> None:
            if weaken is not None:
                weaken(member)

    with pytest.raises(AssertionError, match=found):
        run_state_machine_as_test(
            Weakened,
            settings=settings(
                max_examples=400,
                stateful_step_count=STEPS,
                phases=[Phase.generate],
                derandomize=True,
                database=None,
                deadline=None,
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
            ),
        )
