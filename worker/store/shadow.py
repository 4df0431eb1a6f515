"""Labels of a shadow replay: folded as the live ones are, and kept apart from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.store.fold import columns, fold, identity_of, settled, standings
from worker.store.policy import erased
from worker.store.queries import query
from worker.store.session import ErasedMeanwhileError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from worker.posts.order import Standing
    from worker.store.fold import Identity
    from worker.store.interface import LabelledBatch
    from worker.store.policy import Policy

    Cursor = psycopg.Cursor[tuple[object, ...]]


def outcomes_of(
    cursor: Cursor, batch: LabelledBatch, ordinals: Sequence[int], policy: Policy
) -> tuple[dict[int, str], dict[Identity, int]]:
    """Stores the records at `ordinals` as the shadow's.

    Withdrawn posts keep a row, so that an older record does not bring them back. No live label, no
    identity and no cell is touched.

    Returns:
        What became of each record, for the shadow's ledger; and the posts that are to be erased
        everywhere, a record of each: their authors were, and perhaps only the shadow knows.
    """
    assert batch.replay is not None, "a shadow's batch names its replay"
    entries = batch.entries
    known = erased(cursor) if policy.has_erasures else {}
    outcomes = settled(entries, erased=known, floor=policy.label_floor)
    rejected = {o for o in ordinals if outcomes.get(o) == "dead_lettered"}
    gone = {identity_of(entries[o]): o for o in ordinals if o in known and o not in rejected}
    undecided = []
    for ordinal in ordinals:
        if ordinal not in rejected and identity_of(entries[ordinal]) in gone:
            outcomes[ordinal] = "erased"
        elif ordinal not in outcomes:
            undecided.append(ordinal)
    if gone:
        cursor.execute(
            query("shadow_erase"), {"replay": batch.replay.name, "ordinals": sorted(gone.values())}
        )
    if undecided:
        outcomes |= _store(cursor, batch, batch.replay.name, undecided)
    erasing = {key: ordinal for key, ordinal in gone.items() if known[ordinal] is False}
    return outcomes, erasing


def _store(
    cursor: Cursor, batch: LabelledBatch, replay: str, ordinals: Sequence[int]
) -> dict[int, str]:
    entries = batch.entries
    folded = fold(entries, ordinals, {}, 0)
    rows = cursor.execute(
        query("shadow_insert"), {"replay": replay, "ordinals": list(folded.winners.values())}
    ).fetchall()
    new = set(rows)
    known = [key for key in folded.winners if key not in new]
    outcomes = dict(folded.outcomes)
    if not known:
        return outcomes
    stored = _lock(cursor, replay, known)
    if len(stored) != len(known):
        raise ErasedMeanwhileError
    again = [ordinal for ordinal in ordinals if identity_of(entries[ordinal]) in stored]
    refolded = fold(entries, again, stored, 0)
    cursor.execute(
        query("shadow_update"), {"replay": replay, "ordinals": list(refolded.winners.values())}
    )
    return outcomes | dict(refolded.outcomes)


def _lock(cursor: Cursor, replay: str, identities: Sequence[Identity]) -> dict[Identity, Standing]:
    rows = cursor.execute(
        query("shadow_lock"), {**columns(sorted(identities)), "replay": replay}
    ).fetchall()
    return standings(rows)
