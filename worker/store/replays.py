"""Replays as the store keeps them: what each reads, how far it is, and the labels it may swap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from psycopg.types.range import TimestamptzRange

from worker.errors import WorkerError
from worker.posts.place import Partition
from worker.store.interface import Claim
from worker.store.locks import own_policy
from worker.store.policy import read_policy
from worker.store.queries import query

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    import psycopg

    from worker.store.interface import ReplayTurn

Kind = Literal["in_place", "shadow"]
State = Literal[
    "running",
    "finished",
    "promoting",
    "promoted",
    "rolling_back",
    "rolled_back",
    "discarding",
    "discarded",
]

LIVE_S: Final = 60.0
"""A position that was written within this has a worker: those raise idle rows every few seconds."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a replay is to do.

    Attributes:
        name: What it is called.
        kind: Whether it replaces labels as it reads, or keeps its own.
        group: Its consumer group.
        topics: What it reads.
        since: Of the records' timestamps, the first; None: from the start of the log.
        until: The first that is too late; None: to the end that the log has at the start.
        model_id: The classifier's row.
        files: Whether it reads files, not topics.
    """

    name: str
    kind: Kind
    group: str
    topics: tuple[str, ...]
    since: datetime | None
    until: datetime | None
    model_id: int
    files: bool = False


@dataclass(frozen=True, slots=True)
class Replay:
    """A replay's row.

    Attributes:
        plan: What it was begun with.
        state: How it stands.
        generation: Of its labels; None for a shadow that was never promoted.
        progress: From 0 to 1.
        promoted: Labels that its promotion put in place.
        superseded: Labels that its promotion passed over.
        restored: Labels that its rollback took back.
        created_at: When it was begun.
        updated_at: When it last moved on.
        finished_at: When it had read all.
        model: Name and version of the model.
        revision: Raised with each change of state or range.
    """

    plan: Plan
    state: State
    generation: int | None
    progress: float
    promoted: int
    superseded: int
    restored: int
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    model: str
    revision: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a replay reads of a partition, and how far it is.

    Attributes:
        partition: Of which log.
        start: The first offset.
        end: Where it ends.
        position: The next offset to read.
        consumed: Records of its range that it has stored so far.
        owner: Who reads it.
        idle_s: Seconds since it last moved on.
    """

    partition: Partition
    start: int
    end: int
    position: int
    consumed: int
    owner: str | None
    idle_s: float | None = None

    @property
    def left(self) -> int:
        """Offsets before its end; some may hold no record of the range."""
        return max(0, self.end - self.position)

    @property
    def passed(self) -> int:
        """Offsets that it has gone past."""
        return max(0, min(self.position, self.end) - self.start)


def create(
    connection: psycopg.Connection, plan: Plan, logs: Mapping[Partition, tuple[int, int]]
) -> bool:
    """Makes the replay, with its positions where it begins, in one transaction.

    Args:
        connection: Not in a transaction, not in autocommit.
        plan: What it is to do.
        logs: First offset and end of each partition.

    Returns:
        False if one of that name is there already: nothing was changed.
    """
    made = connection.execute(
        query("replay_create"),
        {
            "name": plan.name,
            "kind": plan.kind,
            "model_id": plan.model_id,
            "group": plan.group,
            "topics": list(plan.topics),
            "range": TimestamptzRange(plan.since, plan.until),
            "files": plan.files,
        },
    ).rowcount
    if made:
        connection.execute(query("replay_logs"), _bounds(plan.name, plan.group, logs))
    connection.commit()
    return bool(made)


def extend(
    connection: psycopg.Connection,
    plan: Plan,
    logs: Mapping[Partition, tuple[int, int]],
    *,
    again: Mapping[Partition, tuple[int, int]],
) -> None:
    """Lets a replay read on, to `plan.until` and these ends; who reads for it is fenced.

    Args:
        connection: Not in a transaction, not in autocommit.
        plan: As it is from now on.
        logs: First offset and new end of each partition; no end moves back, and a partition that
            the replay has a position in goes on from there.
        again: Those that go back to their first offset here, if they are past it.

    Raises:
        WorkerError: It was promoted or discarded meanwhile.
    """
    with connection.cursor() as cursor:
        own_policy(cursor)
        extended = cursor.execute(
            query("replay_extend"),
            {"name": plan.name, "range": TimestamptzRange(plan.since, plan.until)},
        ).rowcount
    if not extended:
        connection.rollback()
        raise WorkerError(
            f"The replay {plan.name} is no longer one that reads: `emotion-worker replays show "
            f"{plan.name}` says what it is."
        )
    connection.execute(query("replay_logs"), _bounds(plan.name, plan.group, logs))
    connection.execute(query("replay_back"), _bounds(plan.name, plan.group, again))
    connection.commit()


def _bounds(name: str, group: str, logs: Mapping[Partition, tuple[int, int]]) -> dict[str, object]:
    places = sorted(logs)
    return {
        "name": name,
        "group": group,
        "log_topics": [place.topic for place in places],
        "topic_ids": [place.topic_id for place in places],
        "partitions": [place.number for place in places],
        "starts": [logs[place][0] for place in places],
        "ends": [logs[place][1] for place in places],
    }


def read_replays(connection: psycopg.Connection, name: str | None = None) -> list[Replay]:
    """All replays, or the one of that name, the newest first."""
    rows = connection.execute(query("replays"), {"name": name}).fetchall()
    connection.commit()
    return [_replay(row) for row in rows]


