"""A flight recorder in the database under test: every commit that moved a position, and by whom."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

Partition = tuple[str, int]
"""Topic and partition; whichever log it was."""

# A trigger of the suite's own. It is part of the worker's transaction, so what it wrote was
# committed, and at about that time. `chaos.worker` is set by the connection's options.
RECORDER = """
CREATE TABLE chaos_journal (
    at double precision NOT NULL,
    topic text NOT NULL,
    kafka_partition integer NOT NULL,
    owner_id text,
    worker text,
    records bigint NOT NULL
);
CREATE FUNCTION chaos_record() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO chaos_journal VALUES (
        extract(epoch FROM clock_timestamp()), NEW.topic, NEW.kafka_partition, NEW.owner_id,
        current_setting('chaos.worker', true), NEW.consumed - OLD.consumed
    );
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_record AFTER UPDATE ON stream_offsets FOR EACH ROW
WHEN (
    NEW.consumer_group NOT LIKE '%.replay.%'
    AND (NEW.next_offset IS DISTINCT FROM OLD.next_offset OR NEW.consumed <> OLD.consumed)
)
EXECUTE FUNCTION chaos_record();
"""


@dataclass(frozen=True, slots=True)
class Commit:
    """A batch's share of one partition, committed.

    Attributes:
        at: Epoch seconds, by the database's clock.
        partition: Which one.
        owner: Host and process id of the last claim.
        worker: Number of the worker that wrote.
        records: How many.
    """

    at: float
    partition: Partition
    owner: str | None
    worker: str | None
    records: int


def read(connection: psycopg.Connection) -> list[Commit]:
    """All commits, in order."""
    rows = connection.execute(
        "SELECT at, topic, kafka_partition, owner_id, worker, records FROM chaos_journal "
        "ORDER BY at"
    ).fetchall()
    return [Commit(row[0], (row[1], row[2]), *row[3:]) for row in rows]


def longest_gap(commits: Sequence[Commit], start: float, end: float) -> float:
    """Of all partitions, the longest time without a commit that touches start to end, seconds.

    From the last commit before it to the first one after it: what the fault cost, as seen by the
    partition that it hit hardest.
    """
    times: dict[Partition, list[float]] = defaultdict(list)
    for commit in commits:
        if commit.records > 0:
            times[commit.partition].append(commit.at)
    longest = 0.0
    for moments in times.values():
        for before, after in pairwise(moments):
            if after > start and before < end:
                longest = max(longest, after - before)
    return longest


def rate(commits: Sequence[Commit], start: float, end: float) -> float:
    """Records a second that were committed from start to end."""
    return sum(commit.records for commit in commits if start <= commit.at < end) / (end - start)
