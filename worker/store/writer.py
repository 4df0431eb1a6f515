"""The one transaction: a micro-batch's labels, cells, dead letters and positions, or nothing.

Every writer locks in the same order: policy, positions, identities sorted, cells sorted.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from worker.posts import Post, RecordRef, Rejection
from worker.posts.place import Partition, partition_of
from worker.store import dead_letters, shadow
from worker.store.fold import columns, fold, identity_of, places, settled, standings
from worker.store.interface import Written
from worker.store.kept import merge_kept
from worker.store.load import Hasher, load
from worker.store.locks import share_policy
from worker.store.policy import check_author_key, erased, read_policy
from worker.store.queries import query
from worker.store.replays import check_turn
from worker.store.schema import OUTCOMES
from worker.store.session import ErasedMeanwhileError, LabelsMovedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    import psycopg

    from worker.posts.order import Standing
    from worker.posts.place import Span
    from worker.store.fold import Identity
    from worker.store.interface import Entry, LabelledBatch
    from worker.store.policy import Policy

    Cursor = psycopg.Cursor[tuple[object, ...]]


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
    check_author_key(policy, hasher)
    if batch.replay is not None:
        check_turn(cursor, batch.replay)

    spans, fenced, repeated = _fence(cursor, batch.spans, group)
    kept: frozenset[RecordRef] = frozenset()
    if repeated:
        rows = cursor.execute(query("letters_standing"), _keys(repeated)).fetchall()
        kept = frozenset(RecordRef(*row) for row in rows)  # type: ignore[arg-type]
    if not spans:
        return Written({}, fenced, repeated, kept)
    counts: dict[Partition, Counter[str]] = {span.partition: Counter() for span in spans}
    ledgers = [batch.ledger or partition_of(entry.record.ref) for entry in batch.entries]
    ordinals = [ordinal for ordinal, place in enumerate(ledgers) if place in counts]
    if batch.letters:
        ordinals = dead_letters.still_new(cursor, batch.letters, ordinals)

    if batch.shadow:
        outcomes, erasing = shadow.outcomes_of(cursor, batch, ordinals, policy)
        if erasing:
            # What is known of a post by its author's record is known to all from now on.
            _store_posts(cursor, batch, [], erasing, slot=slot, policy=policy)
    else:
        outcomes = _outcomes(cursor, batch, ordinals, slot, policy)
    if batch.letters:
        dead_letters.settle(cursor, batch, ordinals, outcomes)
    elif any(outcomes[ordinal] == "dead_lettered" for ordinal in ordinals):
        rows = cursor.execute(query("insert_dead_letters"), _keys(spans)).fetchall()
        kept |= {RecordRef(*row[:4]) for row in rows if row[4]}  # type: ignore[arg-type]

    for ordinal in ordinals:
        counts[ledgers[ordinal]][outcomes[ordinal]] += 1
    _advance(cursor, spans, counts, group)
    sound = {
        place.topic for place, count in counts.items() if count.total() > count["dead_lettered"]
    }
    if sound:
        cursor.execute(query("clear_mark"), {"group": group, "topics": sorted(sound)})
    return Written(counts, fenced, repeated, kept)


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


def _outcomes(
    cursor: Cursor, batch: LabelledBatch, ordinals: Sequence[int], slot: int, policy: Policy
) -> dict[int, str]:
    """Stores the posts and withdrawals at `ordinals`; what became of each of the records there."""
    entries = batch.entries
    known = erased(cursor) if policy.has_erasures else {}
    outcomes = settled(entries, erased=known, floor=policy.label_floor)
    # A record of an erased author erases its post, of which others may have come without one.
    erasing = {
        identity_of(entries[ordinal]): ordinal
        for ordinal in ordinals
        if known.get(ordinal) is False
    }
    undecided = []
    for ordinal in ordinals:
        if outcomes.get(ordinal) == "dead_lettered":
            continue
        if erasing and identity_of(entries[ordinal]) in erasing:
            outcomes[ordinal] = "erased"
        elif ordinal not in outcomes:
            undecided.append(ordinal)
    if undecided or erasing:
        outcomes |= _store_posts(cursor, batch, undecided, erasing, slot=slot, policy=policy)
    return outcomes


def _store_posts(
    cursor: Cursor,
    batch: LabelledBatch,
    ordinals: Sequence[int],
    erasing: Mapping[Identity, int],
    *,
    slot: int,
    policy: Policy,
) -> dict[int, str]:
    """Identities, labels and cells of the records at `ordinals`; their outcomes.

    Those of `erasing` (a record of each) are taken out; their rows are made where missing, for it
    is by the row that writers wait for each other.
    """
    entries = batch.entries
    folded = fold(entries, ordinals, {}, batch.generation)
    touched = [*folded.winners.values(), *erasing.values()]
    rows = cursor.execute(query("insert_identities"), {"ordinals": touched}).fetchall()
    new = set(rows)
    known = [key for key in (*folded.winners, *erasing) if key not in new]
    standing_now = {key: ordinal for key, ordinal in folded.winners.items() if key in new}
    outcomes = dict(folded.outcomes)
    stored = lock_identities(cursor, known) if known else {}
    if len(stored) != len(known) or (policy.has_erasures and _erased_since(cursor, ordinals)):
        raise ErasedMeanwhileError
    standing_before = {key: one for key, one in stored.items() if not policy.dropped(one)}
    outdated: dict[Identity, datetime | None] = {}
    again = [ordinal for ordinal in ordinals if identity_of(entries[ordinal]) in stored]
    if again:
        refolded = fold(entries, again, standing_before, batch.generation)
        cursor.execute(query("update_identities"), {"ordinals": list(refolded.winners.values())})
        outdated = {
            key: standing_before[key].created_at
            for key in refolded.winners
            if key in standing_before
        }
        outcomes |= refolded.outcomes
        standing_now |= refolded.winners
        if policy.promoted is not None:
            beaten = [
                ordinal
                for ordinal in again
                if refolded.winners.get(identity_of(entries[ordinal])) != ordinal
                and (before := standing_before.get(identity_of(entries[ordinal]))) is not None
                and before.generation == policy.promoted
            ]
            merge_kept(cursor, batch, beaten, policy.promoted)
    standing = set(standing_now.values())
    beside = [o for o in ordinals if o not in standing and _names_author(entries[o])]
    if beside:
        cursor.execute(query("note_authors"), {"ordinals": beside})
    if batch.keeps_topics:
        keep_topics(cursor, outdated, [standing_now[key] for key in outdated])
    removed = remove_labels(cursor, outdated)
    if erasing:
        cursor.execute(query("erase_identities"), {"ordinals": list(erasing.values())})
        removed += forget_labels(cursor, sorted(erasing), policy)
    labels = [o for o in standing_now.values() if isinstance(entries[o].decoded, Post)]
    if labels:
        cursor.execute(query("insert_labels"), {"ordinals": labels, "model_id": batch.model_id})
    if labels or removed:
        add_cells(cursor, labels, slot, policy, batch.model_id)
    return outcomes


def add_cells(
    cursor: Cursor,
    ordinals: Sequence[int],
    slot: int,
    policy: Policy,
    model_id: int | None = None,
) -> None:
    """Gives the cells the labels at `ordinals`, less those that `remove_labels` took away.

    Args:
        cursor: In the transaction.
        ordinals: Of the batch's posts whose labels were inserted.
        slot: The slot to write to.
        policy: As this transaction read it.
        model_id: Who labelled those at `ordinals`; None where there are none.
    """
    cursor.execute(
        query("add_cells"),
        {
            "ordinals": list(ordinals),
            "slot": slot,
            "minute_floor": policy.minute_floor,
            "model_id": model_id,
        },
    )


def keep_topics(
    cursor: Cursor, outdated: Mapping[Identity, datetime | None], ordinals: Sequence[int]
) -> None:
    """Gives the labels at `ordinals` the topics of those that they replace, before these go.

    Args:
        cursor: In the transaction.
        outdated: Where each label lies that is replaced.
        ordinals: Of the batch's posts that replace them.
    """
    if live := _live(outdated):
        cursor.execute(query("keep_topics"), {**places(live), "ordinals": list(ordinals)})


def _live(outdated: Mapping[Identity, datetime | None]) -> list[tuple[Identity, datetime]]:
    return [(key, time) for key, time in outdated.items() if time is not None]


def _erased_since(cursor: Cursor, ordinals: Sequence[int]) -> bool:
    found = erased(cursor)
    return any(ordinal in found for ordinal in ordinals)


def _names_author(entry: Entry) -> bool:
    decoded = entry.decoded
    assert not isinstance(decoded, Rejection)
    return decoded.author_id is not None


def lock_identities(cursor: Cursor, identities: Sequence[Identity]) -> dict[Identity, Standing]:
    """Locks the rows of these posts, in the order of all writers; what stands for each."""
    return standings(cursor.execute(query("lock_identities"), columns(identities)).fetchall())


def remove_labels(cursor: Cursor, outdated: Mapping[Identity, datetime | None]) -> int:
    """Takes labels away, from tables and cells (`add_cells` sees to these); how many.

    Args:
        cursor: In the transaction.
        outdated: Where each label lies; None where the identity has none, as it is withdrawn.

    Raises:
        LabelsMovedError: One is not there.
    """
    live = _live(outdated)
    if not live:
        return 0
    cursor.execute(query("remove_labels"), places(live))
    if cursor.rowcount != len(live):
        raise LabelsMovedError(
            f"{len(live)} live posts had {cursor.rowcount} labels where they belong"
        )
    return len(live)


def forget_labels(cursor: Cursor, identities: Sequence[Identity], policy: Policy) -> int:
    """Takes all labels of these posts away, wherever they lie; how many. `add_cells` follows."""
    row = cursor.execute(
        query("forget_labels"), columns(identities) | {"floor": policy.label_floor}
    ).fetchone()
    assert row is not None
    return int(str(row[0]))


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