def _replay(row: Sequence[Any]) -> Replay:
    times = row[5]
    plan = Plan(row[0], row[1], row[3], tuple(row[4]), times.lower, times.upper, row[6], row[7])
    return Replay(plan, row[2], *row[8:])


def read_stretches(connection: psycopg.Connection, name: str) -> list[Stretch]:
    """What a replay reads, partition by partition."""
    stretches = _stretches(connection, name)
    connection.commit()
    return stretches


def _stretches(connection: psycopg.Connection, name: str) -> list[Stretch]:
    rows = connection.execute(query("replay_stretches"), {"name": name}).fetchall()
    return [Stretch(Partition(*row[:3]), *row[3:]) for row in rows]


def claim_file(
    connection: psycopg.Connection, log: Partition, *, group: str, owner: str, idle_s: float
) -> Claim | None:
    """Takes a file that nobody reads, or whose reader has not moved on for `idle_s` seconds.

    Who read it before is fenced. None: somebody was faster.
    """
    row = connection.execute(
        query("claim_file"),
        {
            "group": group,
            "topic": log.topic,
            "topic_id": log.topic_id,
            "partition": log.number,
            "owner": owner,
            "idle_s": idle_s,
        },
    ).fetchone()
    connection.commit()
    return None if row is None else Claim(log, row[0], row[1])


def touch_file(connection: psycopg.Connection, claim: Claim, group: str) -> None:
    """Says that a file is read still, though nothing of it is stored for now."""
    connection.execute(query("touch_file"), _claimed(claim, group))
    connection.commit()


def _claimed(claim: Claim, group: str) -> dict[str, object]:
    place = claim.partition
    return {
        "group": group,
        "topic": place.topic,
        "topic_id": place.topic_id,
        "partition": place.number,
        "epoch": claim.epoch,
    }


def release(connection: psycopg.Connection, claim: Claim, group: str) -> None:
    """Gives a partition up, so that another process need not wait before it takes it over."""
    connection.execute(query("replay_release"), _claimed(claim, group))
    connection.commit()


def note(connection: psycopg.Connection, name: str) -> tuple[list[Stretch], State]:
    """Writes down how far a replay is, and returns it, with its state.

    Whoever finds that it has read all that it was to read marks it finished.
    """
    # Whoever extends it waits for this row, or did: what is read now is what it is to read.
    connection.execute(query("replay_lock"), {"name": name}, binary=True)
    stretches = _stretches(connection, name)
    total = sum(one.end - one.start for one in stretches)
    done = not any(one.left for one in stretches)
    share = 1.0 if done else sum(one.passed for one in stretches) / max(total, 1)
    connection.execute(query("replay_note"), {"name": name, "progress": share, "done": done})
    (found,) = read_replays(connection, name)
    return stretches, found.state


def label_floor(connection: psycopg.Connection) -> datetime | None:
    """Below which retention has taken the labels."""
    with connection.cursor(binary=True) as cursor:
        floor = read_policy(cursor).label_floor
    connection.commit()
    return floor


def live_positions(connection: psycopg.Connection, topics: Collection[str]) -> dict[Partition, int]:
    """Where live groups stand that have workers; the one that is furthest behind counts."""
    rows = connection.execute(
        query("replay_live"), {"topics": sorted(topics), "within_s": LIVE_S}
    ).fetchall()
    connection.commit()
    return {Partition(*row[:3]): row[3] for row in rows}


def check_turn(cursor: psycopg.Cursor[tuple[object, ...]], turn: ReplayTurn) -> None:
    """Makes sure that a replay still is what its process takes it for; under the policy's lock.

    Raises:
        WorkerError: It is not.
    """
    row = cursor.execute(query("replay_turn"), {"name": turn.name}).fetchone()
    if row is not None and row[0] == turn.revision:
        return
    state = "gone" if row is None else str(row[1]).replace("_", " ")
    if state in {"running", "finished"}:
        raise WorkerError(
            f"The replay {turn.name} was extended meanwhile: start this process again, and it "
            "reads on with the others. Nothing of this batch was stored."
        )
    raise WorkerError(f"The replay {turn.name} is {state}: it reads nothing more.")


def set_state(
    connection: psycopg.Connection, name: str, *, before: Collection[State], after: State
) -> bool:
    """Moves a replay from one of these states to another; False if it is in none of them.

    Every writer sees it from its next transaction on: a promotion changes what they do. Older
    promotions can no longer be rolled back once a new one begins: they are `discarding` then.

    Raises:
        WorkerError: Another replay is half-way through a promotion or a rollback.
    """
    with connection.cursor() as cursor:
        own_policy(cursor)
        if after == "promoting":
            busy = cursor.execute(query("promotion_others"), {"name": name}).fetchone()
            if busy is not None:
                connection.rollback()
                raise WorkerError(
                    f"The replay {busy[0]} is {str(busy[1]).replace('_', ' ')}: finish that first, "
                    f"with `replays promote {busy[0]}` or `replays rollback {busy[0]}`."
                )
            cursor.execute(query("promotion_older"), {"name": name, "before": sorted(before)})
        moved = cursor.execute(
            query("replay_state"), {"name": name, "before": sorted(before), "after": after}
        ).rowcount
    connection.commit()
    return bool(moved)


def retire(connection: psycopg.Connection, name: str) -> None:
    """Fences whoever still reads for a replay: what it has under way is not stored."""
    connection.execute(query("replay_retire"), {"name": name})
    connection.commit()
