"""The store as the pipeline sees it: claims, micro-batches in, positions out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from worker.posts import Label, Post, Record, RecordRef, Rejection, Unlabelled, Withdrawal
    from worker.posts.place import Partition, Span


@dataclass(frozen=True, slots=True)
class Claim:
    """What a claim returned: from here on only this epoch may write the partition's position.

    Attributes:
        partition: The partition.
        epoch: The owner's epoch.
        next_offset: The stored position; None if none was ever resolved.
        superseded: Whether the group had a position in a log that the topic had before this one.
        tripped: Whether the last owner stopped because nearly everything was rejected, and nothing
            was stored since.
    """

    partition: Partition
    epoch: int
    next_offset: int | None
    superseded: bool = False
    tripped: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """A record, what it decoded to, and, for a post, what the classifier said."""

    record: Record
    decoded: Post | Withdrawal | Rejection
    label: Label | Unlabelled | None = None


@dataclass(frozen=True, slots=True)
class ReplayTurn:
    """A replay as its process knows it: what it reads may change, and then this is no longer it.

    Attributes:
        name: The replay's.
        revision: Raised with each change of its state or range.
    """

    name: str
    revision: int


@dataclass(frozen=True, slots=True)
class LabelledBatch:
    """What one transaction stores.

    Attributes:
        spans: One for each partition; the entries' records lie within them.
        entries: In the order in which they were read.
        model_id: The `models` row of the classifier.
        generation: 0 for the live stream.
        ledger: Where the records are counted, if not where they lie: `@retry`.
        letters: For a retry, the entries' dead letters, in the same order.
        replay: The replay that these were read for; None: the live stream.
        shadow: Whether they are its own labels; else they go where all do.
        keeps_topics: Whether a label keeps the topic of the one that it replaces: records of files
            are of none.
    """

    spans: tuple[Span, ...]
    entries: tuple[Entry, ...]
    model_id: int
    generation: int = 0
    ledger: Partition | None = None
    letters: tuple[int, ...] = ()
    replay: ReplayTurn | None = None
    shadow: bool = False
    keeps_topics: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a batch.

    Attributes:
        outcomes: For each partition that was written, how many records had which outcome.
        fenced: Spans that another owner's claim kept out: nothing of them was written.
        repeated: Spans that stood already: their commit had succeeded, only the answer was lost.
        letters: Records that became dead letters with their bytes, now or in the commit before.
    """

    outcomes: Mapping[Partition, Mapping[str, int]]
    fenced: tuple[Span, ...] = ()
    repeated: tuple[Span, ...] = ()
    letters: frozenset[RecordRef] = frozenset()


@dataclass(frozen=True, slots=True)
class Position:
    """A row of the group's ledger, for people and for `--drain`."""

    partition: Partition
    next_offset: int | None
    owner_epoch: int
    owner_id: str | None
    watermark: datetime | None
    updated_at: datetime
    retired_at: datetime | None
    consumed: int
    outcomes: Mapping[str, int]


class Store(Protocol):
    """Where labels, trends and positions live. Used from one thread.

    Every method raises `StoreUnavailableError` where the database is away (try again later).
    """

    def claim(self, partition: Partition, siblings: int, owner: str) -> Claim:
        """Takes `partition` over; whoever owned it before is fenced from now on.

        Makes known all `siblings` partitions of the topic, so that an unclaimed one is not taken
        for a complete one, and retires the positions of logs that this topic had before.

        Raises:
            ClaimBusyError: The old owner's transaction still holds the row; try again.
        """
        ...

    def settle(self, claim: Claim, offset: int) -> bool:
        """Moves a claimed position to `offset`: the first resolution, or out of a lost log.

        Returns:
            False if the claim is no longer the newest: nothing was changed.
        """
        ...

    def write(self, batch: LabelledBatch) -> Written:
        """Stores a batch in one transaction: each record counts exactly once."""
        ...

    def heartbeat(self, spans: Sequence[Span]) -> int:
        """Raises the watermarks of idle partitions (`start` = `end` = the stored position).

        Returns:
            How many were raised; a fenced or moved one is not.
        """
        ...

    def trip(self, claims: Sequence[Claim]) -> None:
        """Remembers that the circuit breaker stopped these; the next batch stored clears it."""
        ...

    def positions(self, group: str, topics: Sequence[str]) -> list[Position]:
        """The group's rows for `topics`, retired ones included."""
        ...
