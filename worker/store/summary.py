"""What a database holds, in a few numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.posts import LABELS
from worker.store.queries import query
from worker.store.schema import OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts over everything stored.

    Attributes:
        labelled: Posts with a label, `uncertain` ones included.
        unlabelled: Posts kept without one.
        dead_letters: Records that were rejected.
        trend_posts: Sum over the day cells of dimension all, all eight emotions.
        outcomes: The group's ledger.
        emotions: By `platform:id`, the most probable of the six, of labelled posts.
    """

    labelled: int
    unlabelled: int
    dead_letters: int
    trend_posts: int
    outcomes: Mapping[str, int]
    emotions: Mapping[str, str]


def read_summary(connection: psycopg.Connection, group: str) -> Summary:
    """Reads it, in one transaction. For a demo's amount: every label is looked at."""
    with connection.cursor() as cursor:
        counts = cursor.execute(query("summary_counts")).fetchone()
        ledger = cursor.execute(query("summary_ledger"), {"group": group}).fetchone()
        rows = cursor.execute(query("summary_labels")).fetchall()
    connection.rollback()
    assert counts is not None
    assert ledger is not None
    labelled, unlabelled, dead_letters, trend_posts = counts
    return Summary(
        labelled,
        unlabelled,
        dead_letters,
        trend_posts,
        outcomes=dict(zip(OUTCOMES, ledger, strict=True)),
        emotions={
            f"{platform}:{post_id}": LABELS[max(range(len(LABELS)), key=scores.__getitem__)]
            for platform, post_id, *scores in rows
        },
    )
