"""What the tables must hold, worked out from what was written to the log and from the journal.

Nothing of the worker's decodes, folds or counts here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

from tests.fakes.store import GROUP, Line
from worker.posts.place import Partition, partition_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.fakes.store import Move, Tables
    from worker.posts import RecordRef


class Said(NamedTuple):
    """What a record says, as the test wrote it.

    Attributes:
        kind: `post`, `withdrawal` or `garbage`.
        post_id: Of which post.
        version: Of a post; the same every time for a withdrawal.
    """

    kind: str
    post_id: str
    version: int


class Oracle:
    """Follows the journal of a memory store, and says what is wrong.

    Attributes:
        said: All that was ever written to any log.
        removed: What retention, compaction or a new log took away: it may have been read or not.
    """

    def __init__(self) -> None:
        self.said: dict[RecordRef, Said] = {}
        self.removed: set[RecordRef] = set()
        self._read_to = 0
        self._counted: defaultdict[Partition, Counter[int]] = defaultdict(Counter)
        self._standing: dict[str, tuple[RecordRef, Said]] = {}
        # The stretches of each log that were read to their end, and where the newest one began.
        self._covered: defaultdict[Partition, list[tuple[int, int]]] = defaultdict(list)
        self._since: dict[Partition, int] = {}
        self._last: dict[Partition, tuple[int, int | None, int]] = {}

    def read(self, journal: Sequence[Line | Move]) -> None:
        """Takes what was written since the last time: once each, and by the partition's owner."""
        for entry in journal[self._read_to :]:
            if isinstance(entry, Line):
                assert entry.epoch == entry.owned, f"written by a fenced worker: {entry}"
                counted = self._counted[partition_of(entry.ref)]
                counted[entry.ref.offset] += 1
                assert counted[entry.ref.offset] == 1, f"counted twice: {entry.ref}"
                self._see(entry.ref)
            else:
                if entry.before is not None:
                    stretch = (self._since[entry.partition], entry.before)
                    self._covered[entry.partition].append(stretch)
                self._since[entry.partition] = entry.after
        self._read_to = len(journal)

    def check_the_ledger(self, tables: Tables) -> None:
        """Below the stored position everything was counted; above it nothing."""
        for partition, row in tables.positions.get(GROUP, {}).items():
            counted = self._counted[partition]
            assert row.outcomes.total() == counted.total(), "the ledger balances"
            if row.next_offset is None:
                assert not counted
                continue
            stretches = [*self._covered[partition], (self._since[partition], row.next_offset)]
            should = {
                ref.offset
                for ref in self.said
                if partition_of(ref) == partition
                and any(start <= ref.offset < end for start, end in stretches)
            }
            assert counted.keys() <= should, "counted without its position"
            removed = {ref.offset for ref in self.removed if partition_of(ref) == partition}
            lost = should - counted.keys() - removed
            assert not lost, f"lost of {partition}: {lost}"

    def check_what_stands(self, tables: Tables) -> None:
        """One label for each live post: that of the record which 3.4 says stands."""
        live = {i: ref for i, (ref, said) in self._standing.items() if said.kind == "post"}
        assert {identity[1]: row.ref for identity, row in tables.labels.items()} == live
        assert {identity[1] for identity in tables.posts} == self._standing.keys()

    def check_positions(self, tables: Tables) -> None:
        """Epochs never fall; positions only where one was settled anew."""
        for partition, row in tables.positions.get(GROUP, {}).items():
            moves = len(self._covered[partition])
            epoch, position, moves_then = self._last.get(partition, (0, None, moves))
            assert row.epoch >= epoch
            if position is not None and moves == moves_then:
                assert row.next_offset is not None
                assert row.next_offset >= position, f"{partition} went back from {position}"
            self._last[partition] = (row.epoch, row.next_offset, moves)

    def _see(self, ref: RecordRef) -> None:
        """3.4 in its own words: withdrawn over live, the later version, the smallest reference."""
        said = self.said[ref]
        if said.kind == "garbage":
            return
        seen = self._standing.setdefault(said.post_id, (ref, said))
        mine, other = ((it.kind == "withdrawal", it.version) for it in (said, seen[1]))
        if mine > other or (mine == other and ref < seen[0]):
            self._standing[said.post_id] = (ref, said)
