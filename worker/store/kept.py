"""Labels kept for a rollback: what would stand had there been no promotion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.store.fold import columns, fold, identity_of, standings
from worker.store.queries import query

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from worker.store.interface import LabelledBatch

    Cursor = psycopg.Cursor[tuple[object, ...]]


def merge_kept(
    cursor: Cursor, batch: LabelledBatch, ordinals: Sequence[int], generation: int
) -> None:
    """Merges records that a promotion has beaten into what is kept of their posts.

    Without the promotion they would have met that, by the same order. Their identities are locked.

    Args:
        cursor: In the transaction.
        batch: What is stored.
        ordinals: The records.
        generation: Of the promotion.
    """
    if not ordinals:
        return
    entries = batch.entries
    identities = sorted({identity_of(entries[ordinal]) for ordinal in ordinals})
    rows = cursor.execute(
        query("kept_lock"), {**columns(identities), "generation": generation}
    ).fetchall()
    kept = standings(row for row in rows if row[3] is not None)
    known = {(row[0], row[1]) for row in rows}
    mine = [ordinal for ordinal in ordinals if identity_of(entries[ordinal]) in known]
    winners = fold(entries, mine, kept, batch.generation).winners
    if winners:
        cursor.execute(
            query("kept_update"),
            {
                "ordinals": list(winners.values()),
                "generation": generation,
                "model_id": batch.model_id,
                "keeps_topics": batch.keeps_topics,
            },
        )
