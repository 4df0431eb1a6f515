"""The tables against what the oracle says, row for row."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg

    from tests.chaos.oracle import Expected

SHOWN = 3

_POSTS = """
SELECT platform, post_id, state, version, generation, created_at,
    topic, topic_id, kafka_partition, kafka_offset
FROM posts
"""
_LABELS = """
SELECT platform, post_id, created_at, topic, kafka_partition, kafka_offset, lang, author_hash,
    hashtags, emotion, unlabelled_reason, confidence, sadness, joy, love, anger, fear, surprise,
    text
FROM post_emotions
"""
_CELLS = """
SELECT granularity, dimension, value, bucket,
    sum(sadness)::bigint, sum(joy)::bigint, sum(love)::bigint, sum(anger)::bigint,
    sum(fear)::bigint, sum(surprise)::bigint, sum(uncertain)::bigint, sum(unlabelled)::bigint,
    sum(sadness_score)::bigint, sum(joy_score)::bigint, sum(love_score)::bigint,
    sum(anger_score)::bigint, sum(fear_score)::bigint, sum(surprise_score)::bigint
FROM trend_cells
WHERE dimension <> 'model'
GROUP BY 1, 2, 3, 4
HAVING (
    sum(sadness), sum(joy), sum(love), sum(anger), sum(fear), sum(surprise), sum(uncertain),
    sum(unlabelled), sum(sadness_score), sum(joy_score), sum(love_score), sum(anger_score),
    sum(fear_score), sum(surprise_score)
) IS DISTINCT FROM (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
"""
_DEAD = """
SELECT topic, topic_id, kafka_partition, kafka_offset,
    kafka_timestamp, key, value, value_length, value_sha256
FROM dead_letters
"""
_LEDGER = """
SELECT topic, topic_id, kafka_partition, next_offset, consumed, dead_lettered,
    labelled + unlabelled, replaced, duplicates, stale, expired, withdrawn, erased
FROM stream_offsets
WHERE consumer_group = %s AND (consumed > 0 OR next_offset > 0)
"""


@dataclass(slots=True)
class Compared:
    """Rows by table, and what differs.

    Attributes:
        lost: Rows that are missing, and records that were not consumed.
        twice: Rows that should not be there, and records consumed more than once.
    """

    rows: dict[str, int] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)
    lost: int = 0
    twice: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)

    def table(
        self, name: str, wanted: Mapping[Any, tuple[Any, ...]], found: Mapping[Any, tuple[Any, ...]]
    ) -> None:
        """Compares one table."""
        self.rows[name] = len(found)
        missing, more = wanted.keys() - found.keys(), found.keys() - wanted.keys()
        other = [key for key in wanted.keys() & found.keys() if wanted[key] != found[key]]
        self.lost += len(missing)
        self.twice += len(more)
        for keys, what in ((missing, "missing"), (more, "too many"), (other, "different")):
            if keys:
                examples = "; ".join(
                    f"{key}: wanted {wanted.get(key)}, found {found.get(key)}"
                    for key in sorted(keys, key=repr)[:SHOWN]
                )
                self.differences.append(f"{name}: {len(keys)} {what}: {examples}")


def compare(connection: psycopg.Connection, expected: Expected, group: str) -> Compared:
    """Reads every table and compares it with what is expected."""

    def rows(statement: str, keys: int, *parameters: object) -> dict[Any, tuple[Any, ...]]:
        found = connection.execute(statement, parameters or None).fetchall()
        by_key = {row[:keys]: row[keys:] for row in found}
        if len(by_key) < len(found):
            compared.differences.append(f"{len(found) - len(by_key)} keys stand twice: {statement}")
            compared.twice += len(found) - len(by_key)
        return by_key

    compared = Compared()
    posts = rows(_POSTS, 2)
    gone = expected.perhaps - posts.keys()
    compared.table("posts", {k: v for k, v in expected.posts.items() if k not in gone}, posts)
    compared.table("post_emotions", expected.labels, rows(_LABELS, 2))
    compared.table("trend_cells", expected.cells, rows(_CELLS, 4))
    compared.table("dead_letters", expected.dead_letters, rows(_DEAD, 4))
    ledger = rows(_LEDGER, 3, group)
    compared.table("stream_offsets", expected.ledger, {key: row[:3] for key, row in ledger.items()})
    for key, row in ledger.items():
        more = row[1] - expected.ledger.get(key, (0, 0))[1]
        compared.twice += max(0, more)
        compared.lost += max(0, -more)
    names = ("first seen", "replaced", "duplicates", "stale", "expired", "withdrawn", "erased")
    compared.outcomes = {
        name: sum(row[3 + place] for row in ledger.values()) for place, name in enumerate(names)
    }
    compared.outcomes["dead lettered"] = sum(row[2] for row in ledger.values())
    for key, wanted in expected.withdrawals.items():
        *_, withdrawn, erased = ledger.get(key, (0, 0))
        if not withdrawn <= wanted <= withdrawn + erased:
            compared.differences.append(
                f"stream_offsets: {key}: of {wanted} withdrawals {withdrawn} withdrawn, "
                f"{erased} erased"
            )
    low, high = expected.first_seen
    if not low <= compared.outcomes["first seen"] <= high:
        compared.differences.append(
            f"stream_offsets: {compared.outcomes['first seen']} records were a post's first, "
            f"not {low} to {high}"
        )
    return compared
