"""The store in memory: the fence, the fold and the ledger of the design's section 3.5."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from worker.errors import ClaimBusyError, StoreUnavailableError
from worker.posts import Post, Rejection
from worker.posts.order import standing
from worker.posts.place import Partition, partition_of
from worker.store.fold import fold, settled
from worker.store.interface import Claim, Position, Written

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from worker.posts import Label, RecordRef, Unlabelled
    from worker.posts.order import Standing
    from worker.posts.place import Span
    from worker.store.fold import Identity
    from worker.store.interface import Entry, LabelledBatch

GROUP: Final = "group"
OUTCOMES: Final = (
    "labelled",
    "unlabelled",
    "replaced",
    "duplicates",
    "stale",
    "withdrawn",
    "erased",
    "expired",
    "dead_lettered",
)
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


@dataclass
class Row:
    """A position in the store, and its ledger."""

    epoch: int = 0
    owner: str | None = None
    next_offset: int | None = None
    watermark: datetime | None = None
    updated_at: datetime = _LONG_AGO
    retired_at: datetime | None = None
    tripped: bool = False
    outcomes: Counter[str] = field(default_factory=Counter)

    @property
    def retired(self) -> bool:
        return self.retired_at is not None


class Labelled(NamedTuple):
    """A row of `post_emotions`, as far as its writer decides it."""

    ref: RecordRef
    created_at: datetime
    label: Label | Unlabelled | None
    model_id: int


class Line(NamedTuple):
    """What the journal says of a record that was stored.

    Attributes:
        ref: The record.
        outcome: The ledger's.
        epoch: The claim under which it was written.
        owned: The row's epoch at that moment.
    """

    ref: RecordRef
    outcome: str
    epoch: int
    owned: int


class Move(NamedTuple):
    """What the journal says of a position that was settled rather than advanced."""

    partition: Partition
    before: int | None
    after: int


@dataclass
class Tables:
    """What the sessions of all workers share.

    Attributes:
        positions: By group and partition.
        posts: The record that stands for each post.
        labels: The live posts'.
        dead_letters: By record.
        erased: Posts that must not come back.
        floor: The label floor.
        locked: Positions that a transaction holds which has not ended.
        journal: All that was written, in order; no part of the contract.
    """

    positions: dict[str, dict[Partition, Row]] = field(default_factory=dict)
    posts: dict[Identity, Standing] = field(default_factory=dict)
    labels: dict[Identity, Labelled] = field(default_factory=dict)
    dead_letters: dict[RecordRef, Rejection] = field(default_factory=dict)
    erased: set[Identity] = field(default_factory=set)
    floor: datetime | None = None
    locked: set[Partition] = field(default_factory=set)
    journal: list[Line | Move] = field(default_factory=list)


class MemoryStore:
    """Implements `worker.store.interface.Store`: one session of one worker.

    Retries of dead letters are not for it: the database alone knows those by their numbers.

    Args:
        tables: Shared by the workers; None makes them.
        group: The consumer group.
        wall: Wall clock, UTC.

    Attributes:
        entries: What this session stored, in order.
        stored: Of it, the offsets by partition.
        away: How many more calls find the database away.
        lost: How many more writes are committed without an answer.
        busy: How many more claims meet the old owner's transaction.
        claims: How many were made.
        meanwhile: What happens once, at the next moment of that name: `settling` (a position), and
            of a write `begun` (nothing is locked yet), `locked` (the fence was passed) and
            `committed` (not answered). Raising `StoreUnavailableError` there, the session ends.
        watch: Shown every batch that is to be written.
    """

    def __init__(
        self,
        tables: Tables | None = None,
        *,
        group: str = GROUP,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.tables = Tables() if tables is None else tables
        self.group = group
        self._wall = wall
        self.stored: dict[Partition, list[int]] = {}
        self.entries: list[Entry] = []
        self.away = 0
        self.lost = 0
        self.busy = 0
        self.claims = 0
        self.meanwhile: dict[str, Callable[[], None]] = {}
        self.watch: Callable[[LabelledBatch], None] | None = None

    @property
    def rows(self) -> dict[Partition, Row]:
        """The group's positions."""
        return self.tables.positions.setdefault(self.group, {})

    def claim(self, partition: Partition, siblings: int, owner: str) -> Claim:
        self._reach()
        others = {
            other: row
            for other, row in self.rows.items()
            if other.topic == partition.topic and other.topic_id != partition.topic_id
        }
        if self.busy or self.tables.locked & {partition, *others}:
            self.busy = max(0, self.busy - 1)
            raise ClaimBusyError("the old owner's transaction still holds the row")
        self.claims += 1
        now = self._wall()
        for number in range(siblings):
            self.rows.setdefault(
                Partition(partition.topic, partition.topic_id, number), Row(updated_at=now)
            )
        for row in others.values():
            if row.retired_at is None:
                row.retired_at, row.epoch = now, row.epoch + 1
        row = self.rows.setdefault(partition, Row())
        row.epoch, row.owner, row.updated_at, row.retired_at = row.epoch + 1, owner, now, None
        return Claim(
            partition,
            row.epoch,
            row.next_offset,
            superseded=any(other.next_offset is not None for other in others.values()),
            tripped=row.tripped,
        )

    def settle(self, claim: Claim, offset: int) -> bool:
        self._reach()
        self._happens("settling")
        row = self.rows.get(claim.partition)
        if row is None or (row.epoch, row.next_offset) != (claim.epoch, claim.next_offset):
            return False
        row.next_offset, row.updated_at = offset, self._wall()
        self.tables.journal.append(Move(claim.partition, claim.next_offset, offset))
        return True

    def write(self, batch: LabelledBatch) -> Written:
        assert batch.ledger is None, "retries go to the database"
        if self.watch is not None:
            self.watch(batch)
        self._reach()
        self._happens("begun")
        passed, fenced, repeated = self._fence(batch.spans)
        mine = {span.partition: span for span in passed}
        entries = [entry for entry in batch.entries if partition_of(entry.record.ref) in mine]
        for entry in entries:
            ref, span = entry.record.ref, mine[partition_of(entry.record.ref)]
            assert span.start <= ref.offset < span.end, "a record lies within its span"
            assert not isinstance(entry.decoded, Post) or entry.label is not None
        self.tables.locked |= mine.keys()
        try:
            self._happens("locked")
        finally:
            self.tables.locked -= mine.keys()
        outcomes = self._store_posts(replace(batch, entries=tuple(entries)))
        counts: dict[Partition, Counter[str]] = {partition: Counter() for partition in mine}
        for entry, outcome in zip(entries, outcomes, strict=True):
            ref, partition = entry.record.ref, partition_of(entry.record.ref)
            counts[partition][outcome] += 1
            line = Line(ref, outcome, mine[partition].epoch, self.rows[partition].epoch)
            self.tables.journal.append(line)
            self.stored.setdefault(partition, []).append(ref.offset)
            self.entries.append(entry)
        for partition, span in mine.items():
            self._advance(self.rows[partition], span, counts[partition])
            if counts[partition].total() > counts[partition]["dead_lettered"]:
                for other, row in self.rows.items():
                    if other.topic == partition.topic:
                        row.tripped = False
        self._happens("committed")
        if self.lost:
            self.lost -= 1
            raise StoreUnavailableError("the answer was lost")
        standing = mine.keys() | {span.partition for span in repeated}
        letters = frozenset(
            entry.record.ref
            for entry in batch.entries
            if isinstance(entry.decoded, Rejection) and partition_of(entry.record.ref) in standing
        )
        return Written(counts, tuple(fenced), tuple(repeated), letters)

    def heartbeat(self, spans: Sequence[Span]) -> int:
        self._reach()
        raised = 0
        for span in spans:
            row = self.rows.get(span.partition)
            if row is not None and (row.epoch, row.next_offset) == (span.epoch, span.end):
                self._raise(row, span.watermark)
                raised += 1
        return raised

    def trip(self, claims: Sequence[Claim]) -> None:
        self._reach()
        for claim in claims:
            row = self.rows.get(claim.partition)
            if row is not None and row.epoch == claim.epoch:
                row.tripped = True

    def positions(self, group: str, topics: Sequence[str]) -> list[Position]:
        self._reach()
        rows = self.tables.positions.get(group, {})
        return [
            Position(
                partition=partition,
                next_offset=row.next_offset,
                owner_epoch=row.epoch,
                owner_id=row.owner,
                watermark=row.watermark,
                updated_at=row.updated_at,
                retired_at=row.retired_at,
                consumed=row.outcomes.total(),
                outcomes={name: row.outcomes[name] for name in OUTCOMES},
            )
            for partition, row in sorted(
                rows.items(), key=lambda item: (item[0].topic, item[1].retired, item[0])
            )
            if partition.topic in topics
        ]

    def close(self) -> None:
        """Ends the session: here nothing."""

    # The steps of a write

    def _fence(self, spans: Sequence[Span]) -> tuple[list[Span], list[Span], list[Span]]:
        passed: list[Span] = []
        fenced: list[Span] = []
        repeated: list[Span] = []
        for span in spans:
            row = self.rows.get(span.partition, Row())
            if not self._owns(row, span):
                fenced.append(span)
            elif self._stands_at(row, span):
                passed.append(span)
            elif row.next_offset == span.end:
                repeated.append(span)
            else:
                fenced.append(span)
        return passed, fenced, repeated

    def _owns(self, row: Row, span: Span) -> bool:
        return row.epoch == span.epoch

    def _stands_at(self, row: Row, span: Span) -> bool:
        return row.next_offset == span.start

    def _store_posts(self, batch: LabelledBatch) -> list[str]:
        """The entries' outcomes, in order."""
        entries, tables = batch.entries, self.tables
        identities = [
            None
            if isinstance(entry.decoded, Rejection)
            else (entry.decoded.platform, entry.decoded.post_id)
            for entry in entries
        ]
        erased = {o for o, identity in enumerate(identities) if identity in tables.erased}
        outcomes = settled(entries, erased=erased, floor=tables.floor)
        undecided = [o for o in range(len(entries)) if o not in outcomes]
        folded = fold(entries, undecided, tables.posts, batch.generation)
        outcomes |= folded.outcomes
        for identity, ordinal in folded.winners.items():
            entry = entries[ordinal]
            assert not isinstance(entry.decoded, Rejection)
            tables.posts[identity] = standing(entry.decoded, batch.generation)
            tables.labels.pop(identity, None)
            if isinstance(entry.decoded, Post):
                tables.labels[identity] = Labelled(
                    entry.record.ref, entry.decoded.created_at, entry.label, batch.model_id
                )
        for entry in entries:
            if isinstance(entry.decoded, Rejection):
                tables.dead_letters.setdefault(entry.record.ref, entry.decoded)
        return [outcomes[ordinal] for ordinal in range(len(entries))]

    def _advance(self, row: Row, span: Span, counts: Counter[str]) -> None:
        row.next_offset, row.updated_at = span.end, self._wall()
        row.outcomes += counts
        if span.watermark is not None:
            self._raise(row, min(span.watermark, self._wall()))

    @staticmethod
    def _raise(row: Row, watermark: datetime | None) -> None:
        if watermark is not None and (row.watermark is None or watermark > row.watermark):
            row.watermark = watermark

    # Faults

    def _reach(self) -> None:
        if self.away:
            self.away -= 1
            raise StoreUnavailableError("the database is away")

    def _happens(self, moment: str) -> None:
        meanwhile = self.meanwhile.pop(moment, None)
        if meanwhile is not None:
            meanwhile()
