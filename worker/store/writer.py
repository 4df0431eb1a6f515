"""The one transaction: a micro-batch's labels, cells, dead letters and positions, or nothing.

Every writer locks in the same order: policy, positions, identities sorted, cells sorted.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from worker.posts import Post, RecordRef, Rejection
from worker.posts.order import Standing
from worker.posts.place import Partition, partition_of
from worker.store.fold import Folded, fold, settled
from worker.store.interface import Written
from worker.store.load import Hasher, load
from worker.store.locks import share_policy
from worker.store.queries import query
from worker.store.schema import OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    import psycopg

    from worker.posts.place import Span
    from worker.store.fold import Identity
    from worker.store.interface import LabelledBatch

    Cursor = psycopg.Cursor[tuple[object, ...]]


class LabelsMovedError(Exception):
    """Labels were not where their identities say: a day's partition was made meanwhile.

    If it happens again and again, they are missing: `verify` lists them.
    """


class Policy(NamedTuple):
    """What every writer must respect, read under the policy lock."""

    label_floor: datetime | None
    minute_floor: datetime | None
    author_key_fingerprint: bytes | None
    has_erasures: bool


def write(
    cursor: Cursor,
    batch: LabelledBatch,
    *,
    group: str,
    slot: int,
    hasher: Hasher,
    store_text: bool,
) -> Written:
    """Stores `batch` in the cursor's transaction; the caller commits.

    Steps 0 to 5 of the design's section 3.5. A COPY comes before any shared lock: nothing on the
    server ends a COPY whose client has stopped, so a frozen worker must not hold the fence then.
    """
    load(
        cursor,
        batch.entries,
        hasher=hasher,
        generation=batch.generation,
        store_text=store_text,
    )
    share_policy(cursor)
    policy = read_policy(cursor)
    erased = _erased(cursor) if policy.has_erasures else frozenset()

    spans, fenced, repeated = _fence(cursor, batch.spans, group)
    if not spans:
        return Written({}, fenced, repeated)
    entries = batch.entries
    places = [partition_of(entry.record.ref) for entry in entries]
    counts: dict[Partition, Counter[str]] = {span.partition: Counter() for span in spans}
    ordinals = [ordinal for ordinal, place in enumerate(places) if place in counts]

    outcomes = settled(entries, erased=erased, floor=policy.label_floor)
    undecided = [ordinal for ordinal in ordinals if ordinal not in outcomes]
    if undecided:
        outcomes |= _store_posts(cursor, batch, undecided, slot, policy.minute_floor)
    if any(isinstance(entries[ordinal].decoded, Rejection) for ordinal in ordinals):
        cursor.execute(query("insert_dead_letters"), _keys(spans))

    for ordinal in ordinals:
        counts[places[ordinal]][outcomes[ordinal]] += 1
    _advance(cursor, spans, counts, group)
    return Written(counts, fenced, repeated)


def read_policy(cursor: Cursor) -> Policy:
    """Reads the policy; in a transaction, only after the policy lock, in a statement of its own."""
    row = cursor.execute(query("policy")).fetchone()
    assert row is not None, "the first migration makes the policy's row"
    return Policy(*row)  # type: ignore[arg-type]


def _erased(cursor: Cursor) -> frozenset[int]:
    rows = cursor.execute(query("erased")).fetchall()
    return frozenset(row[0] for row in rows)  # type: ignore[misc]


def _keys(spans: Sequence[Span]) -> dict[str, object]:
    return {
        "topics": [span.partition.topic for span in spans],
        "topic_ids": [span.partition.topic_id for span in spans],
        "partitions": [span.partition.number for span in spans],
    }


def _fence(
    cursor: Cursor, spans: Sequence[Span], group: str
) -> tuple[list[Span], tuple[Span, ...], tuple[Span, ...]]:
    """Compare-and-set on the position: locks the rows, and sorts out what is not ours to write."""
    rows = cursor.execute(query("fence"), {**_keys(spans), "group": group}).fetchall()
    stored = {Partition(*row[:3]): row[3:] for row in rows}  # type: ignore[arg-type]
    passed: list[Span] = []
    fenced: list[Span] = []
    repeated: list[Span] = []
    for span in spans:
        epoch, position = stored.get(span.partition, (None, None))
        if epoch != span.epoch:
            fenced.append(span)
        elif position == span.start:
            passed.append(span)
        elif position == span.end:
            repeated.append(span)
        else:
            fenced.append(span)
    return passed, tuple(fenced), tuple(repeated)


def _store_posts(
    cursor: Cursor,
    batch: LabelledBatch,
    ordinals: Sequence[int],
    slot: int,
    minute_floor: datetime | None,
) -> dict[int, str]:
    """Identities, labels and cells of the posts and withdrawals at `ordinals`; their outcomes."""
    entries = batch.entries
    folded = fold(entries, ordinals, {}, batch.generation)
    rows = cursor.execute(
        query("insert_identities"), {"ordinals": list(folded.winners.values())}
    ).fetchall()
    new = set(rows)
    known = [identity for identity in folded.winners if identity not in new]
    standing_now = {key: ordinal for key, ordinal in folded.winners.items() if key in new}
    outcomes = dict(folded.outcomes)
    if known:
        stored = _lock(cursor, known)
        again = [
            ordinal
            for ordinal in ordinals
            if _identity(entries[ordinal].decoded) in stored  # type: ignore[arg-type]
        ]
        refolded = fold(entries, again, stored, batch.generation)
        _replace(cursor, refolded, stored)
        outcomes |= refolded.outcomes
        standing_now |= refolded.winners
    labels = [o for o in standing_now.values() if isinstance(entries[o].decoded, Post)]
    if labels:
        cursor.execute(query("insert_labels"), {"ordinals": labels, "model_id": batch.model_id})
    if standing_now:
        cursor.execute(
            query("add_cells"), {"ordinals": labels, "slot": slot, "minute_floor": minute_floor}
        )
    return outcomes


def _identity(decoded: Post) -> Identity:
    return (decoded.platform, decoded.post_id)


def _lock(cursor: Cursor, identities: Sequence[Identity]) -> dict[Identity, Standing]:
    rows = cursor.execute(
        query("lock_identities"),
        {
            "platforms": [platform for platform, _ in identities],
            "post_ids": [post_id for _, post_id in identities],
        },
    ).fetchall()
    return {
        (row[0], row[1]): Standing(RecordRef(*row[5:9]), row[2], row[3], row[4])  # type: ignore[arg-type,misc]
        for row in rows
    }


def _replace(cursor: Cursor, folded: Folded, stored: Mapping[Identity, Standing]) -> None:
    """Moves known identities to the records that stand now, and takes their old labels away."""
    if not folded.winners:
        return
    cursor.execute(query("update_identities"), {"ordinals": list(folded.winners.values())})
    outdated = [
        (identity, stored[identity].created_at)
        for identity in folded.winners
        if stored[identity].live
    ]
    if not outdated:
        return
    times = [time for _, time in outdated if time is not None]
    cursor.execute(
        query("remove_labels"),
        {
            "platforms": [platform for (platform, _), _ in outdated],
            "post_ids": [post_id for (_, post_id), _ in outdated],
            "times": times,
            "oldest": min(times),
            "newest": max(times),
        },
    )
    if cursor.rowcount != len(outdated):
        raise LabelsMovedError(
            f"{len(outdated)} live posts had {cursor.rowcount} labels where they belong"
        )


def _advance(
    cursor: Cursor,
    spans: Sequence[Span],
    counts: Mapping[Partition, Counter[str]],
    group: str,
) -> None:
    cursor.execute(
        query("advance"),
        {
            **_keys(spans),
            "group": group,
            "ends": [span.end for span in spans],
            "watermarks": [span.watermark for span in spans],
            **{name: [counts[span.partition][name] for span in spans] for name in OUTCOMES},
        },
    )
