"""`python -m tests.chaos.mutant GUARD COMMAND...`: `emotion-worker COMMAND...` without one guard.

The suite is worth something only if it fails for such a worker. Each guard is taken out by
replacing one function or one piece of SQL in the running process; nothing in `worker` knows.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from worker import cli
from worker.posts import order
from worker.posts.place import Partition
from worker.source import consumer
from worker.store import fold, postgres, writer
from worker.store.queries import query

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class Guard:
    """Something that the worker relies on.

    Attributes:
        name: As given on the command line.
        what: What it does for us.
        remove: Takes it out of this process.
        faults: Under which faults its absence should show.
        plan: What else the drill is given; see `tests.chaos.drill.Plan`.
    """

    name: str
    what: str
    remove: Callable[[], None]
    faults: tuple[str, ...]
    plan: Mapping[str, Any]


def _sql(changes: Mapping[str, tuple[str, str]]) -> None:
    """Replaces pieces of the writer's SQL: by file, the piece and what comes in its place."""
    changed = {}
    for name, (piece, instead) in changes.items():
        text = query(name).decode()
        assert piece in text, f"{name}.sql has no {piece!r} any more: mend the suite"
        changed[name] = text.replace(piece, instead).encode()
    _patch(writer, "query", lambda name: changed.get(name) or query(name))


def _patch(where: Any, name: str, instead: Callable[..., Any]) -> None:
    assert hasattr(where, name), f"{where} has no {name} any more: mend the suite"
    setattr(where, name, instead)


def _no_compare_and_set() -> None:
    fence = writer._fence

    def lenient(cursor: Any, spans: Any, group: str) -> Any:
        asked = {span.partition: span for span in spans}
        passed, fenced, repeated = fence(cursor, spans, group)
        rows = cursor.execute(query("fence"), {**writer._keys(spans), "group": group}).fetchall()
        ours = {row[:3] for row in rows if row[3] == asked[_partition(row)].epoch}
        late = [span for span in (*fenced, *repeated) if _key(span) in ours]
        return [*passed, *late], tuple(span for span in fenced if span not in late), ()

    _patch(writer, "_fence", lenient)


def _no_epoch() -> None:
    fence = writer._fence

    def lenient(cursor: Any, spans: Any, group: str) -> Any:
        rows = cursor.execute(query("fence"), {**writer._keys(spans), "group": group}).fetchall()
        epochs = {row[:3]: row[3] for row in rows}
        asked = {_key(span): span for span in spans}
        now = [replace(span, epoch=epochs.get(key, -1)) for key, span in asked.items()]
        passed, fenced, repeated = (
            [asked[_key(span)] for span in part] for part in fence(cursor, now, group)
        )
        return passed, tuple(fenced), tuple(repeated)

    _patch(writer, "_fence", lenient)


def _key(span: Any) -> tuple[Any, ...]:
    return (span.partition.topic, span.partition.topic_id, span.partition.number)


def _partition(row: Any) -> Any:
    return Partition(*row[:3])


def _no_merge() -> None:
    def last_comes_last(before: Any, record: Any) -> Any:
        _, verdict = order.merge(before, record)
        return record, verdict

    _patch(fold, "merge", last_comes_last)


def _no_tie_order() -> None:
    _patch(order.Standing, "precedes", lambda self, other: self._rank() >= other._rank())


def _no_finality() -> None:
    rank = order.Standing._rank
    _patch(
        order.Standing,
        "_rank",
        lambda self: rank(self) if self.live else (-1, order._NO_VERSION, 0),
    )


def _no_lock_order() -> None:
    _sql(
        {
            "insert_identities": ("ORDER BY platform, post_id", "ORDER BY random()"),
            "lock_identities": ("ORDER BY p.platform, p.post_id", "ORDER BY random()"),
        }
    )


def _positions_first() -> None:
    """Positions are committed before the labels: a crash in between loses records."""
    write, fence = writer.write, writer._fence

    def apart(cursor: Any, batch: Any, **options: Any) -> Any:
        spans, fenced, repeated = fence(cursor, batch.spans, options["group"])
        for span in spans:
            cursor.execute(
                "UPDATE stream_offsets SET next_offset = %s WHERE consumer_group = %s "
                "AND topic = %s AND topic_id = %s AND kafka_partition = %s",
                (span.end, options["group"], *_key(span)),
            )
        cursor.connection.commit()
        _patch(writer, "_fence", lambda *_: (spans, fenced, repeated))
        return write(cursor, batch, **options)

    _patch(writer, "write", apart)


