"""The end of a drill: what the broker holds, what the oracle says, and what the tables hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.chaos import journal
from tests.chaos.compare import Compared, compare
from tests.chaos.oracle import expect
from tests.chaos.replaying import replayed

if TYPE_CHECKING:
    import psycopg

    from tests.chaos.erasing import Erasures
    from tests.chaos.faults import Field
    from tests.chaos.feed import Feed
    from tests.chaos.oracle import Place

GROUP = "chaos"
AUTHOR_KEY = "a key that only the chaos suite uses"


@dataclass(slots=True)
class Judged:
    """What is to be said of the tables, and every commit that led to them."""

    compared: Compared
    commits: list[journal.Commit]
    problems: list[str] = field(default_factory=list)


def judge(field: Field, erasures: Erasures) -> Judged:
    """Compares all tables with the oracle's. Nothing may be running any more."""
    feed = field.feed
    check_log(feed)
    with field.ground.connect() as connection:
        stored = positions_of(connection)
        # Of a dead log nobody can say what was read, but for what was stored.
        records = [
            record
            for record in feed.records
            if record.topic_id not in feed.dead or record.offset < stored.get(record.place, 0)
        ]
        expected = expect(
            records,
            author_key=AUTHOR_KEY.encode(),
            erased_posts=erasures.posts,
            erased_authors=erasures.authors,
            replayed=replayed(connection),
        )
        judged = Judged(compare(connection, expected, GROUP), journal.read(connection))
    code, said = field.fleet.command("verify")
    if code != 0:
        judged.problems.append(f"verify: exit code {code}: {said.strip()[:500]}")
    judged.problems += foreign_writes(judged.commits, field.fleet.pids)
    return judged


def positions_of(connection: psycopg.Connection) -> dict[Place, int]:
    """The group's stored positions, retired ones included."""
    rows = connection.execute(
        "SELECT topic, topic_id, kafka_partition, next_offset FROM stream_offsets "
        "WHERE consumer_group = %s AND next_offset IS NOT NULL",
        (GROUP,),
    ).fetchall()
    return {(row[0], row[1], row[2]): row[3] for row in rows}


def check_log(feed: Feed) -> None:
    """That the living logs hold what was acknowledged: otherwise the oracle would be guessing."""
    living = [record for record in feed.records if record.topic_id not in feed.dead]
    by_ref = {record.ref: record for record in feed.read_back()}
    assert len(by_ref) == len(living), f"{len(living)} acknowledged, {len(by_ref)} in the log"
    for record in living:
        assert by_ref[record.ref] == record, record.ref


def foreign_writes(commits: list[journal.Commit], pids: dict[str, int]) -> list[str]:
    """What was written by a worker whose claim another one had taken over."""
    foreign = [
        commit
        for commit in commits
        if commit.worker and (commit.owner or "").rpartition(":")[2] != str(pids[commit.worker])
    ]
    if not foreign:
        return []
    first = foreign[0]
    what = (
        f"{len(foreign)} batches were written by a worker that was no longer the owner: "
        f"first {first.partition} by worker {first.worker}, owned by {first.owner}"
    )
    return [what]