def _no_topic_id() -> None:
    partition = consumer.KafkaSource.partition

    def nameless(self: Any, place: Any) -> Any:
        known = partition(self, place)
        return known and (replace(known[0], topic_id=consumer.ZERO_ID), known[1])

    _patch(consumer.KafkaSource, "partition", nameless)


def _no_second_look() -> None:
    _patch(writer, "_erased_since", lambda *_: False)


def _no_policy_lock() -> None:
    _patch(writer, "share_policy", lambda *_: None)
    _patch(writer, "_erased_since", lambda *_: False)


def _no_fresh_claim() -> None:
    text = query("claim").decode()
    piece = "owner_epoch = s.owner_epoch + 1"
    assert piece in text
    same = text.replace(piece, "owner_epoch = s.owner_epoch").encode()
    _patch(postgres, "query", lambda name: same if name == "claim" else query(name))


BUSY = {"workers": (4, 4, 5), "rate": 60.0, "hot": 60, "together": 0.0, "backlog": 3_000}
"""Many workers, and few posts that all their batches are about."""

BEHIND = {"model": "stub:15", "backlog": 2_500, "rate": 40.0, "together": 0.0, "calm": False}
"""Workers with batches in hand all the time: a zombie wakes with something to write."""

GUARDS: Mapping[str, Guard] = {
    guard.name: guard
    for guard in (
        Guard(
            "compare-and-set",
            "a batch is stored only where the stored position is the one that it starts at",
            _no_compare_and_set,
            ("answer lost",),
            {"each": 3},
        ),
        Guard(
            "epoch",
            "a batch is stored only under the newest claim's epoch",
            _no_epoch,
            ("worker frozen",),
            {"each": 5, **BEHIND},
        ),
        Guard(
            "claim",
            "a claim raises the epoch, so that the old owner is fenced",
            _no_fresh_claim,
            ("worker frozen",),
            {"each": 5, **BEHIND},
        ),
        Guard(
            "same transaction",
            "positions move in the transaction that stores what they stand for",
            _positions_first,
            ("worker killed", "connection terminated"),
            {"each": 3, "delay_s": 0.01, "rate": 60.0, "together": 0.0, "calm": False},
        ),
        Guard(
            "identity order",
            "which record of a post stands is a maximum, not the last to arrive",
            _no_merge,
            ("worker killed",),
            {"each": 1},
        ),
        Guard(
            "tie order",
            "of equal versions the record at the smallest place stands",
            _no_tie_order,
            ("worker killed",),
            {"each": 1},
        ),
        Guard(
            "finality",
            "a withdrawn post stays withdrawn, whatever comes of it later",
            _no_finality,
            ("worker killed",),
            {"each": 1},
        ),
        Guard(
            "old minus new",
            "what a replaced label had added to the cells is taken back",
            lambda: _sql({"add_cells": ("FROM batch_removed", "FROM batch_removed WHERE false")}),
            ("worker killed",),
            {"each": 1},
        ),
        Guard(
            "moved label",
            "a version with another created_at moves the post's label",
            lambda: _sql({"update_identities": (" created_at = b.created_at,", "")}),
            ("worker killed",),
            {"each": 1},
        ),
        Guard(
            "erasure check",
            "records of erased posts and authors are looked up and kept out",
            lambda: _patch(writer, "erased", lambda *_: {}),
            ("worker joins",),
            {"each": 1, "forgets": 1.0},
        ),
        Guard(
            "lock order",
            "identities are inserted and locked in sorted order",
            _no_lock_order,
            ("worker joins",),
            {"each": 1, **BUSY, "delay_s": 0.01},
        ),
        Guard(
            "topic id",
            "a position belongs to the topic's id, not to its name",
            _no_topic_id,
            ("broker killed",),
            {"each": 2},
        ),
    )
}


def main() -> None:
    """Runs the command line without the guard that its first argument names."""
    GUARDS[sys.argv.pop(1)].remove()
    sys.argv[0] = "emotion-worker"
    cli.main()


if __name__ == "__main__":
    main()
